"""A key past its deadline does not exist, for any method."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pytest

from eliza_state.storage.backend import Mark, Write, Written
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Wrapper
from eliza_state.testing.clocks import ManualClock
from eliza_state.testing.storages.fixtures import (
    MISSING,
    PATIENCE_S,
    StorageFixtures,
    collect,
    entry_of,
    full_key_of,
)

Ask = Callable[[Storage[Any]], Awaitable[Any]]

_TTL_MS: Final = 5_000
# By then a backend that sweeps in buckets of time must let a dead entry go.
_LONG_AFTER_MS: Final = 3_600_000
_YEARS_101_MS: Final = 101 * 366 * 24 * 60 * 60 * 1_000


async def _is_created(version: Awaitable[int]) -> bool:
    return await version > 0


# What each method answers for a key that is not there.
OF_A_DEAD_KEY: Final[dict[str, tuple[Ask, Any]]] = {
    "get": (lambda store: store.get("key", MISSING), MISSING),
    "has": (lambda store: store.has("key"), False),
    "mark": (lambda store: store.mark("key"), None),
    "entry": (lambda store: store.entry("key"), None),
    "get_many": (lambda store: store.get_many(["key"]), {}),
    "has_many": (lambda store: store.has_many(["key"]), set()),
    "keys": (lambda store: collect(store.keys()), []),
    "keys with a prefix": (lambda store: collect(store.keys(prefix="ke")), []),
    "values": (lambda store: collect(store.values()), []),
    "entries": (lambda store: collect(store.entries()), []),
    "touch": (lambda store: store.touch("key"), False),
    "update": (lambda store: store.update("key", lambda value: value + 1, default=10), 11),
    "delete": (lambda store: store.delete("key"), False),
    "delete of version 0": (lambda store: store.delete("key", expected_version=0), False),
    "delete_many": (lambda store: store.delete_many(["key"]), 0),
    "set over version 0": (lambda store: _is_created(store.set("key", 2, expected_version=0)), True),
}
# What it answers while the key, whose value is 1, is there.
OF_A_LIVE_KEY: Final[dict[str, tuple[Ask, Any]]] = {
    "get": (lambda store: store.get("key", MISSING), 1),
    "has": (lambda store: store.has("key"), True),
    "get_many": (lambda store: store.get_many(["key"]), {"key": 1}),
    "has_many": (lambda store: store.has_many(["key"]), {"key"}),
    "keys": (lambda store: collect(store.keys()), ["key"]),
    "values": (lambda store: collect(store.values()), [1]),
    "entries": (lambda store: collect(store.entries()), [("key", 1)]),
    "touch": (lambda store: store.touch("key"), True),
    "update": (lambda store: store.update("key", lambda value: value + 1, default=10), 2),
    "delete": (lambda store: store.delete("key"), True),
    "delete_many": (lambda store: store.delete_many(["key"]), 1),
}
WRITES: Final[dict[str, Callable[[Storage[Any], Any], Awaitable[Any]]]] = {
    "set": lambda store, ttl_ms: store.set("key", 1, ttl_ms=ttl_ms),
    "set_many": lambda store, ttl_ms: store.set_many({"key": 1}, ttl_ms=ttl_ms),
    "update": lambda store, ttl_ms: store.update("key", lambda _: 1, ttl_ms=ttl_ms),
}
REFUSED: Final[list[tuple[Any, type[Exception]]]] = [
    (0, ValueError), (-1, ValueError), (-0.5, ValueError), (math.nan, ValueError), (math.inf, ValueError),
    (-math.inf, ValueError), (_YEARS_101_MS, ValueError), (10**400, ValueError),
    (True, TypeError), ("1000", TypeError), ([], TypeError),
]  # fmt: skip


async def _set_for_each(cases: Iterable[str], store: Storage[Any]) -> None:
    for name in cases:
        await store.namespace(name).set("key", 1, ttl_ms=_TTL_MS)


async def _answers(cases: Mapping[str, tuple[Ask, Any]], store: Storage[Any]) -> dict[str, Any]:
    return {name: await _answer(ask, store.namespace(name)) for name, (ask, _) in cases.items()}


async def _answer(ask: Ask, store: Storage[Any]) -> Any:
    try:
        return await ask(store)
    except StaleValue as stale:
        return stale


def _expected(cases: Mapping[str, tuple[Ask, Any]]) -> dict[str, Any]:
    return {name: answer for name, (_, answer) in cases.items()}


class _Touching(Wrapper[Any]):
    """A backend where somebody else touches a key between its reading and its writing."""

    async def write(self, writes: Sequence[Write[Any]]) -> Sequence[Written]:
        await self.inner.touch([write.key for write in writes])
        return await self.inner.write(writes)


class DeadlineContract(StorageFixtures):
    """Times to live: from the first millisecond to the exact deadline, rolled, cleared, swept."""

    async def test_a_key_is_dead_exactly_at_its_deadline(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await _set_for_each(OF_A_DEAD_KEY, store)
        clock.advance(ms=_TTL_MS)

        assert await _answers(OF_A_DEAD_KEY, store) == _expected(OF_A_DEAD_KEY)

    async def test_a_key_is_alive_a_millisecond_before_its_deadline(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await _set_for_each(OF_A_LIVE_KEY, store)
        clock.advance(ms=_TTL_MS - 1)

        assert await _answers(OF_A_LIVE_KEY, store) == _expected(OF_A_LIVE_KEY)

    async def test_a_swept_key_is_as_dead_as_one_that_is_not(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        self._skip_where_shared()
        await _set_for_each(OF_A_DEAD_KEY, store)
        clock.advance(ms=_TTL_MS + _LONG_AFTER_MS)
        await store.sweep()

        assert await _answers(OF_A_DEAD_KEY, store) == _expected(OF_A_DEAD_KEY)

    @pytest.mark.parametrize("method", WRITES)
    async def test_an_absurd_time_to_live_is_refused(self, store: Storage[Any], method: str) -> None:
        for ttl_ms, error in REFUSED:
            with pytest.raises(error):
                await WRITES[method](store, ttl_ms)

        assert not await store.has("key")

    async def test_a_key_may_live_for_one_millisecond(self, store: Storage[Any], clock: ManualClock) -> None:
        await store.set("key", 1, ttl_ms=1)
        before = await store.has("key")
        clock.advance(ms=1)

        assert (before, await store.has("key")) == (True, False)

    async def test_a_fraction_of_a_millisecond_is_rounded_up(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("key", 1, ttl_ms=1.25)

        assert (await entry_of(store, "key")).ttl_ms == 2

    async def test_an_entry_tells_its_deadline(self, store: Storage[Any], clock: ManualClock) -> None:
        await store.set("key", 1, ttl_ms=_TTL_MS)

        entry = await entry_of(store, "key")
        assert (entry.deadline_ms, entry.ttl_ms) == (clock() // 1_000 + _TTL_MS, _TTL_MS)
        assert await store.mark("key") == entry.mark

    async def test_a_key_without_a_time_to_live_stays(self, store: Storage[Any], clock: ManualClock) -> None:
        await store.set("key", 1)
        clock.advance(ms=_YEARS_101_MS)

        assert await store.get("key") == 1
        entry = await entry_of(store, "key")
        assert (entry.deadline_ms, entry.ttl_ms) == (None, None)

    async def test_an_overwrite_without_a_time_to_live_clears_it(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("key", 1, ttl_ms=_TTL_MS)
        await store.set("key", 2)
        clock.advance(ms=_TTL_MS)

        assert await store.get("key") == 2

    async def test_an_overwrite_starts_a_new_time_to_live(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("key", 1, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS - 1)
        await store.set("key", 2, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS - 1)

        assert await store.get("key") == 2

    async def test_many_keys_share_one_time_to_live(self, store: Storage[Any], clock: ManualClock) -> None:
        await store.set_many({"a": 1, "b": 2}, ttl_ms=_TTL_MS)
        before = await store.get_many(["a", "b"])
        clock.advance(ms=_TTL_MS)

        assert (before, await store.get_many(["a", "b"])) == ({"a": 1, "b": 2}, {})

    async def test_a_storage_may_have_a_default_time_to_live(
        self, storage: Storage[Any], store: Storage[Any], clock: ManualClock
    ) -> None:
        default = Storage(storage.backend, ttl_ms=_TTL_MS).namespace(*store.names)
        await default.set("default", 1)
        await default.set("stays", 1, ttl_ms=None)
        await default.set("longer", 1, ttl_ms=_TTL_MS + 1)
        await default.update("updated", lambda _: 1)
        clock.advance(ms=_TTL_MS)

        assert sorted(await collect(default.keys())) == ["longer", "stays"]

    async def test_a_time_to_live_in_real_time(self, store: Storage[Any]) -> None:
        if self.takes_clock:
            pytest.skip("the storage takes a clock")
        await store.set("key", 1, ttl_ms=50)
        await store.set("other", 2, ttl_ms=3_600_000)
        async with asyncio.timeout(PATIENCE_S):
            while await store.has("key"):  # noqa: ASYNC110  # nothing tells when a deadline has passed
                await asyncio.sleep(0.005)

        assert await store.get_many(["key", "other"]) == {"other": 2}

    # touching

    async def test_touching_rolls_the_deadline_by_the_duration(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("key", 1, ttl_ms=_TTL_MS)
        for _ in range(3):
            clock.advance(ms=_TTL_MS - 1)
            assert await store.touch("key")

        entry = await entry_of(store, "key")
        assert (entry.deadline_ms, entry.ttl_ms) == (clock() // 1_000 + _TTL_MS, _TTL_MS)
        clock.advance(ms=_TTL_MS)
        assert not await store.has("key")

    async def test_touching_keeps_value_and_version(self, store: Storage[Any], clock: ManualClock) -> None:
        version = await store.set("key", [1], ttl_ms=_TTL_MS)
        clock.advance(ms=1)
        await store.touch("key")

        entry = await entry_of(store, "key")
        assert (entry.value, entry.version) == ([1], version)

    async def test_touching_a_missing_key_tells_so(self, store: Storage[Any]) -> None:
        assert not await store.touch("key")
        assert not await store.has("key")

    async def test_touching_a_key_that_stays_gives_it_no_deadline(self, store: Storage[Any]) -> None:
        await store.set("key", 1)

        assert await store.touch("key")
        assert (await entry_of(store, "key")).deadline_ms is None

    async def test_an_update_does_not_undo_a_touch(
        self, storage: Storage[Any], store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("key", 1, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS - 1)
        touching = Storage(_Touching(storage.backend)).namespace(*store.names)
        assert await touching.update("key", lambda value: value + 1) == 2
        clock.advance(ms=_TTL_MS - 1)
        before = await store.has("key")
        clock.advance(ms=1)

        assert (before, await store.has("key")) == (True, False)

    @pytest.mark.parametrize("ttl_ms", [_TTL_MS, None])
    async def test_a_write_may_keep_the_deadline_that_is_stored(
        self, store: Storage[Any], clock: ManualClock, ttl_ms: int | None
    ) -> None:
        await store.set("key", 1, ttl_ms=ttl_ms)
        full = full_key_of(store, "key")
        seen = (await store.backend.look([full]))[full]
        clock.advance(ms=1_000)
        await store.touch("key")
        (written,) = await store.backend.write(
            [Write(full, 2, seen.deadline_ms, seen.ttl_ms, expected=seen.version, keeps_deadline=True)]
        )

        deadline_ms = None if ttl_ms is None else clock() // 1_000 + ttl_ms
        assert (await store.backend.look([full]))[full] == Mark(written.version, deadline_ms, ttl_ms)
        assert await store.get("key") == 2

    async def test_a_write_that_keeps_the_deadline_replaces_no_other_version(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        seen = await store.set("key", 1, ttl_ms=_TTL_MS)
        version = await store.set("key", 2, ttl_ms=_TTL_MS)
        full = full_key_of(store, "key")
        written = await store.backend.write([Write(full, 3, expected=seen, keeps_deadline=True)])

        assert list(written) == [Written(version, is_stored=False)]
        assert await store.get("key") == 2

    # sweeping

    async def test_a_sweep_removes_the_dead_only(self, store: Storage[Any], clock: ManualClock) -> None:
        self._skip_where_shared()
        await store.set_many({"dead": 1, "dead too": 2}, ttl_ms=_TTL_MS)
        await store.set_many({"alive": 3}, ttl_ms=_TTL_MS + 2 * _LONG_AFTER_MS)
        await store.set_many({"stays": 4})
        clock.advance(ms=_TTL_MS + _LONG_AFTER_MS)

        assert await store.sweep() in (0, 2)  # 0: what cannot exist any more may have gone by itself
        names = {full_key_of(store, key): key for key in ("dead", "dead too", "alive", "stays")}
        assert {names[full] for full in await store.backend.look(list(names))} == {"alive", "stays"}
        assert await store.get_many(names.values()) == {"alive": 3, "stays": 4}

    async def test_a_sweep_leaves_what_was_refreshed(self, store: Storage[Any], clock: ManualClock) -> None:
        self._skip_where_shared()
        for key in ("touched", "set", "stays", "updated"):
            await store.set(key, 1, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS - 1)
        await store.touch("touched")
        await store.set("set", 1, ttl_ms=2 * _TTL_MS)
        await store.set("stays", 1)
        await store.update("updated", lambda value: value + 1, ttl_ms=2 * _TTL_MS)
        clock.advance(ms=_TTL_MS - 1)
        await store.sweep()

        assert sorted(await collect(store.keys())) == ["set", "stays", "touched", "updated"]

    async def test_a_second_sweep_finds_nothing(self, store: Storage[Any], clock: ManualClock) -> None:
        self._skip_where_shared()
        await store.set_many({str(number): 1 for number in range(50)}, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS + _LONG_AFTER_MS)
        await store.sweep()

        assert await store.sweep() == 0

    # clocks of machines jump

    async def test_a_clock_that_is_turned_back_kills_nothing(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        await store.set("old", 1, ttl_ms=_TTL_MS)
        clock.advance(ms=-_LONG_AFTER_MS)
        await store.set("new", 2, ttl_ms=_TTL_MS)
        await store.set("old", 3, ttl_ms=_TTL_MS)

        assert await store.get_many(["old", "new"]) == {"old": 3, "new": 2}

    async def test_a_deadline_is_of_the_clock_as_it_is_now(
        self, store: Storage[Any], clock: ManualClock
    ) -> None:
        clock.advance(ms=-_LONG_AFTER_MS)
        await store.set("key", 1, ttl_ms=_TTL_MS)
        clock.advance(ms=_TTL_MS - 1)
        before = await store.has("key")
        clock.advance(ms=_LONG_AFTER_MS)

        assert (before, await store.has("key")) == (True, False)
