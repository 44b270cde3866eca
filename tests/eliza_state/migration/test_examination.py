"""What today's code makes of a whole store: its records, its snapshots, and what is written anew."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_state import snapshotter
from eliza_state.errors import StateError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.migration import MigrationReport, examine
from eliza_state.module import reduces
from eliza_state.slice_migration import Use
from tests.eliza_state.chat import Joined
from tests.eliza_state.generations import (
    ROOM,
    FoldingShelfModule,
    Lent,
    Listed,
    OldListed,
    OldShelfModule,
    Shelf,
    ShelfModule,
)
from tests.eliza_state.stored_snapshots import rewrite, stored
from tests.eliza_state.test_recovery import change_file, count_records_read
from tests.eliza_state.test_snapshotter import damage_chunks

ROOMS = [ROOM.parent.child("room", f"r{number}") for number in range(8)]
BOOKS = [OldListed(title=f"t{number}", pages=number) for number in range(5)]


@pytest.fixture(autouse=True)
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)


@pytest.fixture
async def filled(opened, sqlite_url, monkeypatch) -> str:
    """A store of eight rooms that yesterday's code has filled, with a snapshot of each."""
    manager = await opened(sqlite_url, modules=[OldShelfModule()])
    await manager.dispatch_all([(book, room) for room in ROOMS for book in BOOKS])
    await manager.close()
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1_000)  # what is stored from now on is told
    return sqlite_url


async def examined(opened: Any, url: str, *modules: Any, **options: Any) -> MigrationReport:
    manager: StateManager = await opened(url, modules=list(modules), read_only=not options.get("write"))
    report = await examine(manager, **options)
    await manager.close()
    return report


# Records


async def test_records_are_counted_by_event_and_version(opened, filled):
    manager = await opened(filled, modules=[ShelfModule()])
    await manager.dispatch(Listed(name="new", size=1), to=ROOMS[0])
    await manager.close()
    report = await examined(opened, filled, ShelfModule())

    assert report.is_good
    assert report.position == 41
    assert [("listed", 1, 2, 40, 40, 0), ("listed", 2, 2, 1, 0, 0)] == [
        (one.event, one.schema_version, one.known, one.records, one.upcast, one.failed)
        for one in report.events
    ]


async def test_an_event_that_no_module_handles_is_counted_and_no_failure(opened, filled):
    class LendingModule(OldShelfModule):
        handles = (Lent,)
        list_book = lend = None

        def reduce(self, state: Any, _event: Any) -> Any:
            return state

    report = await examined(opened, filled, LendingModule())

    assert [("listed", None, 40, 0)] == [
        (one.event, one.known, one.records, one.failed) for one in report.events
    ]
    assert report.is_good


def refuse_t3(old: dict[str, Any]) -> dict[str, Any]:
    if old["title"] == "t3":
        raise ValueError("not that one")
    return {"name": old["title"], "size": old["pages"]}


async def test_records_that_cannot_be_upcast_are_told_kept_and_left_out(opened, filled):
    @event("listed", version=2, upcasters={1: refuse_t3})
    class PickyListed:
        name: str
        size: int

    class PickyModule(FoldingShelfModule):
        list_book = None

        @reduces(PickyListed)
        def list_picky(self, state: Shelf, _event: PickyListed) -> Shelf:
            return evolve(state, listed=state.listed + 1)

    report = await examined(opened, filled, PickyModule())
    (figures,) = report.events
    manager = await opened(filled, modules=[PickyModule()])

    assert not report.is_good
    assert (40, 32, 8) == (figures.records, figures.upcast, figures.failed)
    assert [4, 9, 14, 19, 24] == [failure.position for failure in figures.failures]
    assert ROOMS[0] == figures.failures[0].path
    assert "not that one" in figures.failures[0].reason
    assert (await manager.at(ROOMS[0]).state("shelf")).listed == 4
    assert len(await manager.root.records(limit=None)) == 40


