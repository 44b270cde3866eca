"""Restoring: what comes back, what stays, who is told, and when nothing is written."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eliza_state.change import Change
from eliza_state.debugger import Debugger, NoSuchPoint
from eliza_state.errors import InvalidEvent, RegistrationError, ScopeArchived, StateError, StoreError
from eliza_state.event import RESTORE, ScopeRestored
from eliza_state.lifecycle import Phase
from eliza_state.manager import StateManager
from eliza_state.module import reduces
from eliza_state.path import Path
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Said, Talk, TalkModule, Totals, Typing
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY

END = len(HISTORY)


async def texts(manager: StateManager, of: Path = TALK, **options: Any) -> list[str]:
    return list((await manager.at(of).state(TalkModule, **options)).texts)


# What comes back


async def test_a_scope_and_those_below_get_their_state_back(
    debugger: Debugger, manager: StateManager
) -> None:
    before = await manager.at(ROOM).tree(at=3)

    restored = await debugger.restore(3, ROOM)

    after = await manager.at(ROOM).tree()
    assert (before.slices, before.children[0].slices["talk"]) == (
        after.slices,
        after.children[0].slices["talk"],
    )
    assert ((ROOM, TALK, OTHER), 3, END + 1) == (restored.scopes, restored.to, restored.position)


async def test_scopes_above_keep_what_they_counted(debugger: Debugger, manager: StateManager) -> None:
    before = await manager.root.state("totals")

    restored = await debugger.restore(2, TALK)

    assert before == await manager.root.state("totals") == Totals(events=6, said=4, closed=1)
    assert (Path(), AGENT, ROOM) == restored.above


async def test_only_the_scope_itself_where_that_is_wanted(debugger: Debugger, manager: StateManager) -> None:
    said = await texts(manager)

    restored = await debugger.restore(1, ROOM, below=False)

    assert {"ada"} == set((await manager.at(ROOM).state("people")).names)
    assert said == await texts(manager)
    assert (ROOM,) == restored.scopes


async def test_a_scope_that_was_not_there_yet_is_as_it_began(
    debugger: Debugger, manager: StateManager
) -> None:
    await debugger.restore(4, OTHER)

    assert Talk() == await manager.at(OTHER).state(TalkModule)
    assert Phase.ACTIVE is await manager.at(OTHER).phase()


async def test_a_scope_that_no_record_reached_since_gets_none(debugger: Debugger) -> None:
    restored = await debugger.restore(7)

    assert (Path(), AGENT, ROOM, OTHER) == restored.scopes


async def test_volatile_slices_stay(debugger: Debugger, manager: StateManager) -> None:
    await manager.dispatch(Typing(user="bo"), to=TALK)

    await debugger.restore(2, TALK)

    assert ("bo",) == (await manager.at(TALK).state("presence")).typing


async def test_the_present_stays_and_says_that_it_was_asked_for(
    debugger: Debugger, manager: StateManager
) -> None:
    before, told = await manager.state(), list[Change]()
    manager.subscribe(told.append)

    restored = await debugger.restore(END, ROOM)

    after = await manager.state()
    assert [] == told
    assert (ROOM,) == restored.scopes
    assert before.slices == after.slices
    assert before.children[0].children[0].children == after.children[0].children[0].children


async def test_all_that_was_is_still_to_be_reached(debugger: Debugger, manager: StateManager) -> None:
    past = [await (await debugger.at(position)).snapshot() for position in range(END + 1)]

    await debugger.restore(2)
    await debugger.restore(5, AGENT)

    assert past == [await (await Debugger(manager).at(position)).snapshot() for position in range(END + 1)]


async def test_a_restore_can_be_taken_back(debugger: Debugger, manager: StateManager) -> None:
    before = (await manager.root.tree(depth=0)).slices, await texts(manager), await texts(manager, OTHER)
    await debugger.restore(0)

    await debugger.restore(END)

    assert before == (
        (await manager.root.tree(depth=0)).slices,
        await texts(manager),
        await texts(manager, OTHER),
    )
    assert Phase.ARCHIVED is await manager.at(OTHER).phase()


async def test_the_history_goes_on_from_there(debugger: Debugger, manager: StateManager) -> None:
    await debugger.restore(version=1, path=TALK)

    change = await manager.dispatch(Said(user="bo", text="and on"), to=TALK, expected_version=5)

    assert ["hello"] == list(change.before["talk"].texts)
    assert ["hello", "and on"] == await texts(manager)


async def test_a_scope_that_has_ended_since_goes_on(debugger: Debugger, manager: StateManager) -> None:
    await debugger.restore(7, OTHER)

    await manager.dispatch(Said(user="ada", text="again"), to=OTHER)

    assert ["elsewhere", "again"] == await texts(manager, OTHER)
    assert Phase.ACTIVE is await manager.at(OTHER).phase()


async def test_a_scope_that_had_ended_has_ended(debugger: Debugger, manager: StateManager) -> None:
    await debugger.restore(7, OTHER)
    await debugger.restore(END, OTHER)

    with pytest.raises(ScopeArchived):
        await manager.dispatch(Said(user="ada", text="again"), to=OTHER)


# What is written


async def test_each_scope_has_a_record_that_names_the_position(
    debugger: Debugger, manager: StateManager
) -> None:
    restored = await debugger.restore(3, ROOM, cause="a mistake")

    records = await manager.root.records(after=END)
    said = (await manager.root.records(after=2, limit=1))[0].id
    assert [(ROOM, RESTORE, "a mistake"), (TALK, RESTORE, "a mistake"), (OTHER, RESTORE, "a mistake")] == [
        (record.path, record.event, record.cause) for record in records
    ]
    assert {restored.id} == {record.id for record in records}
    assert (
        manager.tree.codec.encode(
            ScopeRestored(position=3, record=said, below="conversation:c1", last_event="joined")
        )
        == records[0].payload
    )


async def test_its_id_is_its_cause_unless_another_is_given(debugger: Debugger, manager: StateManager) -> None:
    restored = await debugger.restore(3, ROOM)

    assert {restored.id} == {record.cause for record in await manager.root.records(after=END)}


async def test_the_same_id_again_changes_nothing(debugger: Debugger, manager: StateManager) -> None:
    first = await debugger.restore(3, ROOM, id="undo")
    await manager.dispatch(Said(user="bo", text="on"), to=TALK)

    again = await debugger.restore(3, ROOM, id="undo")

    assert (first.position, first.scopes, True) == (again.position, again.scopes, again.duplicate)
    assert "on" in await texts(manager)


@pytest.mark.parametrize("to", [2, 4])
async def test_the_same_id_with_another_position_is_refused(debugger: Debugger, to: int) -> None:
    await debugger.restore(3, ROOM, id="undo")

    with pytest.raises(InvalidEvent, match=r"'undo'.*another event"):
        await debugger.restore(to, ROOM, id="undo")


async def test_a_restore_to_a_restore_leads_where_that_one_led(
    debugger: Debugger, manager: StateManager
) -> None:
    await debugger.restore(2, TALK)
    await manager.dispatch(Said(user="bo", text="on"), to=TALK)
    await debugger.restore(END + 1, TALK)

    assert 2 == manager.journal.restored_at(TALK, until=await manager.position()).target


# Who is told


async def test_receivers_are_told_what_changed_and_by_what(debugger: Debugger, manager: StateManager) -> None:
    before, changes = await manager.at(OTHER).state(TalkModule), list[Change]()
    manager.subscribe(changes.append)

    await debugger.restore(3, ROOM)

    talk, other = changes
    assert (TALK, "local", ScopeRestored) == (talk.path, talk.origin, type(talk.event))
    assert (before, Talk()) == (other.before["talk"], other.after["talk"])
    assert ["hello", "Hello yourself"] == list(talk.after["talk"].texts)


async def test_scopes_that_are_not_in_memory_are_told_of_as_well(opened: Open, sqlite_url: str) -> None:
    async with StateManager.open(sqlite_url, modules=chat.modules()) as first:
        await first.dispatch_all([(Said(user="ada", text="one"), path) for path in (TALK, OTHER)])
    manager, changes = await opened(sqlite_url), list[Change]()
    manager.subscribe(changes.append)

    await Debugger(manager).restore(0, ROOM)

    assert [ROOM, TALK, OTHER] == [change.path for change in changes]


async def test_nobody_hears_of_an_event_of_a_module(manager: StateManager) -> None:
    class Listening(TalkModule):
        @reduces(ScopeRestored)
        def restore(self, state: Talk, _event: ScopeRestored) -> Talk:
            return state

    Listening.name = "listening"
    with pytest.raises(RegistrationError, match=r"'scope_restored'.*subscribe"):
        await manager.register_module(Listening())


# In order with everything else


async def test_what_was_dispatched_before_is_undone_and_what_comes_after_stays(
    debugger: Debugger, manager: StateManager
) -> None:
    said = asyncio.create_task(manager.dispatch(Said(user="bo", text="before"), to=TALK))
    await asyncio.sleep(0)
    restoring = asyncio.create_task(debugger.restore(2, TALK))
    change = await said
    restored = await restoring
    await manager.dispatch(Said(user="bo", text="after"), to=TALK)

    assert change.position < restored.position
    assert ["hello", "after"] == await texts(manager)


async def test_dispatches_meanwhile_are_on_one_side_of_it_each(opened: Open, url: str) -> None:
    manager = await opened(url)
    debugger = Debugger(manager)

    async def talk(path: Path) -> AsyncIterator[None]:
        for number in range(60):
            await manager.dispatch(Said(user="ada", text=f"{number}"), to=path)
            yield

    async def talking(path: Path) -> None:
        async for _ in talk(path):
            await asyncio.sleep(0)

    async def restoring() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            await debugger.restore(await manager.position() // 2, ROOM)

    await manager.dispatch(Said(user="ada", text="first"), to=TALK)
    await asyncio.gather(talking(TALK), talking(OTHER), restoring())

    now = await Debugger(manager).at(await manager.position())
    for path in (Path(), ROOM, TALK, OTHER):
        recovered = await manager.root.access.reading.recover(path, until=now.position)
        assert recovered.slices == await now.state(path) == await manager.at(path).state()


async def test_buffered_events_are_undone_too(opened: Open, sqlite_url: str) -> None:
    manager = await opened(sqlite_url, durability="buffered")
    await manager.dispatch(Said(user="ada", text="one"), to=TALK)
    await manager.dispatch(Said(user="ada", text="two"), to=TALK)

    await Debugger(manager).restore(1, TALK)
    await manager.dispatch(Said(user="ada", text="three"), to=TALK)

    assert ["one", "three"] == await texts(manager)
    await manager.close()
    assert ["one", "three"] == await texts(await opened(sqlite_url))


async def test_a_caller_that_is_cancelled_does_not_stop_it(opened: Open, sqlite_url: str) -> None:
    manager = await opened(sqlite_url)
    await manager.dispatch_all([(Said(user="ada", text=text), TALK) for text in ("one", "two")])
    debugger, told, entered = Debugger(manager), asyncio.Event(), asyncio.Event()
    manager.subscribe(lambda _: told.set(), event=ScopeRestored)
    append, loop = manager.journal.append, asyncio.get_running_loop()

    def appending(*arguments: Any, **options: Any) -> Any:
        loop.call_soon_threadsafe(entered.set)
        return append(*arguments, **options)

    manager.journal.append = appending  # type: ignore[method-assign]
    restoring = asyncio.create_task(debugger.restore(1, TALK, id="undo"))
    await entered.wait()
    restoring.cancel()

    with pytest.raises(asyncio.CancelledError):
        await restoring
    await asyncio.wait_for(told.wait(), 5)

    assert ["one"] == await texts(manager)


# What is refused


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ({"position": END + 1}, NoSuchPoint),
        ({"position": -1}, NoSuchPoint),
        ({"version": 9, "path": TALK}, NoSuchPoint),
        ({"event_id": "nothing", "path": TALK}, NoSuchPoint),
        ({"time": datetime.datetime(2026, 1, 1)}, StateError),  # noqa: DTZ001  # that is what is wrong
        ({}, StateError),
        ({"position": 1, "version": 1}, StateError),
        ({"position": 1, "path": "agent:nobody"}, StateError),
        ({"position": 1, "path": TALK, "id": ""}, InvalidEvent),
        ({"position": 1, "path": TALK, "cause": ""}, InvalidEvent),
    ],
)
async def test_what_makes_no_sense_writes_nothing(
    debugger: Debugger, manager: StateManager, point: Any, error: type[Exception]
) -> None:
    before = await chat.everything(manager)

    with pytest.raises(error):
        await debugger.restore(**point)

    assert before == await chat.everything(manager)


async def test_a_scope_below_one_that_has_ended_is_refused(manager: StateManager, debugger: Debugger) -> None:
    below = OTHER.child("message", "m1")
    await debugger.restore(5, OTHER)
    await manager.dispatch(Said(user="ada", text="one"), to=below)
    await manager.dispatch(Closed(), to=OTHER)

    with pytest.raises(ScopeArchived):
        await debugger.restore(5, below)

    await debugger.restore(5, OTHER)
    assert Phase.ACTIVE is await manager.at(below).phase()


async def test_a_store_that_is_only_read_is_refused(opened: Open, sqlite_url: str) -> None:
    async with StateManager.open(sqlite_url, modules=chat.modules()) as first:
        await first.dispatch(Said(user="ada", text="one"), to=TALK)
    manager = await opened(sqlite_url, read_only=True)

    with pytest.raises(StoreError, match="reading only"):
        await Debugger(manager).restore(0, TALK)

    assert 1 == await manager.position()


# Looking first


async def test_a_preview_is_what_a_restore_changes(debugger: Debugger, manager: StateManager) -> None:
    before = await (await debugger.at(END)).snapshot(ROOM)
    preview = await debugger.preview_restore(3, ROOM)

    await debugger.restore(3, ROOM)

    after = await (await debugger.at(await manager.position())).snapshot(ROOM)
    assert before == preview.before
    assert after == preview.after
    assert preview.apply(before) == after


async def test_a_preview_writes_nothing(debugger: Debugger, manager: StateManager) -> None:
    preview = await debugger.preview_restore(END, ROOM)

    assert not preview
    assert END == await manager.position()
