"""Opening and closing a store."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import sys
import threading

import pytest

from eliza_state.errors import (
    RegistrationError,
    StateError,
    StoreError,
)
from eliza_state.manager import StateManager
from eliza_state.testing import ManualClock
from tests.eliza_state import chat
from tests.eliza_state.chat import OTHER, TALK, Said, TalkModule, TotalsModule, Typing, everything

HELLO = Said(user="ada", text="hello")


async def test_closing_twice_does_nothing(opened, url):
    manager = await opened(url)
    await manager.close()
    await manager.close()


USES = {
    "dispatch": lambda manager: manager.dispatch(HELLO, to=TALK),
    "dispatch to another scope": lambda manager: manager.dispatch(HELLO, to=OTHER),
    "dispatch with an id": lambda manager: manager.dispatch(HELLO, to=TALK, id="x"),
    "dispatch_all": lambda manager: manager.dispatch_all([(HELLO, TALK)]),
    "execute": lambda manager: manager.execute(TALK, lambda _: [HELLO]),
    "state": lambda manager: manager.at(TALK).state(),
    "state of another scope": lambda manager: manager.at(OTHER).state(),
    "state at": lambda manager: manager.at(TALK).state(at=1),
    "version": lambda manager: manager.at(TALK).version(),
    "tree": lambda manager: manager.state(),
    "records": lambda manager: manager.root.records(),
    "children": lambda manager: manager.root.children(),
    "position_at": lambda manager: manager.position_at(ManualClock().now),
    "refresh": lambda manager: manager.refresh(),
}


@pytest.mark.parametrize("use", USES)
async def test_a_closed_manager_says_so(opened, url, use):
    manager = await opened(url)
    await manager.dispatch(HELLO, to=TALK)
    await manager.close()

    with pytest.raises(StoreError, match="the manager is closed; open the store anew"):
        await USES[use](manager)


async def test_closing_waits_for_what_is_under_way(opened, sqlite_url):
    manager = await opened(sqlite_url)
    calls = [asyncio.ensure_future(manager.dispatch(HELLO, to=TALK)) for _ in range(10)]
    await manager.at(TALK).state()
    await asyncio.sleep(0)
    await manager.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    manager = await opened(sqlite_url)

    acknowledged = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, StoreError) for outcome in outcomes if outcome not in acknowledged)
    assert await manager.at(TALK).version() == len(acknowledged)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "a store is named by a URL"),
        ("", "a store is named by a URL"),
        ("oracle://localhost/x", "a store is .memory://., a SQLite file"),
        ("mysql://localhost/x", "MySQL and MariaDB take storages"),
        ("sqlite://", "a SQLite store is"),
        ("sqlite:///:memory:", "a SQLite store is"),
        ("sqlite:///{folder}/missing/state.db", "there is no folder"),
        ("sqlite:///{folder}", "cannot open|open"),
        ("sqlite:///{folder}/text.db", "not a database"),
        ("sqlite:///{folder}/foreign.db", "is not a store of states"),
    ],
)
async def test_a_store_that_cannot_be_opened_says_why(tmp_path, url, message):
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at" * 50)
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE recipe (name TEXT)")
    foreign.close()

    with pytest.raises(StoreError, match=message):
        await StateManager.open(url.format(folder=tmp_path), modules=chat.modules())


async def test_a_durability_that_does_not_exist_is_refused(sqlite_url):
    with pytest.raises(StateError, match="is '"):
        await StateManager.open(sqlite_url, durability="eventual")


async def test_another_synchronous_is_refused(sqlite_url):
    with pytest.raises(StoreError, match="is 'FULL' or 'NORMAL'"):
        await StateManager.open(f"{sqlite_url}?synchronous=OFF")


async def test_modules_that_cannot_work_are_refused_before_the_store_is_touched(tmp_path, sqlite_url):
    with pytest.raises(RegistrationError):
        await StateManager.open(sqlite_url, modules=[TalkModule(), TalkModule()])

    assert list(tmp_path.iterdir()) == []


async def test_a_failed_opening_leaves_nothing_behind(opened, sqlite_url):
    class Broken(TotalsModule):
        def initial_state(self):
            raise RuntimeError("initial")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="initial"):
        await StateManager.open(sqlite_url, modules=[Broken()], durability="buffered")

    left = {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before}
    assert left <= {"asyncio"}  # the event loop's own executor may have come to be
    await opened(sqlite_url, durability="buffered")


async def test_a_buffered_store_excludes_others(opened, sqlite_url):
    await opened(sqlite_url, durability="buffered")

    for durability in ("buffered", "committed"):
        with pytest.raises(StoreError, match=r"has .* open; close it first"):
            await StateManager.open(sqlite_url, durability=durability)
    await opened(sqlite_url, read_only=True)


async def test_a_store_that_others_have_open_cannot_be_buffered(opened, sqlite_url):
    await opened(sqlite_url)

    with pytest.raises(StoreError, match=r"another manager has .* open"):
        await StateManager.open(sqlite_url, durability="buffered")


async def test_a_read_only_manager_reads_and_refuses_events(opened, sqlite_url):
    writer = await opened(sqlite_url)
    await writer.dispatch(HELLO, to=TALK)
    reader = await opened(sqlite_url, read_only=True)
    before = await everything(reader)

    for dispatch in (
        reader.dispatch(HELLO, to=TALK),
        reader.dispatch_all([(HELLO, TALK)]),
        reader.dispatch(Typing(user="a"), to=TALK),
    ):
        with pytest.raises(StoreError, match="open for reading only"):
            await dispatch
    assert before == await everything(reader)
    await writer.dispatch(HELLO, to=TALK)
    assert await reader.refresh() == 2
    assert len((await reader.at(TALK).state("talk")).texts) == 2


async def test_a_read_only_store_must_be_there(sqlite_url):
    with pytest.raises(StoreError, match="there is no store at"):
        await StateManager.open(sqlite_url, read_only=True)


def test_two_event_loops_one_after_the_other(sqlite_url):
    async def say() -> int:
        async with StateManager.open(sqlite_url, modules=chat.modules()) as manager:
            return (await manager.dispatch(HELLO, to=TALK)).version

    assert [1, 2] == [asyncio.run(say()), asyncio.run(say())]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts open files as Linux shows them")
async def test_opening_and_closing_leaks_nothing(sqlite_url):
    async def cycle(durability: str) -> None:
        async with StateManager.open(sqlite_url, modules=chat.modules(), durability=durability) as manager:

            async def receive(change):
                pass

            manager.subscribe(receive)
            manager.changes()
            await manager.dispatch(HELLO, to=TALK)
            await manager.at(OTHER).state(at=0)
        await asyncio.sleep(0)

    def held() -> tuple[int, int, int]:
        gc.collect()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("eliza-state")]
        return len(threads), len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    await cycle("committed")
    before = held()
    for number in range(20):
        await cycle(("committed", "buffered")[number % 2])

    assert before == held()