async def test_newer_and_damaged_records_are_told(opened, filled):
    change_file(filled, "UPDATE record SET checksum = checksum + 1 WHERE position = 7")
    manager = await opened(filled, modules=[ShelfModule()])
    await manager.dispatch(Listed(name="new", size=1), to=ROOMS[0])
    await manager.close()
    report = await examined(opened, filled, OldShelfModule())

    assert [("", 1, 1), ("listed", 39, 0), ("listed", 1, 1)] == [
        (one.event, one.records, one.failed) for one in report.events
    ]
    assert "known here up to schema version 1" in report.events[2].failures[0].reason


async def test_more_records_than_a_page_are_counted_once(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=[OldShelfModule()])
    await manager.dispatch_all([(BOOKS[0], ROOM)] * 2_500)

    assert [2_500] == [one.records for one in (await examine(manager)).events]


# Snapshots


async def test_a_good_migration_is_compared_with_the_fold(opened, filled):
    before = await stored(filled)
    report = await examined(opened, filled, ShelfModule())
    (figures,) = report.slices

    assert report.is_good
    assert ("shelf", 1, 2, Use.MIGRATED) == (figures.module, figures.version, figures.known, figures.use)
    assert (8, 8, 0) == (figures.snapshots, figures.checked, figures.failed)
    assert before == await stored(filled)


@pytest.mark.parametrize(("sample", "checked"), [(1, 1), (3, 3), (8, 8), (100, 8), (None, 8)])
async def test_a_sample_is_compared_or_all(opened, filled, sample, checked):
    report = await examined(opened, filled, ShelfModule(), sample=sample)

    assert [checked] == [one.checked for one in report.slices]


class OffByOne(ShelfModule):
    migrations = {1: lambda old: {**ShelfModule.migrations[1](old), "listed": old["count"] + 1}}  # noqa: RUF012


class Raising(ShelfModule):
    migrations = {1: lambda old: old["no such field"]}  # noqa: RUF012


@pytest.mark.parametrize(
    ("module", "reason"), [(OffByOne, "~ .listed: 5 → 6"), (Raising, "KeyError('no such field')")]
)
async def test_a_migration_that_differs_or_fails_is_told_with_its_place(opened, filled, module, reason):
    report = await examined(opened, filled, module(), sample=None)
    fault = report.faults[0]

    assert not report.is_good
    assert [8] == [one.failed for one in report.slices]
    assert {*ROOMS} == {fault.path for fault in report.faults}
    assert ("shelf", 1, 5) == (fault.module, fault.version, fault.position - 5 * ROOMS.index(fault.path))
    assert reason.lstrip("~ .") in fault.reason


async def test_secrets_in_what_differs_stay_masked(opened, filled):
    class Secretive(OffByOne):
        state_type = tuple[Secret[str], int]

        def initial_state(self) -> Any:
            return (Secret("hidden-0"), 0)

        migrations = {1: lambda old: [Secret("hidden-1"), old["count"]]}  # noqa: RUF012

        @reduces(Listed)
        def list_book(self, state: Any, _event: Listed) -> Any:
            return state

        @reduces(Lent)
        def lend(self, state: Any, _event: Lent) -> Any:
            return state

    report = await examined(opened, filled, Secretive())

    assert "[SECRET]" in report.faults[0].reason
    assert "hidden" not in str(report)


async def test_other_uses_are_counted(opened, filled):
    class Later(ShelfModule):
        version = 3

    as_it_is = await examined(opened, filled, OldShelfModule())
    folded = await examined(opened, filled, Later())

    assert [(Use.AS_IT_IS, 8, 0)] == [(one.use, one.snapshots, one.checked) for one in as_it_is.slices]
    assert [(Use.FOLDED, 8, 0)] == [(one.use, one.snapshots, one.checked) for one in folded.slices]


async def test_damaged_snapshots_are_counted(opened, filled):
    await rewrite(filled, lambda content: content[:-1])
    report = await examined(opened, filled, ShelfModule())

    assert ((), 8, True) == (report.slices, report.unusable, report.is_good)


