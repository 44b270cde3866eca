"""Finding a scope's state again: from snapshots, from records, from what is left of either."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy

from eliza_state import snapshotter
from eliza_state.event import event
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Drawn, Joined, Said, Talk, TalkModule
from tests.eliza_state.stored_snapshots import SLOT, change_rows, changed_slot, forget, rewrite

SCOPES = [*TALK.chain(), OTHER]


@pytest.fixture(autouse=True)
def small_tails(monkeypatch):
    """Take snapshots of short tails, so that few records make many."""
    monkeypatch.setattr(snapshotter, "MIN_TAIL", 8)
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 4)


async def fill(manager: StateManager, count: int = 60, *, start: int = 0) -> None:
    for number in range(start, start + count):
        await manager.dispatch(
            Said(user=f"u{number % 5}", text=str(number)), to=(TALK, OTHER)[number % 3 == 0]
        )
        await asyncio.sleep(0)
    await manager.core.snapshotter.close([])


async def kinds(manager: StateManager) -> set[str]:
    for path in SCOPES:
        await manager.at(path).state()
    return {problem.kind for problem in manager.problems}


async def whole(manager: StateManager) -> dict[Path, Any]:
    """The stored slices of all scopes, every chunk of them touched."""
    found = {}
    for path in SCOPES:
        slices = dict(await manager.at(path).state())
        slices.pop("presence", None)
        found[path] = slices
        repr(slices)
    return found


@pytest.fixture
async def filled(opened, sqlite_url):
    """A store with some history and snapshots, closed; and its state."""
    manager = await opened(sqlite_url)
    await fill(manager)
    await manager.dispatch(Drawn(amount=2), to=AGENT)
    state = await whole(manager)
    await manager.close()
    return sqlite_url, state


def change_file(url: str, *statements: str) -> int:
    """Change a store behind its back; return how many rows changed."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        return sum(connection.execute(statement).rowcount for statement in statements)


