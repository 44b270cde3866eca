"""When snapshots are taken, what they cost, and that nobody waits for them."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from eliza_modules.conversation import ConversationModule, MessageReceived
from eliza_modules.room import RoomModule, UserJoined
from eliza_state import snapshotter
from eliza_state.errors import StoreError
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.snapshots import ChunkMissing
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, TALK, Said
from tests.eliza_state.stored_snapshots import CHUNK, change_rows, stored


async def slots(url: str) -> int:
    """Return how many snapshots are stored."""
    return len((await stored(url))[0])


async def say(manager: StateManager, count: int) -> None:
    await manager.dispatch_all([(Said(user="ada", text=str(number)), TALK) for number in range(count)])
    await manager.core.snapshotter.close([])


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(snapshotter, "MIN_TAIL", 10)


async def test_a_short_tail_takes_no_snapshot(opened, sqlite_url, eager):
    manager = await opened(sqlite_url)
    await say(manager, 9)

    assert await slots(sqlite_url) == 0


async def test_a_tail_that_has_grown_takes_one_of_every_scope_with_stored_slices(opened, sqlite_url, eager):
    manager = await opened(sqlite_url)
    await say(manager, 10)

    assert await slots(sqlite_url) == 4  # the root, the agent, the room, the conversation
    assert list(manager.problems) == []


async def test_closing_takes_the_snapshots_that_make_opening_quick(opened, sqlite_url, monkeypatch):
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 5)
    manager = await opened(sqlite_url)
    await say(manager, 6)
    before = await slots(sqlite_url)
    await manager.close()

    assert (0, 4) == (before, await slots(sqlite_url))


async def test_old_snapshots_go(opened, sqlite_url, eager):
    manager = await opened(sqlite_url)
    for _ in range(20):
        await say(manager, 10)

    assert await slots(sqlite_url) <= 8


async def test_a_scope_that_only_counts_weighs_no_more_with_each_snapshot(opened, sqlite_url, eager):
    manager = await opened(sqlite_url)
    sizes = []
    for _ in range(20):
        await manager.dispatch_all([(Said(user="ada", text="x" * 100), TALK)] * 10)
        await manager.core.snapshotter.close([])
        sizes.append(manager.core.scopes.find(Path()).size_bytes)

    assert max(sizes) < 300
    assert manager.core.scopes.size_bytes == sum(scope.size_bytes for scope in manager.core.scopes)


async def test_a_scope_that_keeps_what_it_is_told_weighs_as_much(opened, sqlite_url, eager):
    manager = await opened(sqlite_url)
    for _ in range(20):
        await manager.dispatch_all([(Said(user="ada", text="x" * 100), TALK)] * 10)
        await manager.core.snapshotter.close([])

    assert manager.core.scopes.find(TALK).size_bytes >= 20_000


async def test_a_snapshot_that_cannot_be_stored_is_reported_and_stops_nothing(
    opened, sqlite_url, eager, monkeypatch
):
    manager = await opened(sqlite_url)

    async def fail(*_args, **_options):
        raise StoreError("disk full")

    monkeypatch.setattr(manager.core.snapshotter._snapshots, "save", fail)
    await say(manager, 10)
    monkeypatch.undo()
    await say(manager, 600)

    assert {"snapshot"} == {problem.kind for problem in manager.problems}
    assert await slots(sqlite_url) == 4


async def test_a_state_that_cannot_be_written_is_reported_and_stops_nothing(opened, sqlite_url, eager):
    class Odd(chat.TotalsModule):
        def serialize(self, state):
            raise TypeError("odd")

    manager = await opened(sqlite_url, modules=[Odd(), chat.TalkModule()])
    await say(manager, 10)

    assert {
        (
            "snapshot",
            "no snapshot was taken: the state of module 'totals' cannot be written: TypeError('odd')",
        )
    } == {(problem.kind, problem.message) for problem in manager.problems}
    assert (await manager.root.state("totals")).said == 10


async def test_a_memory_store_takes_none(opened, eager):
    manager = await opened()
    await manager.dispatch_all([(Said(user="ada", text="x"), TALK)] * 50)

    assert manager.core.snapshotter is None


async def test_events_go_on_while_a_snapshot_is_taken(opened, sqlite_url, eager):
    manager = await opened(sqlite_url, limits=Limits(inline_below_ms=0))
    for number in range(100):
        await asyncio.gather(
            *(manager.dispatch(Said(user="a", text=f"{number}-{n}"), to=TALK) for n in range(5))
        )
    state = await manager.at(TALK).state("talk")
    await manager.close()
    manager = await opened(sqlite_url)

    assert state == await manager.at(TALK).state("talk")
    assert list(manager.problems) == []


async def test_a_buffered_store_takes_snapshots_of_what_is_written(opened, sqlite_url, eager):
    manager = await opened(sqlite_url, durability="buffered", limits=Limits(flush_interval_ms=3_600_000))
    await say(manager, 50)
    before = await slots(sqlite_url)
    await manager.flush()
    await manager.core.snapshotter.close([])

    assert before == 0
    assert await slots(sqlite_url) == 4


async def test_a_buffered_store_that_goes_on_at_once_takes_snapshots_as_well(opened, sqlite_url, eager):
    manager = await opened(sqlite_url, durability="buffered", limits=Limits(flush_interval_ms=1))

    async def go_on() -> None:
        for number in itertools.count():
            await manager.dispatch(Said(user="ada", text=str(number)), to=TALK)
            if not number % 10:
                await manager.flush()

    going_on = asyncio.create_task(go_on())
    async with asyncio.timeout(60):  # a scope's next snapshot begins once the last one is stored
        while await slots(sqlite_url) <= 4:
            assert not going_on.done()
    going_on.cancel()
    await asyncio.wait([going_on])

    assert [] == list(manager.problems)


MESSAGES = 3_000


async def test_reading_the_last_fifty_messages_loads_no_more_than_they_need(opened, sqlite_url, monkeypatch):
    modules = [ConversationModule(), RoomModule()]
    manager = await opened(sqlite_url, modules=modules)
    for start in range(0, MESSAGES, 500):
        await manager.dispatch_all(
            [(MessageReceived(id=f"m{n}", user="ada", text="hello"), TALK) for n in range(start, start + 500)]
        )
        await manager.core.snapshotter.close([])
    await manager.close()
    manager = await opened(sqlite_url, modules=modules)
    snapshots, loaded = manager.core.snapshotter._snapshots, []
    chunks = snapshots.chunks

    def counted(path, digests):
        loaded.extend(digests)
        return chunks(path, digests)

    monkeypatch.setattr(snapshots, "chunks", counted)
    messages = (await manager.at(TALK).state(ConversationModule)).messages
    last = messages.last(50)

    assert len(messages) == MESSAGES
    assert [f"m{number}" for number in range(MESSAGES - 50, MESSAGES)] == [message.id for message in last]
    assert len(loaded) <= 1
    assert list(manager.problems) == []


def damage_chunks(url: str) -> None:
    assert change_rows(url, f"UPDATE TABLE SET value = zeroblob(length(value)) WHERE {CHUNK}") > 0


async def damaged_chunks(opened, url: str, *, tail: int = 0) -> StateManager:
    """A conversation of three thousand messages, every stored chunk of which is damaged, opened anew.

    Of the messages on top, `tail` are in no snapshot.
    """
    modules = [ConversationModule()]
    manager = await opened(url, modules=modules)
    await manager.dispatch_all(
        [(MessageReceived(id=f"m{n}", user="ada", text="hello"), TALK) for n in range(MESSAGES)]
    )
    await manager.close()
    manager = await opened(url, modules=modules)
    for number in range(MESSAGES, MESSAGES + tail):
        await manager.dispatch(MessageReceived(id=f"m{number}", user="ada", text="hello"), to=TALK)
    await manager.close()
    damage_chunks(url)
    return await opened(url, modules=modules)


async def test_what_needs_no_damaged_chunk_is_read(opened, sqlite_url):
    manager = await damaged_chunks(opened, sqlite_url)
    messages = (await manager.at(TALK).state(ConversationModule)).messages

    assert len(messages) == MESSAGES
    assert [f"m{MESSAGES - 1}"] == [message.id for message in messages.last(1)]


async def test_a_damaged_chunk_is_never_taken_for_another_content_and_then_folded_anew(opened, sqlite_url):
    manager = await damaged_chunks(opened, sqlite_url)
    talk = manager.at(TALK)
    messages = (await talk.state(ConversationModule)).messages

    with pytest.raises(ChunkMissing, match="cannot be read"):
        next(iter(messages))
    assert [f"m{n}" for n in range(MESSAGES)] == [
        m.id for m in (await talk.state(ConversationModule)).messages
    ]
    assert {"snapshot"} == {problem.kind for problem in manager.problems}


@pytest.mark.parametrize("way", ["alone", "together", "lenient"])
async def test_a_conversation_with_a_damaged_chunk_goes_on(opened, sqlite_url, way):
    manager = await damaged_chunks(opened, sqlite_url)
    received = MessageReceived(id="new", user="ada", text="hello")
    if way == "alone":
        change = await manager.dispatch(received, to=TALK)
    else:
        (change,) = await manager.dispatch_all([(received, TALK)], return_exceptions=way == "lenient")

    messages = (await manager.at(TALK).state(ConversationModule)).messages
    assert change.version == MESSAGES + 1
    assert messages.get("m0") is not None
    assert "new" in messages
    assert {"snapshot"} == {problem.kind for problem in manager.problems}


async def test_a_tail_behind_a_damaged_chunk_is_folded_onto_the_whole(opened, sqlite_url):
    """What a fold needs of a damaged snapshot makes it start from the records, not lose the tail."""
    manager = await damaged_chunks(opened, sqlite_url, tail=20)

    messages = (await manager.at(TALK).state(ConversationModule)).messages
    assert [f"m{n}" for n in range(MESSAGES + 20)] == [message.id for message in messages]
    assert {"snapshot"} == {problem.kind for problem in manager.problems}


async def test_a_state_in_hand_outlives_its_manager(opened, sqlite_url):
    modules = [ConversationModule()]
    manager = await opened(sqlite_url, modules=modules)
    await manager.dispatch_all(
        [(MessageReceived(id=f"m{n}", user="ada", text="hello"), TALK) for n in range(MESSAGES)]
    )
    await manager.close()
    manager = await opened(sqlite_url, modules=modules)
    messages = (await manager.at(TALK).state(ConversationModule)).messages
    await manager.close()

    assert [f"m{n}" for n in range(MESSAGES)] == [message.id for message in messages]
    assert "m7" in messages


@pytest.mark.parametrize("seen", [True, False])
async def test_a_damaged_chunk_of_a_scope_above_is_folded_anew(opened, sqlite_url, seen):
    modules = [ConversationModule(), RoomModule()]
    manager = await opened(sqlite_url, modules=modules)
    await manager.dispatch_all([(UserJoined(user=f"u{n}"), ROOM) for n in range(MESSAGES)])
    await manager.close()
    damage_chunks(sqlite_url)
    manager = await opened(sqlite_url, modules=modules)
    talk = manager.at(TALK)
    if seen:
        await talk.state()

    async with asyncio.timeout(30):
        await talk.dispatch(MessageReceived(id="m1", user="new", text="hello"))
    participants = (await manager.at(ROOM).state(RoomModule)).participants
    assert len(participants) == MESSAGES + 1
    assert {"u0", "new"} <= participants


async def test_many_dispatches_at_once_find_a_damaged_chunk(opened, sqlite_url):
    manager = await damaged_chunks(opened, sqlite_url)
    events = [MessageReceived(id=f"new{n}", user="ada", text="hello") for n in range(20)]

    async with asyncio.timeout(60):
        changes = await asyncio.gather(*(manager.dispatch(event, to=TALK) for event in events))
    assert {MESSAGES + 1 + n for n in range(20)} == {change.version for change in changes}
    assert len((await manager.at(TALK).state(ConversationModule)).messages) == MESSAGES + 20
