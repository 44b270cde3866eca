"""Stores that older code has filled: migrating its snapshots gives the fold by today's code."""

from __future__ import annotations

import datetime
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state import snapshotter
from eliza_state.collections import Log
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.generations import (
    NOON,
    ROOM,
    FoldingShelfModule,
    Lent,
    Listed,
    OldListed,
    OldShelfModule,
    Shelf,
    ShelfModule,
)
from tests.eliza_state.stored_snapshots import stored
from tests.eliza_state.test_recovery import count_records_read
from tests.eliza_state.test_snapshotter import damage_chunks


@pytest.fixture(autouse=True)
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)


def history(count: int, *, start: int = 0) -> list[tuple[Any, Path]]:
    """So many books that are listed, every other one lent."""
    events: list[tuple[Any, Path]] = []
    for number in range(start, start + count):
        events.append((OldListed(title=f"t{number}", pages=number * 10), ROOM))
        if number % 2:
            at = NOON + datetime.timedelta(days=number)
            events.append((Lent(title=f"t{number}", to=f"r{number % 5}", at=at), ROOM))
    return events


async def fill(opened: Any, url: str, count: int = 60, *, start: int = 0, **options: Any) -> None:
    """Let yesterday's code write so many books, and close."""
    manager = await opened(url, **{"modules": [OldShelfModule()], **options})
    await manager.dispatch_all(history(count, start=start))
    await manager.close()


async def shelf(manager: StateManager) -> Shelf:
    state: Shelf = await manager.at(ROOM).state("shelf")
    repr(state)
    return state


async def folded(opened: Any, url: str) -> Shelf:
    """What today's code makes of the records alone."""
    manager = await opened(url, modules=[ShelfModule()], snapshots=False, read_only=True)
    state = await shelf(manager)
    await manager.close()
    return state


async def test_a_snapshot_is_migrated_instead_of_folding_its_records(opened, sqlite_url, monkeypatch):
    await fill(opened, sqlite_url)
    expected = await folded(opened, sqlite_url)
    manager = await opened(sqlite_url, modules=[ShelfModule()])
    read = count_records_read(manager, monkeypatch)

    assert expected == await shelf(manager)
    assert len(read) <= 1  # the one that the snapshot is of
    assert list(manager.problems) == []


async def test_records_behind_a_migrated_snapshot_are_folded_onto_it(opened, sqlite_url, monkeypatch):
    await fill(opened, sqlite_url)
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1_000)
    await fill(opened, sqlite_url, 5, start=60)
    expected = await folded(opened, sqlite_url)
    manager = await opened(sqlite_url, modules=[ShelfModule()])
    read = count_records_read(manager, monkeypatch)

    assert expected == await shelf(manager)
    assert len(read) <= 1 + 7


async def test_what_was_migrated_is_stored_as_todays_when_the_manager_is_closed(
    opened, sqlite_url, monkeypatch
):
    await fill(opened, sqlite_url)
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1_000)
    manager = await opened(sqlite_url, modules=[ShelfModule()])
    expected = await shelf(manager)
    await manager.close()
    manager = await opened(sqlite_url, modules=[FoldingShelfModule()])
    read = count_records_read(manager, monkeypatch)

    assert expected == await shelf(manager)
    assert len(read) <= 1


async def test_what_was_migrated_is_stored_as_todays_with_the_next_event(opened, sqlite_url, monkeypatch):
    await fill(opened, sqlite_url)
    manager = await opened(sqlite_url, modules=[ShelfModule()])
    await manager.dispatch(Listed(name="new", size=1), to=ROOM)
    await manager.core.snapshotter.close([])
    other = await opened(sqlite_url, modules=[FoldingShelfModule()], read_only=True)
    read = count_records_read(other, monkeypatch)

    assert await shelf(manager) == await shelf(other)
    assert len(read) <= 2


async def test_a_reader_migrates_and_stores_nothing(opened, sqlite_url):
    await fill(opened, sqlite_url)
    before = await stored(sqlite_url)
    manager = await opened(sqlite_url, modules=[ShelfModule()], read_only=True)
    await shelf(manager)
    await manager.close()

    assert before == await stored(sqlite_url)


async def test_chunks_of_yesterdays_shape_go_with_its_last_snapshot(opened, sqlite_url):
    await fill(opened, sqlite_url, 1_500)
    _, before = await stored(sqlite_url)
    for start in (1_500, 1_501):
        manager = await opened(sqlite_url, modules=[ShelfModule()])
        await manager.dispatch(Listed(name=f"t{start}", size=1), to=ROOM)
        await manager.close()
    _, after = await stored(sqlite_url)

    assert len(before - after) >= 3  # the dates and books of yesterday's shape; titles are the same
    assert len(after) <= 10


async def test_steps_are_taken_one_after_the_other(opened, sqlite_url):
    class Later(ShelfModule):
        version = 4
        migrations = {**ShelfModule.migrations, 2: lambda it: {**it, "listed": -1}, 3: lambda it: it}  # noqa: RUF012

    await fill(opened, sqlite_url)
    manager = await opened(sqlite_url, modules=[Later()])

    assert (await shelf(manager)).listed == -1


async def test_with_a_gap_among_the_migrations_the_records_are_folded(opened, sqlite_url):
    class Later(ShelfModule):
        version = 3

    await fill(opened, sqlite_url)
    manager = await opened(sqlite_url, modules=[Later()])

    assert await folded(opened, sqlite_url) == await shelf(manager)
    assert list(manager.problems) == []


