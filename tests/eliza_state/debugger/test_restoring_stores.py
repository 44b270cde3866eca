"""Restores on disk: several managers, snapshots, copies, and what is looked at afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.change import Change
from eliza_state.debugger import Debugger
from eliza_state.errors import StoreError
from eliza_state.event import ScopeRestored
from eliza_state.evolve import evolve
from eliza_state.lifecycle import Phase
from eliza_state.manager import StateManager
from eliza_state.migration import examine
from eliza_state.module import reduces
from eliza_state.path import Path
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Noted, Said, Talk, TalkModule
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.test_history import counted_records

END = len(HISTORY)
COUNT = 1_200


async def say(manager: StateManager, *texts: str, to: Path = TALK, user: str = "ada") -> None:
    await manager.dispatch_all([(Said(user=user, text=text), to) for text in texts])


async def texts(manager: StateManager, of: Path = TALK, **options: Any) -> list[str]:
    return list((await manager.at(of).state("talk", **options)).texts)


@pytest.fixture
async def two(opened: Open, shared_url: str) -> tuple[StateManager, StateManager]:
    """Two managers like two processes; the second has heard of all there is."""
    one, other = await opened(shared_url), await opened(shared_url)
    await say(one, "one", "two", "three")
    await other.refresh()
    await other.at(TALK).state()
    return one, other


# Several managers


async def test_another_manager_hears_of_it_in_order(two: Any) -> None:
    one, other = two
    heard: list[Change] = []
    other.subscribe(heard.append, module="talk")
    await Debugger(one).restore(1, ROOM)
    await say(one, "four")

    await other.refresh()

    restored, said = heard
    assert (ScopeRestored, "remote") == (type(restored.event), restored.origin)
    assert ["one"] == list(restored.after["talk"].texts) == list(said.before["talk"].texts)
    assert await one.state() == await other.state()


async def test_a_scope_that_has_ended_goes_on_there_too(two: Any) -> None:
    one, other = two
    await one.dispatch(Closed(), to=TALK)
    await other.refresh()
    ended = await other.at(TALK).phase()
    await Debugger(one).restore(1, TALK)

    await other.refresh()

    assert (Phase.ARCHIVED, Phase.ACTIVE) == (ended, await other.at(TALK).phase())


async def test_it_hears_of_it_when_it_writes_to_the_same_scope(two: Any) -> None:
    one, other = two
    await Debugger(one).restore(2, TALK)
    await say(one, "between")

    (change,) = await other.dispatch_all([(Said(user="bo", text="four"), TALK)])

    assert (["one", "two", "between"], 6) == (list(change.before["talk"].texts), change.version)


async def test_it_hears_of_it_when_it_writes_beside_it(two: Any) -> None:
    one, other = two
    await Debugger(one).restore(0, ROOM)

    await say(other, "beside", to=OTHER, user="bo")

    assert [] == await texts(other)
    await one.refresh()
    assert await one.state() == await other.state()
    assert {"bo"} == set((await other.at(ROOM).state("people")).names)


async def test_what_it_wrote_is_undone_by_who_had_not_heard_of_it(two: Any) -> None:
    one, other = two
    new = ROOM.child("conversation", "new")
    await say(other, "unheard of", to=new)

    restored = await Debugger(one).restore(1, ROOM)

    assert (ROOM, TALK, new) == restored.scopes
    assert [] == await texts(one, new)


async def test_a_scope_that_appears_at_the_last_moment_is_undone_too(two: Any) -> None:
    """Another process begins a talk after the scopes were looked for, before the records are written."""
    one, other = two
    new, journal, loop = ROOM.child("conversation", "new"), one.journal, asyncio.get_running_loop()
    append, is_late = journal.append, False

    def late_append(*arguments: Any, **options: Any) -> Any:
        nonlocal is_late
        if not is_late:
            is_late = True
            asyncio.run_coroutine_threadsafe(say(other, "late", to=new), loop).result(10)
        return append(*arguments, **options)

    journal.append = late_append
    restored = await Debugger(one).restore(1, ROOM)

    assert (ROOM, TALK, new) == restored.scopes
    assert [] == await texts(one, new)


async def test_managers_that_write_and_restore_at_once_agree(opened: Open, shared_url: str) -> None:
    managers = [await opened(shared_url) for _ in range(3)]

    async def work(manager: StateManager, number: int) -> None:
        for turn in range(12):
            await say(manager, f"{turn}", user=f"user {number}", to=(TALK, OTHER)[turn % 2])
            if turn % 4 == 3:
                place = (ROOM, TALK, AGENT)[number]
                await Debugger(manager).restore(await manager.position() // 2, place)

    await asyncio.gather(*(work(manager, number) for number, manager in enumerate(managers)))

    for manager in managers:
        await manager.refresh()
    states = [await manager.state() for manager in (*managers, await opened(shared_url, snapshots=False))]
    assert states[:-1] == states[1:]


async def test_what_is_stored_although_the_store_failed_is_no_error(two: Any) -> None:
    one, _ = two
    journal, append = one.journal, one.journal.append

    def failing(*arguments: Any, **options: Any) -> Any:
        append(*arguments, **options)
        raise StoreError("the answer was lost")

    journal.append = failing
    restored = await Debugger(one).restore(1, TALK)

    assert (4, False) == (restored.position, restored.duplicate)
    assert ["one"] == await texts(one)


async def test_what_is_not_stored_is_an_error_and_changes_nothing(two: Any) -> None:
    one, _ = two

    def failing(*_arguments: Any, **_options: Any) -> Any:
        raise StoreError("the disk is full")

    one.journal.append = failing
    with pytest.raises(StoreError, match="the disk is full"):
        await Debugger(one).restore(1, TALK)

    assert (["one", "two", "three"], 3) == (await texts(one), await one.position())


# Snapshots


@pytest.fixture
async def long(opened: Open, sqlite_url: str) -> StateManager:
    """A store with a long talk and a snapshot of it."""
    async with StateManager.open(sqlite_url, modules=chat.modules()) as manager:
        await say(manager, *map(str, range(COUNT)))
    found: StateManager = await opened(sqlite_url)
    return found


@pytest.mark.parametrize("to", [700, COUNT, COUNT + 50])
async def test_after_a_restore_a_scope_opens_quickly(
    long: StateManager, opened: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, to: int
) -> None:
    await say(long, *map(str, range(COUNT, COUNT + 100)))
    await Debugger(long).restore(to, TALK)
    await long.close()

    manager = await opened(sqlite_url)
    with counted_records(manager, monkeypatch) as read:
        assert to == len(await texts(manager))

    assert len(read) < 400  # those of the scopes above


async def test_a_snapshot_from_before_serves_the_part_before(
    long: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(long, *map(str, range(COUNT, COUNT + 100)))
    await Debugger(long).restore(COUNT + 50, TALK, below=False)
    await say(long, "on")
    with counted_records(long, monkeypatch) as read:
        recovered = long.root.access.reading.recover_here(TALK, await long.position())

    assert [*map(str, range(COUNT + 50)), "on"] == list(recovered.slices["talk"].texts)
    assert {*range(COUNT + 1, COUNT + 51)} < {*read} <= {*range(COUNT, COUNT + 51), COUNT + 101, COUNT + 102}


async def test_a_snapshot_of_what_was_undone_is_not_used(long: StateManager) -> None:
    await Debugger(long).restore(10, TALK, below=False)

    recovered = long.root.access.reading.recover_here(TALK, await long.position())

    assert [str(number) for number in range(10)] == list(recovered.slices["talk"].texts)
    assert COUNT == len(await texts(long, at=COUNT))


async def test_a_module_that_handles_what_was_undone_may_use_a_later_snapshot(
    opened: Open, sqlite_url: str
) -> None:
    """What a snapshot has seen is what its state is made of: no event that a restore has undone."""

    class Noting(TalkModule):
        @reduces(Noted)
        def note(self, state: Talk, event: Noted) -> Talk:
            return evolve(state, texts=state.texts.append(event.text))

    class Deaf(TalkModule):
        note = None

    def others() -> list[Any]:
        return [module for module in chat.modules() if module.name != "talk"]

    first = await opened(sqlite_url, modules=[*others(), Deaf()])
    await say(first, "one")
    await first.dispatch(Noted(text="undone"), to=TALK)
    await Debugger(first).restore(1, TALK)
    await say(first, *map(str, range(600)))
    await first.close()

    manager = await opened(sqlite_url, modules=[*others(), Noting()])
    folded = await opened(sqlite_url, modules=[*others(), Noting()], snapshots=False)
    assert await texts(folded) == await texts(manager)
    for position in (2, 3, 4):
        assert await texts(folded, at=position) == await texts(manager, at=position)


async def test_migrations_look_at_what_is_in_use(long: StateManager) -> None:
    before = await examine(long, write=True)
    await Debugger(long).restore(10, TALK)

    after = await examine(long, write=True)

    assert before.is_good
    assert after.is_good
    assert (0, 1) == (before.written, after.written)
    assert "scope_restored" in {figures.event for figures in after.events}
