"""Older code beside newer code: what each makes of the other's events and snapshots."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from eliza_state import snapshotter
from eliza_state.errors import NewerVersion, StateError
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from tests.eliza_state.generations import (
    HALL,
    ROOM,
    Lent,
    Listed,
    OldListed,
    OldShelf,
    OldShelfModule,
    Praised,
    PraiseModule,
    Shelf,
    ShelfModule,
)
from tests.eliza_state.stored_snapshots import changed_slot, rewrite, stored
from tests.eliza_state.test_recovery import count_records_read


@pytest.fixture(autouse=True)
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)


class AttentiveShelfModule(OldShelfModule):
    """The same version, but praises are counted too."""

    @reduces(Praised)
    def praise(self, state: OldShelf, _event: Praised) -> OldShelf:
        return evolve(state, count=state.count + 100)


async def write(opened: Any, url: str, *events: Any, module: Any = OldShelfModule, to: Path = ROOM) -> None:
    """Dispatch events by one generation of the code, and close."""
    manager = await opened(url, modules=[module(), PraiseModule()])
    for event in events:
        await manager.dispatch(event, to=to)
    await manager.close()


async def read(opened: Any, url: str, monkeypatch: Any, *modules: Any) -> tuple[Any, int]:
    """Return the state of the room's shelf, and how many records were read for it."""
    manager = await opened(url, modules=list(modules), read_only=True)
    positions = count_records_read(manager, monkeypatch)
    state = await manager.at(ROOM).state("shelf")
    await manager.close()
    return state, len(positions)


BOOKS = [OldListed(title=f"t{number}", pages=number) for number in range(20)]


async def test_a_handler_more_folds_what_an_older_snapshot_never_saw(opened, sqlite_url, monkeypatch):
    await write(opened, sqlite_url, Praised(title="t1"), to=HALL)
    await write(opened, sqlite_url, *BOOKS)
    state, count = await read(opened, sqlite_url, monkeypatch, AttentiveShelfModule(), PraiseModule())

    assert state.count == 120
    assert count >= 21


async def test_a_handler_more_for_what_never_happened_keeps_the_snapshot(opened, sqlite_url, monkeypatch):
    await write(opened, sqlite_url, *BOOKS)
    state, count = await read(opened, sqlite_url, monkeypatch, AttentiveShelfModule(), PraiseModule())

    assert state.count == 20
    assert count <= 1


async def test_a_handler_less_folds_without_what_it_did(opened, sqlite_url, monkeypatch):
    await write(opened, sqlite_url, *BOOKS, Praised(title="t1"), module=AttentiveShelfModule)
    state, _ = await read(opened, sqlite_url, monkeypatch, OldShelfModule(), PraiseModule())

    assert state.count == 20


async def test_a_migration_does_not_stand_in_for_events_that_were_never_handled(
    opened, sqlite_url, monkeypatch
):
    class Attentive(ShelfModule):
        @reduces(Praised)
        def praise(self, state: Shelf, _event: Praised) -> Shelf:
            return evolve(state, listed=state.listed + 100)

    await write(opened, sqlite_url, *BOOKS)
    migrated = await read(opened, sqlite_url, monkeypatch, Attentive(), PraiseModule())
    for _ in range(2):  # there are two slots for snapshots, and what lies before the praise is of use
        await write(opened, sqlite_url, Praised(title="t1"), to=HALL)
    folded = await read(opened, sqlite_url, monkeypatch, Attentive(), PraiseModule())

    assert (20, True) == (migrated[0].listed, migrated[1] <= 1)
    assert (220, True) == (folded[0].listed, folded[1] > 20)


async def test_a_snapshot_that_does_not_say_what_it_has_seen_is_not_used(opened, sqlite_url, monkeypatch):
    def forget(slot: Any) -> Any:
        return msgspec.structs.replace(slot, snapshot=msgspec.structs.replace(slot.snapshot, events=None))

    await write(opened, sqlite_url, *BOOKS)
    await rewrite(sqlite_url, lambda content: changed_slot(content, forget))
    state, count = await read(opened, sqlite_url, monkeypatch, OldShelfModule(), PraiseModule())

    assert state.count == 20
    assert count >= 20