def count_records_read(manager: StateManager, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    read, positions = manager.journal.read, []

    def counted(path, **options):
        for record in read(path, **options):
            positions.append(record.position)
            yield record

    monkeypatch.setattr(manager.journal, "read", counted)
    return positions


async def test_a_snapshot_makes_opening_cheaper_and_never_different(opened, filled, monkeypatch):
    url, state = filled
    manager = await opened(url)
    read = count_records_read(manager, monkeypatch)

    assert state == await whole(manager)
    assert len(read) < 60
    assert await kinds(manager) == set()
    await manager.close()
    await forget(url)
    manager = await opened(url)
    assert state == await whole(manager)


async def test_a_scope_takes_one_connection_for_all_that_is_read_of_it(opened, filled):
    manager = await opened(filled[0], snapshots=False)
    taken = []
    with manager.journal._database.reading("look") as connection:
        pool = connection.engine.pool
    sqlalchemy.event.listen(pool, "checkout", lambda *_: taken.append(1))
    manager.root.access.reading.recover_here(TALK, await manager.root.access.position())

    assert 2 == len(taken)  # the first only asks whether there is anything to be read


@pytest.mark.parametrize("at", [0, 1, 7, 8, 9, 30, 59, 60, 61])
async def test_the_past_is_the_same_with_and_without_snapshots(opened, filled, at):
    url, _ = filled
    manager = await opened(url)
    with_snapshots = [await manager.at(path).state(at=at) for path in SCOPES]
    tree = await manager.root.tree(at=at)
    await manager.close()
    await forget(url)
    manager = await opened(url)

    assert with_snapshots == [await manager.at(path).state(at=at) for path in SCOPES]
    assert tree == await manager.root.tree(at=at)


async def check_the_state_and_go_on(opened: Any, url: str, state: Any) -> set[str]:
    """Open a store, find the state, let it go on, find that again; return what was reported at first."""
    manager = await opened(url)
    assert state == await whole(manager)
    reported = await kinds(manager)
    await fill(manager, start=1_000)
    after = await whole(manager)
    await manager.close()
    manager = await opened(url)
    assert after == await whole(manager)
    return reported


@pytest.mark.parametrize(
    "value",
    [
        "x''",
        "x'00'",
        "zeroblob(length(value))",
        "substr(value, 1, length(value) / 2)",
        "CAST(replace(CAST(value AS TEXT), 'zstd', 'zstf') AS BLOB)",
        "CAST('json:1' AS BLOB)",
        "'text'",
        "7",
    ],
)
async def test_a_damaged_snapshot_is_set_aside_and_the_state_is_right(opened, filled, value):
    url, state = filled
    assert change_rows(url, f"UPDATE TABLE SET value = {value} WHERE {SLOT}") > 0

    assert {"snapshot"} == await check_the_state_and_go_on(opened, url, state)


async def test_a_flipped_bit_that_still_reads_is_found(opened, filled):
    url, state = filled
    await rewrite(url, lambda content: content.replace(b"u1", b"u7"))

    assert {"snapshot"} == await check_the_state_and_go_on(opened, url, state)


def change_snapshot(**changes: Any) -> Callable[[bytes], bytes]:
    """Return what gives a stored snapshot other fields, and the checksum of those."""

    def change(content: bytes) -> bytes:
        return changed_slot(
            content,
            lambda slot: msgspec.structs.replace(
                slot,
                snapshot=msgspec.structs.replace(
                    slot.snapshot, **{name: make(slot.snapshot) for name, make in changes.items()}
                ),
            ),
        )

    return change


@pytest.mark.parametrize(
    "change",
    [
        change_snapshot(record_key=lambda _: bytes(16)),
        change_snapshot(writer=lambda _: "another manager"),
        change_snapshot(position=lambda found: found.position - 1),
        change_snapshot(position=lambda found: found.position + 1_000_000),
        change_snapshot(position=lambda _: -1),
        change_snapshot(
            slices=lambda found: tuple(msgspec.structs.replace(part, body=b"{") for part in found.slices)
        ),
        lambda content: changed_slot(
            content, lambda slot: msgspec.structs.replace(slot, epoch="another life")
        ),
        lambda content: changed_slot(content, lambda slot: msgspec.structs.replace(slot, path="agent:other")),
        lambda content: content.replace(b"snapshot-1:", b"snapshot-2:"),
        lambda _content: b"",
    ],
    ids=[
        "another record",
        "another writer",
        "an earlier position",
        "a position past the end",
        "no position",
        "unreadable bodies",
        "another store",
        "another scope",
        "a newer format",
        "nothing",
    ],
)
async def test_a_snapshot_that_is_not_of_this_state_is_set_aside(opened, filled, change):
    url, state = filled
    assert await rewrite(url, change) > 0

    assert {"snapshot"} == await check_the_state_and_go_on(opened, url, state)


async def test_snapshots_of_another_life_of_the_journal_are_not_found(opened, filled):
    url, state = filled
    change_file(url, "UPDATE meta SET value = 'another life' WHERE name = 'epoch'")

    assert set() == await check_the_state_and_go_on(opened, url, state)


async def test_of_two_snapshots_the_older_serves_where_the_newer_is_damaged(opened, filled, monkeypatch):
    url, state = filled
    await rewrite(url, lambda content: content[:-1], newest_only=True)
    manager = await opened(url)
    read = count_records_read(manager, monkeypatch)

    assert state == await whole(manager)
    assert await kinds(manager) == {"snapshot"}
    assert 1 not in read


async def test_a_lost_tail_leaves_the_state_of_what_is_there(opened, filled):
    """A restored older copy: snapshots from later than its last record are no use, and do no harm."""
    url, _ = filled
    change_file(url, "DELETE FROM record WHERE position > 30", "DELETE FROM below WHERE position > 30")
    manager = await opened(url)

    assert await manager.position() == 30
    assert (await manager.root.state("totals")).said == 30
    assert {"snapshot"} == {problem.kind for problem in manager.problems}
    assert "the journal ends before it" in next(iter(manager.problems)).message
    change = await manager.dispatch(Joined(user="new"), to=ROOM)
    assert change.position == 31
    await fill(manager, 40, start=2_000)
    state = await whole(manager)
    await manager.close()
    manager = await opened(url)
    assert state == await whole(manager)
    assert (await manager.root.state("totals")).events == 71


@pytest.mark.parametrize(
    "damage",
    [
        "payload = CAST(replace(CAST(payload AS TEXT), 'u1', 'u9') AS BLOB)",
        "payload = replace(payload, 'u1', 'u9')",
        "payload = x''",
        "payload = x'7b'",
        "checksum = checksum + 1",
        "recorded_at_us = recorded_at_us + 1",
        "key = x'00112233445566778899aabbccddeeff'",
    ],
)
async def test_a_damaged_record_is_left_out_and_reported(opened, sqlite_url, damage):
    manager = await opened(sqlite_url)
    for number in range(3):
        await manager.dispatch(Said(user=f"u{number}", text=str(number)), to=TALK)
    await manager.close()
    change_file(sqlite_url, f"UPDATE record SET {damage} WHERE position = 2")
    manager = await opened(sqlite_url)

    assert list((await manager.at(TALK).state("talk")).texts) == ["0", "2"]
    assert (await manager.root.state("totals")).said == 2
    assert await manager.at(TALK).version() == 3
    assert {"record"} == {problem.kind for problem in manager.problems}
    assert (await manager.dispatch(Said(user="a", text="3"), to=TALK)).version == 4


async def test_a_payload_that_no_longer_fits_is_left_out_and_reported(opened, sqlite_url):
    @event("said")
    class SaidLater:
        user: int
        text: str = ""

    class Later(TalkModule):
        handles = ()

        @reduces(SaidLater)
        def say(self, state: Talk, event: SaidLater) -> Talk:
            raise AssertionError("nothing fits")

    manager = await opened(sqlite_url)
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)
    await manager.close()
    manager = await opened(sqlite_url, modules=[Later()])

    assert await manager.at(TALK).state("talk") == Talk()
    assert {"record"} == {problem.kind for problem in manager.problems}


