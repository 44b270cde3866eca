"""Whatever is done to a storage, it answers as a plain dict with deadlines would."""

from __future__ import annotations

import uuid
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.storage import Storage
from eliza_state.testing.clocks import ManualClock
from eliza_state.testing.storages.fixtures import StorageFixtures, collect

_KEYS: Final = st.sampled_from(["a", "b", "a/b", "ä%"])
_SPACES: Final = st.sampled_from([(), ("a",), ("a", "b"), ("ab",)])
_VALUES: Final = st.one_of(st.none(), st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2))
_TTLS: Final = st.sampled_from([None, 1, 500, 1_000, 5_000])
_KINDS: Final = [
    "set", "set", "set", "get", "has", "mark", "delete", "touch", "update", "replace", "create", "entries",
    "set_many", "delete_many", "clear", "sweep", "advance", "advance",
]  # fmt: skip


BOUNDED: Final = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # one storage serves all examples, each in its namespace
        HealthCheck.differing_executors,  # each class that inherits a test is one
        HealthCheck.too_slow,
    ],
)
"""How examples are made: the same ones in every run, and not so many that a server gets slow."""


class Step(NamedTuple):
    """Something done to a storage and its model; each kind of step uses what it needs."""

    kind: str
    names: tuple[str, ...]
    key: str
    value: Any
    ttl_ms: int | None
    forward_ms: int


STEPS: Final = st.builds(
    Step, st.sampled_from(_KINDS), _SPACES, _KEYS, _VALUES, _TTLS, st.sampled_from([1, 499, 500, 4_000])
)


class Held(NamedTuple):
    """What the model keeps for a key."""

    value: Any
    deadline_ms: int | None
    ttl_ms: int | None