async def test_a_module_that_begins_elsewhere_folds_from_there(opened, sqlite_url, monkeypatch):
    class Late(OldShelfModule):
        since_position = 15

    await write(opened, sqlite_url, *BOOKS)
    late, _ = await read(opened, sqlite_url, monkeypatch, Late())
    await write(opened, sqlite_url, BOOKS[0], module=Late)

    assert late.count == 5
    assert (await read(opened, sqlite_url, monkeypatch, OldShelfModule()))[0].count == 21


# Records of a newer schema version


@pytest.fixture
async def newer(opened, sqlite_url) -> str:
    """A store in which newer code has listed one book behind those of yesterday's."""
    await write(opened, sqlite_url, *BOOKS)
    await write(opened, sqlite_url, Listed(name="new", size=7), module=ShelfModule)
    return sqlite_url


async def test_older_code_is_refused_where_a_record_is_newer(opened, newer):
    manager = await opened(newer, modules=[OldShelfModule(), PraiseModule()])
    position = await manager.position()

    with pytest.raises(NewerVersion) as refused:
        await manager.dispatch(Lent(title="t1", to="ada"), to=ROOM)
    assert isinstance(refused.value, StateError)
    error = refused.value
    assert ("listed", 2, 1, ROOM.encode()) == (error.event, error.version, error.known, error.path)
    assert all(word in str(error) for word in ("'listed'", "version 2", "version 1", ROOM.encode()))
    assert position == await manager.position()


async def test_older_code_reads_and_reports_where_a_record_is_newer(opened, newer):
    manager = await opened(newer, modules=[OldShelfModule(), PraiseModule()])

    assert (await manager.at(ROOM).state("shelf")).count == 20
    assert {"record", "snapshot"} == {problem.kind for problem in manager.problems}


async def test_older_code_goes_on_in_scopes_beside_below_and_above(opened, newer):
    manager = await opened(newer, modules=[OldShelfModule(), PraiseModule()])
    beside = ROOM.parent.child("room", "other")

    assert (await manager.dispatch(BOOKS[0], to=beside)).version == 1
    assert (await manager.dispatch(Praised(title="t1"), to=HALL)).version == 1


async def test_all_ways_to_dispatch_are_refused(opened, newer):
    manager = await opened(newer, modules=[OldShelfModule(), PraiseModule()])
    events = [(BOOKS[0], ROOM.parent.child("room", "other")), (BOOKS[0], ROOM)]

    with pytest.raises(NewerVersion):
        await manager.dispatch_all(events)
    with pytest.raises(NewerVersion):
        await manager.execute(ROOM, lambda _: [BOOKS[0]])
    kept, refused = await manager.dispatch_all(events, return_exceptions=True)
    assert kept.version == 1
    assert isinstance(refused, NewerVersion)


async def test_a_newer_record_that_comes_while_the_scope_is_live_is_seen(opened, sqlite_url):
    await write(opened, sqlite_url, *BOOKS)
    older = await opened(sqlite_url, modules=[OldShelfModule(), PraiseModule()])
    await older.at(ROOM).state()
    newer = await opened(sqlite_url, modules=[ShelfModule(), PraiseModule()])
    await newer.dispatch(Listed(name="new", size=7), to=ROOM)

    with pytest.raises(NewerVersion):
        await older.dispatch(BOOKS[0], to=ROOM)  # it loses the race, and reduces again
    assert await newer.refresh() == 21