async def test_a_snapshot_that_lacks_a_chunk_is_no_fault(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=[OldShelfModule()])
    await manager.dispatch_all([(OldListed(title=f"t{number}", pages=1), ROOM) for number in range(600)])
    await manager.close()
    damage_chunks(sqlite_url)

    assert (await examined(opened, sqlite_url, ShelfModule())).is_good


# Writing


async def test_what_was_migrated_is_written_as_todays(opened, filled, monkeypatch):
    written = await examined(opened, filled, ShelfModule(), write=True)
    again = await examined(opened, filled, ShelfModule(), write=True)
    manager = await opened(filled, modules=[FoldingShelfModule()], read_only=True)
    read = count_records_read(manager, monkeypatch)

    assert (8, 0) == (written.written, again.written)
    assert [(2, Use.AS_IT_IS, 8)] == [(one.version, one.use, one.snapshots) for one in again.slices]
    assert (await manager.at(ROOMS[3]).state("shelf")).listed == 5
    assert len(read) <= 1


async def test_what_is_to_be_folded_is_written_as_todays(opened, filled):
    await examined(opened, filled, FoldingShelfModule(), write=True)
    again = await examined(opened, filled, FoldingShelfModule())

    assert [(2, Use.AS_IT_IS)] == [(one.version, one.use) for one in again.slices]


async def test_nothing_is_written_where_a_migration_is_at_fault(opened, filled):
    before = await stored(filled)
    report = await examined(opened, filled, OffByOne(), write=True)

    assert (0, False) == (report.written, report.is_good)
    assert before == await stored(filled)


async def test_nothing_is_written_where_newer_code_has_a_snapshot(opened, filled):
    await examined(opened, filled, ShelfModule(), write=True)
    before = await stored(filled)
    report = await examined(opened, filled, OldShelfModule(), write=True)

    assert [(2, Use.LEFT, 8)] == [(one.version, one.use, one.snapshots) for one in report.slices]
    assert report.written == 0
    assert before == await stored(filled)


async def test_a_store_in_use_is_examined_and_written(opened, filled):
    manager = await opened(filled, modules=[ShelfModule()])
    await manager.dispatch(Listed(name="new", size=1), to=ROOMS[0])
    other = await opened(filled, modules=[ShelfModule()])
    report = await examine(other, write=True)
    await manager.dispatch(Listed(name="newer", size=1), to=ROOMS[0])

    assert report.is_good
    assert (await manager.at(ROOMS[0]).state("shelf")).listed == 7


# What it is asked


async def test_a_memory_store_has_no_snapshots_to_look_at(opened):
    manager = await opened(modules=[ShelfModule()])
    await manager.dispatch(Listed(name="new", size=1), to=ROOM)
    report = await examine(manager, write=True)

    assert ([1], (), 0) == ([one.records for one in report.events], report.slices, report.written)


async def test_an_empty_store_is_good(opened, sqlite_url):
    manager = await opened(sqlite_url)

    assert MigrationReport(position=0) == await examine(manager, write=True)


async def test_a_manager_that_only_reads_writes_no_snapshots(opened, filled):
    manager = await opened(filled, modules=[ShelfModule()], read_only=True)

    with pytest.raises(StateError, match="open for reading only"):
        await examine(manager, write=True)


@pytest.mark.parametrize("sample", [0, -1])
async def test_a_sample_is_at_least_one(opened, sample):
    manager = await opened()

    with pytest.raises(StateError, match="a sample of 1 or more"):
        await examine(manager, sample=sample)


async def test_progress_is_told(opened, filled):
    told: list[Any] = []
    await examined(opened, filled, ShelfModule(), write=True, told=told.append)

    assert ["records", "snapshots", "checks", "writing"] == list(dict.fromkeys(one.doing for one in told))
    assert (40, 40) == (told[0].done, told[0].total)


async def test_a_record_of_an_event_at_another_scope_is_not_in_the_way(opened, filled):
    manager = await opened(filled)
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    await manager.close()

    assert (await examined(opened, filled, ShelfModule())).is_good