async def test_a_store_opens_with_fewer_modules_and_keeps_the_records(opened, filled):
    url, state = filled
    manager = await opened(url, modules=[chat.BudgetModule()])

    assert (await manager.at(AGENT).state("budget")).left == 8
    assert len(await manager.root.records(limit=None)) == 61
    assert list(manager.problems) == []
    await manager.dispatch(Drawn(amount=1), to=AGENT)
    await manager.close()
    manager = await opened(url)
    found = await whole(manager)
    assert {**state[TALK]} == found[TALK]
    assert (await manager.root.state("totals")).events == 62


async def test_a_store_opens_without_modules(opened, filled):
    manager = await opened(filled[0], modules=[])

    assert dict(await manager.at(TALK).state()) == {}
    assert [61] == [record.position for record in await manager.root.records(newest_first=True, limit=1)]


class Squeamish(TalkModule):
    @reduces(Said)
    def say(self, state: Talk, event: Said) -> Talk:
        if event.text == "7":
            raise ValueError("not that")
        return super().say(state, event)


async def test_a_reducer_that_raises_in_a_fold_leaves_its_slice_and_is_reported(opened, filled):
    url, state = filled
    await forget(url)
    manager = await opened(url, modules=[chat.TotalsModule(), chat.PeopleModule(), Squeamish()])
    texts = list((await manager.at(TALK).state("talk")).texts)

    assert [text for text in state[TALK]["talk"].texts if text != "7"] == texts
    assert (await manager.root.state("totals")).said == 60
    assert {("reducer", TALK)} == {(problem.kind, problem.path) for problem in manager.problems}


