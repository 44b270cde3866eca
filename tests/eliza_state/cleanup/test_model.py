"""Whatever has happened and whenever it is cleaned up: what remains, and all of the past, is as it was."""

from __future__ import annotations

import tempfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eliza_modules.conversation import (
    ConversationEnded,
    ConversationModule,
    MessageDeleted,
    MessageReceived,
    TopicUpdated,
)
from eliza_modules.room import RoomClosed
from eliza_state.cleanup import Compaction, ExpiredKeys, IdleScopes, OldMessages, Orphans, clean
from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.testing import ManualClock
from tests.effort import examples
from tests.eliza_state.cleanup import chat
from tests.eliza_state.cleanup.chat import DAY, ROOM, pass_days, talk

ROOMS = [ROOM, ROOM.parent.child("room", "other")]
TALKS = [talk(name, room=room) for room in ROOMS for name in ("c1", "c2")]

said = st.tuples(st.just("said"), st.sampled_from(TALKS), st.integers(0, 9))
deleted = st.tuples(st.just("deleted"), st.sampled_from(TALKS), st.integers(0, 9))
titled = st.tuples(st.just("titled"), st.sampled_from([*TALKS, *ROOMS]), st.integers(0, 9))
ended = st.tuples(st.just("ended"), st.sampled_from([*TALKS, *ROOMS]), st.just(0))
waited = st.tuples(st.just("waited"), st.just(Path()), st.integers(1, 4))
steps = st.lists(st.one_of(said, said, said, deleted, titled, waited, ended), min_size=1, max_size=15)


def policies(keep: int, age: int) -> list[Any]:
    return [
        IdleScopes(after=age * DAY),
        OldMessages(max_count=keep, max_age=age * DAY),
        ExpiredKeys(),
        Orphans(),
        Compaction(),
    ]


def event_of(kind: str, path: Path, number: int, clock: ManualClock) -> Any:
    if kind == "said":
        return MessageReceived(id=f"m{number}", user="ada", text="hello", at=clock.now)
    if kind == "deleted":
        return MessageDeleted(id=f"m{number}")
    if kind == "titled":
        return TopicUpdated(topic=f"topic {number}")
    return RoomClosed() if path in ROOMS else ConversationEnded()


async def happen(manager: StateManager, clock: ManualClock, step: tuple[str, Path, int]) -> None:
    """Let a step happen, as far as the state and the archive let it."""
    kind, path, number = step
    if kind == "waited":
        pass_days(clock, number)
        return
    try:
        await manager.dispatch(event_of(kind, path, number, clock), to=path)
    except StateError:
        return  # ended, archived, or a message that is not there


async def pasts(manager: StateManager, until: int) -> list[Any]:
    """The state of everything at every position."""
    return [await manager.root.tree(at=at) for at in range(until + 1)]


async def lived(url: str, first: Any, then: Any, bounds: tuple[int, int]) -> None:
    clock = ManualClock()
    async with StateManager.open(url, modules=chat.modules(), clock=clock) as manager:
        for step in first:
            await happen(manager, clock, step)
        position = await manager.position()
        before, present = await pasts(manager, position), await manager.root.tree()
        foreseen = await clean(manager, policies(*bounds), share=1, dry_run=True)

        assert await manager.root.tree() == present
        assert await manager.position() == position

        report = await clean(manager, policies(*bounds), share=1)

        assert foreseen.is_good
        assert report.is_good, str(report)
        assert await pasts(manager, position) == before
        trimmed = report.outcomes[1].done
        if not trimmed:
            assert await manager.root.tree() == present
        for step in then:
            await happen(manager, clock, step)
        assert await pasts(manager, position) == before
        await check_trimmed(manager, bounds)
    async with StateManager.open(url, modules=chat.modules(), clock=clock, snapshots=False) as manager:
        assert await pasts(manager, position) == before


async def check_trimmed(manager: StateManager, bounds: tuple[int, int]) -> None:
    """Passes leave nothing to be trimmed where events can be taken.

    What the first one writes is the newest record, so for the second one it may be later.
    """
    for _ in range(2):
        await clean(manager, policies(*bounds), share=1)
    again = await clean(manager, policies(*bounds), share=1, dry_run=True)

    assert again.outcomes[1].done == 0


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=examples(60))
@given(steps, steps, st.tuples(st.integers(0, 3), st.integers(1, 3)))
async def test_the_past_stays_and_what_remains_is_as_it_was(first: Any, then: Any, bounds: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await lived(f"sqlite:///{folder}/state.db?synchronous=NORMAL", first, then, bounds)


async def test_a_trimmed_conversation_is_the_fold_of_its_records(open_chat, sqlite_url, clock):
    """What a pass leaves is what another process makes of the records, without any snapshot."""
    manager = await open_chat(sqlite_url)
    await chat.say(manager, TALKS[0], clock, count=30)
    await clean(manager, [OldMessages(max_count=4)], share=1)
    state = await manager.at(TALKS[0]).state(ConversationModule)
    other = await open_chat(sqlite_url, snapshots=False, read_only=True)

    assert await other.at(TALKS[0]).state(ConversationModule) == state
