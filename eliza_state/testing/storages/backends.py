"""What a backend promises to `Storage` and to the layers above it, beyond what the face shows."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.backend import (
    GONE,
    Backend,
    Entry,
    Mark,
    Write,
    Written,
    deadline_of,
    outcome_of,
)
from eliza_state.storage.keys import space_of
from eliza_state.storage.storage import Storage
from eliza_state.testing.clocks import ManualClock
from eliza_state.testing.storages.fixtures import StorageFixtures, collect
from eliza_state.testing.storages.model import BOUNDED

_TTL_MS: Final = 5_000
_LONG_AFTER_MS: Final = 3_600_000


class Attempt(NamedTuple):
    """A write that is tried some time after another; `expects` says which version, if any.

    `keeps` says that the deadline stays, where there is one to keep.
    """

    name: str
    value: Any
    ttl_ms: int | None
    expects: str
    version: int | None
    keeps: bool
    after_ms: int

    def write(self, key: str, held: Mark | None, *, now_ms: int) -> Write[Any]:
        """Return the write of a key under which that is held."""
        ttl_ms = _TTL_MS if self.value is GONE else self.ttl_ms
        live = held.version if held is not None and held.is_live(now_ms) else 0
        expected = {"nothing": None, "the live version": live, "no key": 0, "another version": 3}[
            self.expects
        ]
        deadline_ms = None if ttl_ms is None else now_ms + ttl_ms
        keeps = self.keeps and bool(live) and expected == live and self.version is None
        return Write(
            key,
            self.value,
            deadline_ms,
            ttl_ms,
            expected,
            self.version,
            keeps_deadline=keeps and self.value is not GONE,
        )


ATTEMPTS: Final = st.builds(
    Attempt,
    name=st.sampled_from(["a", "b"]),
    value=st.sampled_from([1, 2, GONE]),
    ttl_ms=st.sampled_from([None, _TTL_MS]),
    expects=st.sampled_from(["nothing", "the live version", "no key", "another version"]),
    version=st.sampled_from([None, None, None, 1, 5, 10**15, 10**16]),
    keeps=st.booleans(),
    after_ms=st.sampled_from([-1_000, 0, 1, _TTL_MS]),
)


class BackendContract(StorageFixtures):
    """Hold the backend of a storage against `eliza_state.storage.backend.Backend`.

    Inherit it beside `StorageContract`; the fixtures are the same. A storage that is no backend's plain face
    (one in layers, or one that changes what is written) need not.
    """

    @pytest.fixture
    def backend(self, storage: Storage[Any]) -> Backend[Any]:
        """Give the backend under test, which holds values."""
        return storage.backend

    @pytest.fixture
    def space(self, store: Storage[Any]) -> str:
        """Give the text that the keys of an empty namespace start with."""
        return space_of(*store.names)

    async def test_an_entry_is_read_as_it_was_written(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        deadline_ms = clock() // 1_000 + _TTL_MS
        (written,) = await backend.write([Write(f"{space}a", [1], deadline_ms, _TTL_MS)])

        entry = Entry([1], written.version, deadline_ms, _TTL_MS)
        assert dict(await backend.read([f"{space}a", f"{space}b"])) == {f"{space}a": entry}
        assert dict(await backend.look([f"{space}a", f"{space}b"])) == {f"{space}a": entry.mark}

    async def test_nothing_is_read_and_written_of_no_keys(self, backend: Backend[Any]) -> None:
        assert (dict(await backend.read([])), dict(await backend.look([]))) == ({}, {})
        assert (list(await backend.write([])), await backend.remove([])) == ([], 0)
        assert await backend.touch([]) == set()

    async def test_what_is_at_hand_is_what_is_read(self, backend: Backend[Any], space: str) -> None:
        await backend.write([Write(f"{space}a", 1)])

        assert backend.at_hand(f"{space}a") in (None, (await backend.read([f"{space}a"]))[f"{space}a"])
        assert backend.at_hand(f"{space}b") is None

    async def test_later_writes_of_a_key_come_after_earlier_ones(
        self, backend: Backend[Any], space: str
    ) -> None:
        writes = [Write(f"{space}{key}", number) for number, key in enumerate("abaab")]
        written = await backend.write(writes)

        found = await backend.read([f"{space}a", f"{space}b"])
        assert {key[-1]: entry.value for key, entry in found.items()} == {"a": 3, "b": 4}
        assert all(one.is_stored for one in written)
        assert written[0].version < written[2].version < written[3].version == found[f"{space}a"].version

    async def test_an_expectation_that_fails_stops_no_other_write(
        self, backend: Backend[Any], space: str
    ) -> None:
        written = await backend.write(
            [Write(f"{space}a", 1, expected=7), Write(f"{space}b", 2), Write(f"{space}c", 3, expected=0)]
        )

        assert [one.is_stored for one in written] == [False, True, True]
        assert {key[-1] for key in await backend.read([f"{space}{key}" for key in "abc"])} == {"b", "c"}

    async def test_a_copy_keeps_its_version(self, backend: Backend[Any], space: str) -> None:
        written = await backend.write([Write(f"{space}a", 1, version=7)])

        assert list(written) == [Written(7, is_stored=True)]
        assert (await backend.read([f"{space}a"]))[f"{space}a"].version == 7

    @pytest.mark.parametrize(("version", "is_stored"), [(6, False), (7, False), (8, True)])
    async def test_a_copy_replaces_a_lower_version_only(
        self, backend: Backend[Any], space: str, version: int, is_stored: bool
    ) -> None:
        await backend.write([Write(f"{space}a", "held", version=7)])
        written = await backend.write([Write(f"{space}a", "copy", version=version)])

        assert list(written) == [Written(max(7, version), is_stored)]
        assert (await backend.read([f"{space}a"]))[f"{space}a"].value == ("copy" if is_stored else "held")

    async def test_a_copy_does_not_bring_back_what_was_deleted(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        deadline_ms = clock() // 1_000 + _TTL_MS
        await backend.write([Write(f"{space}a", GONE, deadline_ms, _TTL_MS, version=7)])
        clock.advance(ms=_TTL_MS - 1)
        written = await backend.write([Write(f"{space}a", "late", version=6)])

        assert list(written) == [Written(7, is_stored=False)]
        assert (await backend.look([f"{space}a"]))[f"{space}a"] == Mark(7, deadline_ms, _TTL_MS, is_gone=True)

    async def test_a_tombstone_keeps_its_version(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        deadline_ms = clock() // 1_000 + _TTL_MS
        (gone,) = await backend.write([Write(f"{space}a", GONE, deadline_ms, _TTL_MS)])
        clock.advance(ms=-_LONG_AFTER_MS)
        (anew,) = await backend.write([Write(f"{space}a", 1, expected=0)])

        assert anew.is_stored
        assert anew.version > gone.version

    @given(attempts=st.lists(ATTEMPTS, max_size=12))
    @BOUNDED
    async def test_outcomes_are_as_the_rule_says(
        self, backend: Backend[Any], clock: ManualClock, attempts: list[Attempt]
    ) -> None:
        space = space_of("contract", str(uuid.uuid4()))
        for attempt in attempts:
            clock.advance(ms=attempt.after_ms)
            key = space + attempt.name
            held = (await backend.look([key])).get(key)
            write = attempt.write(key, held, now_ms=clock() // 1_000)
            await self._compare(backend, write, held, now_us=clock())

    async def _compare(
        self, backend: Backend[Any], write: Write[Any], held: Mark | None, *, now_us: int
    ) -> None:
        by_the_rule = outcome_of(write, held, now_us=now_us)
        (written,) = await backend.write([write])
        assert written.is_stored == by_the_rule.is_stored
        if written.is_stored and write.version is None:
            assert written.version >= by_the_rule.version  # a backend may leave numbers out
        else:
            assert written.version == by_the_rule.version
        mark = (await backend.look([write.key])).get(write.key)
        if written.is_stored:
            deadline_ms = deadline_of(write, held)
            assert mark == Mark(written.version, deadline_ms, write.ttl_ms, write.value is GONE)
        else:
            assert mark == held

    # removing

    async def test_live_keys_that_are_removed_are_counted(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        keys = await self._of_every_kind(backend, space, clock)

        assert await backend.remove([*keys.values(), f"{space}missing"]) == 2
        assert dict(await backend.look(list(keys.values()))) == {}

    async def test_only_what_is_past_its_deadline_goes_if_asked_for(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        keys = await self._of_every_kind(backend, space, clock)

        assert await backend.remove([*keys.values(), f"{space}missing"], dead_only=True) == 0
        left = await backend.look(list(keys.values()))
        assert set(left) == {keys["alive"], keys["stays"], keys["gone"]}

    async def test_live_keys_that_are_touched_are_told(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        keys = await self._of_every_kind(backend, space, clock)

        assert await backend.touch([*keys.values(), f"{space}missing"]) == {keys["alive"], keys["stays"]}
        assert (await backend.look([keys["alive"]]))[keys["alive"]].deadline_ms == (
            clock() // 1_000 + _LONG_AFTER_MS
        )

    async def _of_every_kind(self, backend: Backend[Any], space: str, clock: ManualClock) -> dict[str, str]:
        keys = {name: space + name for name in ("alive", "stays", "dead", "gone")}
        now_ms = clock() // 1_000
        await backend.write(
            [
                Write(keys["alive"], 1, now_ms + _LONG_AFTER_MS, _LONG_AFTER_MS),
                Write(keys["stays"], 2),
                Write(keys["dead"], 3, now_ms + _TTL_MS, _TTL_MS),
                Write(keys["gone"], GONE, now_ms + _LONG_AFTER_MS, _LONG_AFTER_MS),
            ]
        )
        clock.advance(ms=_TTL_MS)
        return keys

    # all keys

    async def test_a_scan_gives_every_key_once_with_its_mark(self, backend: Backend[Any], space: str) -> None:
        written = await backend.write([Write(f"{space}{number}", number) for number in range(2_500)])

        found = [item for page in await collect(backend.scan(space)) for item in page]
        expected = {f"{space}{number}": Mark(one.version) for number, one in enumerate(written)}
        assert len(found) == 2_500
        assert dict(found) == expected

    async def test_a_scan_goes_below_if_asked_to(self, backend: Backend[Any], space: str) -> None:
        names = ["a", "ab", "b", "a/a", "a/ab/c", "ab/a", "a%2Fb"]
        await backend.write([Write(space + name, 1) for name in names])

        assert await self._scanned(backend, space) == ["a", "a%2Fb", "ab", "b"]
        assert await self._scanned(backend, space, nested=True) == sorted(names)
        assert await self._scanned(backend, f"{space}a/", nested=True) == ["a/a", "a/ab/c"]
        assert await self._scanned(backend, space, prefix="ab", nested=True) == ["ab", "ab/a"]
        assert await self._scanned(backend, space, prefix="a%2F") == ["a%2Fb"]

    async def _scanned(self, backend: Backend[Any], space: str, **options: Any) -> list[str]:
        root = space_of(*space.split("/")[:2])
        pages = await collect(backend.scan(space, **options))
        return sorted(key.removeprefix(root) for page in pages for key, _ in page)

    # sweeping

    async def test_a_sweep_removes_no_more_than_its_limit(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        self._skip_where_shared()
        keys = await self._dead(backend, space, clock, count=10)
        swept = [await backend.sweep(limit=4) for _ in range(4)]

        assert max(map(len, swept)) <= 4
        assert swept[-1] == []
        flat = [key for keys in swept for key in keys]
        assert len(flat) == len(set(flat))
        assert set(flat) <= set(keys)
        assert dict(await backend.look(keys)) == {}

    async def test_the_expired_are_listed(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        self._skip_where_shared()
        keys = await self._dead(backend, space, clock, count=10)
        await backend.write([Write(f"{space}alive", 1), Write(keys[0], "again")])

        listed = await backend.expired()
        assert set(listed) <= set(keys[1:])
        assert set(keys[1:]) - set(listed) == set(keys[1:]) - set(await backend.look(keys[1:]))
        assert len(await backend.expired(limit=3)) == min(3, len(listed))

    async def test_refreshed_keys_do_not_hide_a_dead_one_from_a_sweep(
        self, backend: Backend[Any], space: str, clock: ManualClock
    ) -> None:
        self._skip_where_shared()
        deadline_ms = clock() // 1_000 + _TTL_MS
        keys = [f"{space}{number}" for number in range(30)]
        await backend.write([Write(key, 1, deadline_ms, _LONG_AFTER_MS) for key in keys])
        await backend.touch(keys[1:])
        clock.advance(ms=_LONG_AFTER_MS - 1)

        assert await backend.sweep(limit=5) in ([keys[0]], [])
        assert set(await backend.look(keys)) == set(keys[1:])

    async def _dead(
        self, backend: Backend[Any], space: str, clock: ManualClock, *, count: int
    ) -> Sequence[str]:
        deadline_ms = clock() // 1_000 + _TTL_MS
        keys = [f"{space}{number}" for number in range(count)]
        kinds: list[Any] = [1, GONE]
        await backend.write(
            [Write(key, kinds[number % 2], deadline_ms, _TTL_MS) for number, key in enumerate(keys)]
        )
        clock.advance(ms=_TTL_MS + _LONG_AFTER_MS)
        return keys