async def test_older_code_is_refused_though_a_snapshot_covers_the_newer_record(
    opened, sqlite_url, monkeypatch
):
    """The room's only module does not handle the event, so its slice is whole, and used as it is."""

    class LendingModule(StateModule[OldShelf]):
        name = "lending"
        level = "room"

        @reduces(Lent)
        def lend(self, state: OldShelf, _event: Lent) -> OldShelf:
            return evolve(state, count=state.count + 1)

    def counting(event: type) -> Any:
        class CountModule(StateModule[OldShelf]):
            name = "books"
            level = "global"

            @reduces(event)
            def count(self, state: OldShelf, _event: Any) -> OldShelf:
                return evolve(state, count=state.count + 1)

        return CountModule()

    manager = await opened(sqlite_url, modules=[LendingModule(), counting(Listed)])
    await manager.dispatch(Lent(title="t", to="ada"), to=ROOM)
    await manager.dispatch(Listed(name="new", size=7), to=ROOM)
    await manager.close()
    older = await opened(sqlite_url, modules=[LendingModule(), counting(OldListed)])
    positions = count_records_read(older, monkeypatch)

    assert (await older.at(ROOM).state("lending")).count == 1
    assert 1 not in positions
    with pytest.raises(NewerVersion):
        await older.dispatch(Lent(title="t", to="bo"), to=ROOM)


async def test_no_snapshot_is_taken_of_what_had_to_skip_a_newer_record(opened, sqlite_url):
    await write(opened, sqlite_url, Listed(name="new", size=7), module=NoSnapshots)
    before = await stored(sqlite_url)
    await write(opened, sqlite_url, Praised(title="t1"), to=HALL)
    slots, _ = await stored(sqlite_url)

    assert before[0] == set()
    assert len(slots) == 1  # the conversation's, which lacks nothing


class NoSnapshots(ShelfModule):
    """Today's module, in a hurry: nothing of it is stored."""

    def serialize(self, state: Any) -> Any:
        raise TypeError("no")


# Snapshots by newer code


async def test_a_newer_snapshot_is_left_alone_and_reported_once(opened, sqlite_url):
    for room in ("r1", "r2"):
        path = ROOM.parent.child("room", room)
        await write(opened, sqlite_url, Lent(title="t", to="ada"), module=ShelfModule, to=path)
    slots, _ = await stored(sqlite_url)
    manager = await opened(sqlite_url, modules=[OldShelfModule(), PraiseModule()])
    for room in ("r1", "r2"):
        path = ROOM.parent.child("room", room)
        await manager.dispatch(Lent(title="t", to="bo"), to=path)
        assert len((await manager.at(path).state("shelf")).times) == 2
    await manager.close()

    assert ["snapshot"] == [problem.kind for problem in manager.problems]
    assert "'shelf' in version 2, known here up to version 1" in next(iter(manager.problems)).message
    assert slots < (await stored(sqlite_url))[0]


async def lend(opened: Any, url: str, count: int, *, module: Any) -> StateManager:
    manager: StateManager = await opened(url, modules=[module()])
    for number in range(count):
        await manager.dispatch(Lent(title=f"t{number}", to="ada"), to=ROOM)
        await manager.core.snapshotter.take(await manager.core.scopes.load(ROOM))
    return manager


async def test_older_code_takes_turns_over_one_slot_and_never_the_last_of_newer_code(
    opened, sqlite_url, monkeypatch
):
    await (await lend(opened, sqlite_url, 5, module=ShelfModule)).close()
    await (await lend(opened, sqlite_url, 7, module=OldShelfModule)).close()
    newer, read_by_newer = await read(opened, sqlite_url, monkeypatch, ShelfModule())
    older, read_by_older = await read(opened, sqlite_url, monkeypatch, OldShelfModule())

    assert (12, 12) == (len(newer.days), len(older.times))
    assert read_by_newer <= 1 + 7
    assert read_by_older <= 1


async def test_newer_code_gets_both_slots_back(opened, sqlite_url, monkeypatch):
    await (await lend(opened, sqlite_url, 3, module=OldShelfModule)).close()
    await (await lend(opened, sqlite_url, 3, module=ShelfModule)).close()
    state, count = await read(opened, sqlite_url, monkeypatch, ShelfModule())

    assert len(state.days) == 6
    assert count <= 1


async def test_a_reader_of_another_module_is_not_disturbed(opened, sqlite_url):
    await write(opened, sqlite_url, Lent(title="t", to="ada"), module=ShelfModule)
    manager = await opened(sqlite_url, modules=[PraiseModule()])
    await manager.at(ROOM).state()

    assert list(manager.problems) == []