def fail(_data: Any) -> Any:
    raise ValueError("not that one")


@pytest.mark.parametrize(
    "migration", [fail, lambda _: None, lambda _: "text", lambda _: {"listed": "many"}, lambda old: old]
)
async def test_a_migration_that_fails_is_reported_and_the_fold_takes_its_place(opened, sqlite_url, migration):
    class Failing(ShelfModule):
        migrations = {1: migration}  # noqa: RUF012

    await fill(opened, sqlite_url)
    expected = await folded(opened, sqlite_url)
    manager = await opened(sqlite_url, modules=[Failing()])

    assert expected == await shelf(manager)
    (problem,) = manager.problems
    assert ("snapshot", ROOM) == (problem.kind, problem.path)
    assert "module 'shelf' cannot be migrated from version 1 to 2" in problem.message
    await manager.dispatch(Listed(name="new", size=1), to=ROOM)
    await manager.close()
    manager = await opened(sqlite_url, modules=[ShelfModule()])
    assert (await shelf(manager)).listed == expected.listed + 1
    assert list(manager.problems) == []


async def test_a_missing_chunk_makes_the_records_take_its_place(opened, sqlite_url):
    await fill(opened, sqlite_url, 1_500)
    expected = await folded(opened, sqlite_url)
    damage_chunks(sqlite_url)
    manager = await opened(sqlite_url, modules=[ShelfModule()])

    assert expected == await shelf(manager)
    assert ["snapshot"] == [problem.kind for problem in manager.problems]


async def test_the_past_is_migrated_too(opened, sqlite_url):
    await fill(opened, sqlite_url)
    await fill(opened, sqlite_url, 10, start=60)
    manager = await opened(sqlite_url, modules=[ShelfModule()])
    plain = await opened(sqlite_url, modules=[ShelfModule()], snapshots=False, read_only=True)

    for at in (0, 30, 90, 91, await manager.position()):
        assert await plain.at(ROOM).state(at=at) == await manager.at(ROOM).state(at=at)


titles = st.sampled_from("abcdef")
times = st.datetimes(timezones=st.just(datetime.UTC))
facts = st.lists(
    st.one_of(
        st.builds(OldListed, title=titles, pages=st.integers(0, 1_000)),
        st.builds(
            Lent,
            title=titles,
            to=st.sampled_from(["ada", "bo"]),
            at=times,
        ),
    ),
    min_size=1,
    max_size=30,
)


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(before=facts, since=facts)
async def test_for_any_history_the_migrated_state_is_the_fold(tmp_path_factory, before, since):
    folder = tmp_path_factory.mktemp("store")
    url = f"sqlite:///{folder}/state.db?synchronous=NORMAL"
    async with StateManager.open(url, modules=[OldShelfModule()]) as manager:
        await manager.dispatch_all([(event, ROOM) for event in before])
    async with StateManager.open(url, modules=[OldShelfModule()], snapshots=False) as manager:
        await manager.dispatch_all([(event, ROOM) for event in since])
    async with StateManager.open(url, modules=[ShelfModule()], snapshots=False, read_only=True) as manager:
        expected = await shelf(manager)
    async with StateManager.open(url, modules=[ShelfModule()], read_only=True) as manager:
        found, problems = await shelf(manager), list(manager.problems)

    assert expected == found
    assert problems == []


@attrs.frozen
class Safe:
    """What a room keeps to itself."""

    pins: Log[Secret[str]] = attrs.field(factory=Log[Secret[str]])
    owner: Secret[str] | None = None


@attrs.frozen
class Vault:
    codes: Log[Secret[str]] = attrs.field(factory=Log[Secret[str]])
    owner: Secret[str] | None = None
    count: int = 0


@event("locked_away")
class LockedAway:
    pin: Secret[str]


class SafeModule(StateModule[Safe]):
    name = "safe"
    level = "room"

    @reduces(LockedAway)
    def lock(self, state: Safe, event: LockedAway) -> Safe:
        return evolve(state, pins=state.pins.append(event.pin), owner=event.pin)


class VaultModule(StateModule[Vault]):
    name = "safe"
    level = "room"
    version = 2
    migrations = {1: lambda old: {"codes": old["pins"], "owner": old["owner"], "count": len(old["pins"])}}  # noqa: RUF012

    @reduces(LockedAway)
    def lock(self, state: Vault, event: LockedAway) -> Vault:
        codes = state.codes.append(event.pin)
        return evolve(state, codes=codes, owner=event.pin, count=state.count + 1)


@pytest.mark.parametrize("keys", [None, SecretKeys({"k": bytes(32)})])
async def test_secrets_are_migrated_without_their_keys_and_stay_what_they_are(opened, sqlite_url, keys):
    given_keys = SecretKeys({"k": bytes(32)})
    manager = await opened(sqlite_url, modules=[SafeModule()], secret_keys=given_keys)
    for pin in ("1234", "9876"):
        await manager.dispatch(LockedAway(pin=Secret(pin)), to=ROOM)
    await manager.close()
    manager = await opened(sqlite_url, modules=[VaultModule()], secret_keys=keys)  # migrates, and stores it
    repr(await manager.at(ROOM).state())
    await manager.close()
    assert list(manager.problems) == []
    manager = await opened(sqlite_url, modules=[VaultModule()], secret_keys=given_keys)
    vault = await manager.at(ROOM).state("safe")

    assert ["1234", "9876"] == [code.reveal() for code in vault.codes]
    assert ("9876", 2) == (vault.owner.reveal(), vault.count)
