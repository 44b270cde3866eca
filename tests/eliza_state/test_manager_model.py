"""The invariant: state is the fold of the records."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eliza_state.errors import (
    Rejected,
    StateError,
)
from eliza_state.event import event
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    Said,
    Typing,
)

HELLO = Said(user="ada", text="hello")


SCOPES = [
    Path(),
    AGENT,
    ROOM,
    TALK,
    OTHER,
    TALK.child("message", "m"),
    AGENT.child("user", "u"),
    Path().child("agent", "b").child("room", "r"),
]


@event("added")
class Added:
    """Something was added; odd amounts are refused by the scope they are addressed to."""

    amount: int


@event("cleared")
class Cleared:
    """All of it went."""


@attrs.frozen
class Sum:
    value: int = 0
    seen: tuple[int, ...] = ()


def sum_module(name: str, level: str) -> StateModule[Sum]:
    """A module that sums up; it refuses odd amounts addressed to it, and keeps the last five."""

    class SumModule(StateModule[Sum]):
        @reduces(Added)
        def add(self, state: Sum, event: Added, path: Path) -> Sum:
            if event.amount % 2 and (path.level or "global") == level:
                raise Rejected("odd")
            if not event.amount:
                return state
            return Sum(state.value + event.amount, (*state.seen, event.amount)[-5:])

        @reduces(Cleared)
        def clear(self, state: Sum, _event: Cleared) -> Sum:
            return state if state == Sum() else Sum()

    SumModule.name, SumModule.level = name, level
    return SumModule()


SUMS = {"root": "global", "agents": "agent", "rooms": "room", "talks": "conversation"}


class Typed(StateModule[Sum]):
    name = "typed"
    level = "conversation"
    volatile = True

    @reduces(Typing)
    def type(self, state: Sum, event: Typing) -> Sum:
        return Sum(state.value + 1)


AMOUNTS = st.integers(0, 9)
PLACES = st.sampled_from(SCOPES)
HAPPENED = st.builds(Added, amount=AMOUNTS) | st.just(Cleared())


class Store(RuleBasedStateMachine):
    """A store beside a list of what it took, folded by hand."""

    url = "memory://"
    folder: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.log: list[tuple[Any, Path]] = []
        self.typed: dict[Path, int] = {}
        self.count = 0

    @initialize()
    def open(self) -> None:
        if self.url != "memory://":
            Store.count = getattr(Store, "count", 0) + 1
            self.store = f"{self.url}{Store.count}.db"
        else:
            self.store = self.url
        self._open()

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def _open(self) -> None:
        async def opening() -> StateManager:
            return await StateManager.open(
                self.store,
                modules=[*(sum_module(name, level) for name, level in SUMS.items()), Typed()],
                limits=Limits(max_scopes=2),
            )

        self.manager = self.run(opening())

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.run(self.manager.close())
        self.loop.close()

    # The model

    @staticmethod
    def level(path: Path) -> str:
        return path.level or "global"

    def refusal(self, event: Any, path: Path) -> type[StateError] | None:
        chain = {self.level(above) for above in path.chain()}
        assert chain & set(SUMS.values())
        odd = isinstance(event, Added) and event.amount % 2
        return Rejected if odd and self.level(path) in SUMS.values() else None

    def fold(self, path: Path, until: int) -> dict[str, Sum]:
        level = self.level(path)
        state = Sum()
        for happened, to in self.log[:until]:
            if to != path and not to.is_below(path):
                continue
            if isinstance(happened, Cleared):
                state = Sum()
            elif happened.amount:
                state = Sum(state.value + happened.amount, (*state.seen, happened.amount)[-5:])
        return {name: state for name, where in SUMS.items() if where == level}

    # The rules

    @rule(event=HAPPENED, to=PLACES)
    def dispatch(self, event: Any, to: Path) -> None:
        refused = None
        try:
            change = self.run(self.manager.dispatch(event, to=to))
        except StateError as error:
            refused = type(error)
        else:
            self.log.append((event, to))
            assert len(self.log) == change.position

        assert refused is self.refusal(event, to)

    @rule(batch=st.lists(st.tuples(HAPPENED, PLACES), min_size=1, max_size=6), lenient=st.booleans())
    def dispatch_all(self, batch: list[tuple[Any, Path]], lenient: bool) -> None:
        wanted = [self.refusal(*each) for each in batch]
        refused, outcomes = None, []
        try:
            outcomes = self.run(self.manager.dispatch_all(batch, return_exceptions=lenient))
        except StateError as error:
            refused = type(error)

        assert (None if lenient else next(filter(None, wanted), None)) is refused
        if refused is None:
            assert wanted == [type(each) if isinstance(each, StateError) else None for each in outcomes]
            self.log += [each for each, error in zip(batch, wanted, strict=True) if error is None]

    @rule(events=st.lists(st.tuples(HAPPENED, PLACES), min_size=2, max_size=8))
    def dispatch_together(self, events: list[tuple[Any, Path]]) -> None:
        async def together() -> list[Any]:
            calls = (self.manager.dispatch(happened, to=to) for happened, to in events)
            return await asyncio.gather(*calls, return_exceptions=True)

        taken = []
        for (happened, to), outcome in zip(events, self.run(together()), strict=True):
            wanted = self.refusal(happened, to)
            assert wanted is (type(outcome) if isinstance(outcome, BaseException) else None)
            if wanted is None:
                taken.append((outcome.position, happened, to))
        self.log += [tuple(each) for _, *each in sorted(taken, key=lambda each: each[0])]

    @rule(to=st.sampled_from([TALK, OTHER]))
    def type(self, to: Path) -> None:
        self.run(self.manager.dispatch(Typing(user="ada"), to=to))

    @precondition(lambda self: self.url != "memory://")
    @rule()
    def reopen(self) -> None:
        self.run(self.manager.close())
        self._open()

    @rule(path=PLACES, part=st.floats(0, 1))
    def look_back(self, path: Path, part: float) -> None:
        position = round(part * len(self.log))
        found = dict(self.run(self.manager.at(path).state(at=position)))
        found.pop("typed", None)

        assert self.fold(path, position) == found

    # The invariants

    @invariant()
    def state_is_the_fold(self) -> None:
        if not hasattr(self, "manager"):
            return
        for path in SCOPES:
            found = dict(self.run(self.manager.at(path).state()))
            found.pop("typed", None)

            assert self.fold(path, len(self.log)) == found

    @invariant()
    def records_are_in_order(self) -> None:
        if not hasattr(self, "manager"):
            return
        records = self.run(self.manager.root.records(limit=None))
        versions: dict[Path, int] = {}

        assert list(range(1, len(self.log) + 1)) == [record.position for record in records]
        assert [to for _, to in self.log] == [record.path for record in records]
        for record in records:
            versions[record.path] = versions.get(record.path, 0) + 1
            assert versions[record.path] == record.version


@pytest.mark.parametrize(("kind", "count"), [("memory", 40), ("sqlite", 20)])
def test_state_is_the_fold_of_the_records(kind, count, tmp_path):
    machine = type(
        "OneStore", (Store,), {"url": "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/"}
    )
    machine.TestCase.settings = settings(
        max_examples=examples(count), stateful_step_count=15, deadline=None, print_blob=True
    )
    machine.TestCase().runTest()