async def test_a_rejection_in_a_fold_is_reported_like_any_other_failure(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await manager.dispatch(Drawn(amount=2), to=AGENT)
    await manager.close()
    await forget(sqlite_url)

    class Poorer(chat.BudgetModule):
        def initial_state(self) -> chat.Budget:
            return chat.Budget(left=1)

    manager = await opened(sqlite_url, modules=[Poorer()])
    assert (await manager.at(AGENT).state("budget")).left == 1
    assert {"reducer"} == {problem.kind for problem in manager.problems}


async def test_a_module_of_a_newer_version_folds_again(opened, filled):
    class Louder(TalkModule):
        version = 2

        @reduces(Said)
        def say(self, state: Talk, event: Said) -> Talk:
            return super().say(state, Said(user=event.user, text=f"{event.text}!"))

    url, state = filled
    manager = await opened(url, modules=[chat.TotalsModule(), chat.PeopleModule(), Louder()])

    assert [f"{text}!" for text in state[TALK]["talk"].texts] == list(
        (await manager.at(TALK).state("talk")).texts
    )
    assert (await manager.root.state("totals")) == state[Path()]["totals"]
    assert list(manager.problems) == []


async def test_an_upcaster_runs_on_older_records(opened, sqlite_url):
    @event("told")
    class ToldOnce:
        who: str

    @event("told", version=2, upcasters={1: lambda old: {"user": old["who"].upper()}})
    class Told:
        user: str

    def module(cls: Any, field: str) -> StateModule[Any]:
        class ToldModule(StateModule[chat.People]):
            name = "told"
            level = "room"

            @reduces(cls)
            def tell(self, state: chat.People, event: Any) -> chat.People:
                return chat.People(state.names.add(getattr(event, field)))

        return ToldModule()

    manager = await opened(sqlite_url, modules=[module(ToldOnce, "who")])
    await manager.dispatch(ToldOnce(who="ada"), to=ROOM)
    await manager.close()
    manager = await opened(sqlite_url, modules=[module(Told, "user")])
    await manager.dispatch(Told(user="bob"), to=ROOM)

    assert list((await manager.at(ROOM).state("told")).names) == ["ADA", "bob"]
    assert [1, 2] == [record.schema_version for record in await manager.root.records()]
    await manager.close()
    manager = await opened(sqlite_url, modules=[module(ToldOnce, "who")])
    assert list((await manager.at(ROOM).state("told")).names) == ["ada"]
    assert {"record"} == {problem.kind for problem in manager.problems}


async def test_an_upcaster_that_raises_leaves_out_the_record_and_is_reported(opened, sqlite_url):
    @event("joined", version=2, upcasters={1: lambda old: 1 / 0})
    class JoinedLater:
        user: str

    class Later(StateModule[chat.People]):
        name = "people"
        level = "room"

        @reduces(JoinedLater)
        def join(self, state: chat.People, event: JoinedLater) -> chat.People:
            return chat.People(state.names.add(event.user))

    manager = await opened(sqlite_url)
    await manager.dispatch(Joined(user="ada"), to=ROOM)
    await manager.close()
    manager = await opened(sqlite_url, modules=[Later()])

    assert await manager.at(ROOM).state("people") == chat.People()
    assert {"record"} == {problem.kind for problem in manager.problems}


async def test_a_state_that_cannot_be_read_is_folded_again(opened, filled):
    class Changed(chat.TotalsModule):
        def deserialize(self, data: Any) -> Any:
            raise TypeError("another shape")

        def serialize(self, state: Any) -> Any:
            return [state.events]

    url, _ = filled
    manager = await opened(url, modules=[Changed(), chat.PeopleModule(), TalkModule()])
    await fill(manager, 20, start=500)
    await manager.close()
    manager = await opened(url, modules=[Changed(), chat.PeopleModule(), TalkModule()])

    assert (await manager.root.state("totals")).said == 80
    assert {"snapshot"} == {problem.kind for problem in manager.problems}


async def test_an_ended_scope_is_found_ended_at_its_end_and_not_before(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await fill(manager, 20)
    await manager.dispatch(Closed(), to=TALK)
    await manager.close()
    manager = await opened(sqlite_url)

    assert await manager.at(TALK).phase() == "archived"
    assert not (await manager.at(TALK).state("talk", at=20)).closed
    assert (await manager.at(TALK).state("talk", at=21)).closed
