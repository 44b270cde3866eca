"""A store with an archive gives every state, present and past, that one without gives."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.errors import ScopeArchived, StateError
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.testing import ManualClock
from tests.effort import examples
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Drawn, Joined, Said

STRANGER = Path().child("agent", "someone else")
PATHS = [Path(), AGENT, ROOM, TALK, OTHER, STRANGER]
SCOPES = st.sampled_from([AGENT, ROOM, TALK, OTHER, STRANGER])

EVENTS = st.one_of(
    st.builds(lambda text, to: (Said(user="ada", text=text), to), st.sampled_from("abc"), st.just(TALK)),
    st.builds(lambda user, to: (Said(user=user, text="hey"), to), st.sampled_from("xy"), st.just(OTHER)),
    st.builds(lambda user: (Joined(user=user), ROOM), st.sampled_from("xyz")),
    st.builds(lambda amount: (Drawn(amount=amount), STRANGER), st.integers(1, 9)),
    st.just((Closed(), OTHER)),
)
STEPS = st.one_of(
    st.tuples(st.just("dispatch"), EVENTS),
    st.tuples(st.just("dispatch"), EVENTS),
    st.tuples(st.just("store"), SCOPES),
    st.tuples(st.just("restore"), SCOPES),
    st.tuples(st.just("erase"), st.sampled_from("abcxyz")),
    st.tuples(st.just("reopen"), st.none()),
)


class Twins:
    """Two stores in which the same happens; one of them archives."""

    def __init__(self, folder: FilePath) -> None:
        self._urls = [f"sqlite:///{folder / name}.db?synchronous=NORMAL" for name in ("ours", "twin")]
        self.clock = ManualClock()
        self._numbers = 0

    async def open(self) -> None:
        self.both = [
            await StateManager.open(url, modules=chat.modules(), clock=self.clock) for url in self._urls
        ]
        self.ours, self.twin = self.both

    async def close(self) -> None:
        for manager in self.both:
            await manager.close()

    async def take(self, step: str, given: Any) -> None:
        if step == "dispatch":
            await self._dispatch(*given)
        elif step == "store":
            await self.ours.archive.store(given)
        elif step == "restore":
            await self.ours.archive.restore(given)
        elif step == "erase":
            for manager in self.both:
                await manager.root.erase(where=lambda event: given in (event_text(event), event_user(event)))
        else:
            await self.close()
            await self.open()

    async def _dispatch(self, event: Any, path: Path) -> None:
        self._numbers += 1
        self.clock.advance(ms=1_000)
        outcomes = [await outcome(manager, event, path, id=f"e{self._numbers}") for manager in self.both]
        if isinstance(outcomes[0], ScopeArchived) and outcomes[0].restorable:
            await self.ours.archive.restore(path)
            outcomes[0] = await outcome(self.ours, event, path, id=f"e{self._numbers}")
        assert type(outcomes[0]) is type(outcomes[1])

    async def compare(self) -> None:
        ours, twin = [await answers(manager) for manager in self.both]
        assert twin == ours


def event_text(event: Any) -> str:
    return getattr(event, "text", "")


def event_user(event: Any) -> str:
    return getattr(event, "user", "")


async def outcome(manager: StateManager, event: Any, path: Path, **options: Any) -> Any:
    try:
        return await manager.dispatch(event, to=path, **options)
    except StateError as error:
        return error


async def answers(manager: StateManager) -> Any:
    last = await manager.position()
    records = await manager.root.records(limit=None)
    return (
        await manager.state(),
        [await manager.at(path).state(at=at) for path in PATHS for at in range(0, last + 1, 3)],
        [(await manager.at(path).version(), await manager.at(path).phase()) for path in PATHS],
        [{child.path for child in await manager.at(path).children()} for path in PATHS],
        [(record.position, record.path, record.version, record.event, record.content) for record in records],
        await manager.position_at(records[len(records) // 2].recorded_at) if records else 0,
    )


@given(st.lists(STEPS, min_size=3, max_size=14))
@settings(max_examples=examples(8))
async def test_every_state_is_the_same(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        twins = Twins(FilePath(folder))
        await twins.open()
        try:
            for step, given in steps:
                await twins.take(step, given)
                await twins.compare()
        finally:
            await twins.close()