class Model:
    """A dict by namespace and key, beside the storage that it is compared with."""

    def __init__(self, storage: Storage[Any], clock: ManualClock | None) -> None:
        self._storage = storage
        self._clock = clock
        self._held: dict[tuple[tuple[str, ...], str], Held] = {}
        self._versions: dict[tuple[tuple[str, ...], str], int] = {}

    @property
    def _now_ms(self) -> int:
        return 0 if self._clock is None else self._clock() // 1_000

    def _live(self) -> dict[tuple[tuple[str, ...], str], Held]:
        return {
            path: held
            for path, held in self._held.items()
            if held.deadline_ms is None or held.deadline_ms > self._now_ms
        }

    def _hold(self, step: Step, value: Any) -> None:
        deadline_ms = None if step.ttl_ms is None else self._now_ms + step.ttl_ms
        self._held[step.names, step.key] = Held(value, deadline_ms, step.ttl_ms)

    async def take(self, step: Step) -> None:
        """Do a step to both; they must answer alike. Without a clock nothing has a deadline."""
        if self._clock is None:
            step = step._replace(ttl_ms=None)
        self._held = self._live()
        await getattr(self, f"_{step.kind}")(step, self._storage.namespace(*step.names))

    async def check(self) -> None:
        """Compare all that both hold."""
        held = self._live()
        for names in ((), ("a",), ("a", "b"), ("ab",)):
            expected = {path[1]: one.value for path, one in held.items() if path[0] == names}
            store = self._storage.namespace(*names)
            assert dict(await collect(store.entries())) == expected
            assert sorted(await collect(store.keys())) == sorted(expected)

    async def _set(self, step: Step, store: Storage[Any]) -> None:
        self._wrote(step, await store.set(step.key, step.value, ttl_ms=step.ttl_ms))
        self._hold(step, step.value)

    def _wrote(self, step: Step, version: int) -> None:
        if (step.names, step.key) in self._held:
            assert version > self._versions[step.names, step.key]
        self._versions[step.names, step.key] = version

    async def _get(self, step: Step, store: Storage[Any]) -> None:
        held = self._held.get((step.names, step.key))
        found = await store.get(step.key, "missing")
        assert found == ("missing" if held is None else held.value)

    async def _has(self, step: Step, store: Storage[Any]) -> None:
        assert await store.has(step.key) == ((step.names, step.key) in self._held)

    async def _mark(self, step: Step, store: Storage[Any]) -> None:
        held = self._held.get((step.names, step.key))
        mark = await store.mark(step.key)
        times = None if mark is None else (mark.deadline_ms, mark.ttl_ms)
        assert times == (None if held is None else (held.deadline_ms, held.ttl_ms))

    async def _delete(self, step: Step, store: Storage[Any]) -> None:
        held = self._held.pop((step.names, step.key), None)
        assert await store.delete(step.key) == (held is not None)

    async def _touch(self, step: Step, store: Storage[Any]) -> None:
        held = self._held.get((step.names, step.key))
        assert await store.touch(step.key) == (held is not None)
        if held is not None and held.ttl_ms is not None:
            self._hold(step._replace(ttl_ms=held.ttl_ms), held.value)

    async def _update(self, step: Step, store: Storage[Any]) -> None:
        held = self._held.get((step.names, step.key))
        after = GONE if step.value is None else [step.value]
        answer = await store.update(step.key, lambda _: after, ttl_ms=step.ttl_ms)
        assert answer == (None if after is GONE else after)
        if after is not GONE:
            entry = await store.entry(step.key)
            assert entry is not None
            self._wrote(step, entry.version)
            self._hold(step, after)
        elif held is not None:
            del self._held[step.names, step.key]

    async def _replace(self, step: Step, store: Storage[Any]) -> None:
        expected = self._versions.get((step.names, step.key), 7)
        if (step.names, step.key) in self._held:
            version = await store.set(step.key, step.value, ttl_ms=step.ttl_ms, expected_version=expected)
            self._wrote(step, version)
            self._hold(step, step.value)
            return
        with pytest.raises(StaleValue):
            await store.set(step.key, step.value, ttl_ms=step.ttl_ms, expected_version=expected)

    async def _create(self, step: Step, store: Storage[Any]) -> None:
        if (step.names, step.key) in self._held:
            with pytest.raises(StaleValue):
                await store.set(step.key, step.value, ttl_ms=step.ttl_ms, expected_version=0)
            return
        version = await store.set(step.key, step.value, ttl_ms=step.ttl_ms, expected_version=0)
        self._wrote(step, version)
        self._hold(step, step.value)

    async def _entries(self, step: Step, store: Storage[Any]) -> None:
        expected = {
            path[1]: held.value
            for path, held in self._held.items()
            if path[0] == step.names and path[1].startswith(step.key)
        }
        assert dict(await collect(store.entries(prefix=step.key))) == expected

    async def _set_many(self, step: Step, store: Storage[Any]) -> None:
        await store.set_many({step.key: step.value, "a": 0}, ttl_ms=step.ttl_ms)
        for key, value in {step.key: step.value, "a": 0}.items():
            entry = await store.entry(key)
            assert entry is not None
            self._wrote(step._replace(key=key), entry.version)
            self._hold(step._replace(key=key), value)

    async def _delete_many(self, step: Step, store: Storage[Any]) -> None:
        held = [self._held.pop((step.names, key), None) for key in {step.key, "a", "never"}]
        existed = sum(one is not None for one in held)
        assert await store.delete_many([step.key, "a", "never"]) == existed

    async def _clear(self, step: Step, store: Storage[Any]) -> None:
        await store.clear()
        depth = len(step.names)
        self._held = {path: held for path, held in self._held.items() if path[0][:depth] != step.names}

    async def _sweep(self, step: Step, store: Storage[Any]) -> None:
        await store.sweep()

    async def _advance(self, step: Step, store: Storage[Any]) -> None:
        if self._clock is not None:
            self._clock.advance(ms=step.forward_ms)


class ModelContract(StorageFixtures):
    """Random steps, done to a storage and to a plain dict."""

    @given(steps=st.lists(STEPS, min_size=1, max_size=25))
    @BOUNDED
    async def test_a_storage_answers_as_a_dict_does(
        self, request: pytest.FixtureRequest, storage: Storage[Any], steps: list[Step]
    ) -> None:
        clock = request.getfixturevalue("clock") if self.takes_clock else None
        model = Model(storage.namespace("model", str(uuid.uuid4())), clock)
        for step in steps:
            if not (self.is_shared and step.kind == "sweep"):
                await model.take(step)

        await model.check()
