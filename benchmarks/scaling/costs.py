"""What one event costs: rows, bytes, statements, round trips and flushes, counted where they happen.

SQLite tells its statements to a trace of the driver and its sizes by `dbstat`; PostgreSQL tells its own in
`pg_stat_wal` and `pg_total_relation_size`. A round trip is a change of direction on the connection, seen by
a relay between driver and server. How often SQLite flushes a file is counted by `strace`, where there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Any, Final, TypeAlias

import psycopg
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import Pool

from benchmarks.growing import message
from benchmarks.harness import Row, Skipped
from benchmarks.scaling.relay import Relay
from benchmarks.talk import TEXT, Said, TalkModule
from eliza_modules import ConversationModule
from eliza_state import Dispatch, Path, StateManager
from eliza_state.journal import schema
from tests.servers import PostgresServer

EVENTS: Final = 20_000
TALKS: Final = 100
COMMITS: Final = 100
BATCH: Final = 100
DURABLE: Final = ("-c", "fsync=on", "-c", "full_page_writes=on")
_ROOM: Final = Path((("agent", "a"), ("room", "r")))
# How often, at most, a connection of PostgreSQL adds what it did to the statistics.
_TOLD_EACH_S: Final = 1.1
_FLUSH: Final = re.compile(r"^.*\b(?:fsync|fdatasync)\(", re.MULTILINE)

Work: TypeAlias = Callable[[StateManager], Awaitable[object]]


def said(number: int) -> Said:
    """Return an event whose payload has about 150 bytes."""
    return Said(id=f"m{number}", user="ada", text=TEXT)


def talk(number: int) -> Path:
    """Return the path of one of the conversations."""
    return _ROOM.child("conversation", f"c{number % TALKS}")


def rows() -> list[Row | Skipped]:
    """Measure all of this file."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(arguments=DURABLE) as server:
        return [
            *_sizes_sqlite(f"{folder}/sizes.db"),
            *_statements(f"{folder}/statements.db"),
            *_flushes(folder),
            *_snapshots(f"{folder}/snapshots.db"),
            *_on_server(server),
        ]


def _figure(name: str, value: float, unit: str) -> Row:
    return Row(name, unit, [value], [], "", None)


# What is done


async def touch(manager: StateManager) -> None:
    """Make all conversations known."""
    await manager.dispatch_all([Dispatch(said(-1), talk(number)) for number in range(TALKS)])


async def one_by_one(manager: StateManager) -> None:
    """Commit events of their own."""
    for number in range(COMMITS):
        await manager.dispatch(said(number), to=talk(number))


async def together(manager: StateManager) -> None:
    """Commit batches."""
    for _ in range(COMMITS):
        await manager.dispatch_all([Dispatch(said(number), talk(number)) for number in range(BATCH)])


async def new_ones(manager: StateManager) -> None:
    """Commit the first events of new conversations."""
    for number in range(COMMITS):
        await manager.dispatch(said(number), to=_ROOM.child("conversation", f"n{number}"))


async def read(manager: StateManager) -> None:
    """Read conversations that nobody has in memory."""
    for number in range(TALKS):
        await manager.at(talk(number)).state()


STEPS: Final[dict[str, tuple[Work, int]]] = {
    "an event with a commit of its own": (one_by_one, COMMITS),
    f"a commit of {BATCH} events": (together, COMMITS),
    "the first event of a new conversation": (new_ones, COMMITS),
}


async def each(url: str, before: Callable[[], None], after: Callable[[str, int], None]) -> None:
    """Do each step in a store, telling what counts when it begins and ends."""
    async with StateManager.open(url, modules=[TalkModule()]) as manager:
        await touch(manager)
        for name, (work, times) in STEPS.items():
            before()
            await work(manager)
            after(name, times)
    async with StateManager.open(url, modules=[TalkModule()]) as manager:
        await manager.root.state()
        before()
        await read(manager)
        after("the first touch of a stored conversation", TALKS)


# SQLite


def _sizes_sqlite(path: str) -> list[Row]:
    asyncio.run(_fill(f"sqlite:///{path}"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tables = [table.name for table in schema.metadata.sorted_tables]
        counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        sizes = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        (payload,) = connection.execute("SELECT avg(length(payload)) FROM record").fetchone()
    found = [
        _figure(f"rows of {name} an event", count / EVENTS, "rows")
        for name, count in counts.items()
        if count >= TALKS  # what comes once in a store costs an event nothing
    ]
    found += [
        _figure(f"SQLite, {name}", size / EVENTS, "bytes an event")
        for name, size in sorted(sizes.items(), key=lambda entry: -entry[1])
        if size >= EVENTS
    ]
    total = _figure("SQLite, all of it", sum(sizes.values()) / EVENTS, "bytes an event")
    return [_figure("payload", payload, "bytes an event"), *found, total]


async def _fill(url: str) -> None:
    async with StateManager.open(url, modules=[TalkModule()], snapshots=False) as manager:
        for first in range(0, EVENTS, BATCH):
            numbers = range(first, first + BATCH)
            await manager.dispatch_all([Dispatch(said(number), talk(number)) for number in numbers])


def _statements(path: str) -> list[Row]:
    seen: list[str] = []
    found: list[Row] = []

    def trace(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(seen.append)

    def count(name: str, times: int) -> None:
        verbs = Counter(statement.split()[0].upper() for statement in seen)
        reads = verbs["SELECT"] + verbs["WITH"]
        writes = verbs["INSERT"] + verbs["UPDATE"] + verbs["DELETE"]
        found.append(_figure(f"SQLite, {name}: reading", reads / times, "statements"))
        found.append(_figure(f"SQLite, {name}: writing", writes / times, "statements"))
        found.append(_figure(f"SQLite, {name}: commits", verbs["COMMIT"] / times, "statements"))

    event.listen(Pool, "connect", trace)
    try:
        asyncio.run(each(f"sqlite:///{path}", seen.clear, count))
    finally:
        event.remove(Pool, "connect", trace)
    return found


def _flushes(folder: str) -> list[Row | Skipped]:
    if shutil.which("strace") is None:
        return [Skipped("SQLite, flushes", "needs strace")]
    return [
        _figure(f"SQLite, {name}: flushes", _flushed(folder, name) / times, "fsync or fdatasync")
        for name, (_, times) in STEPS.items()
    ]


def _flushed(folder: str, name: str) -> int:
    """Return how often one step flushes a file, counted in a process of its own."""
    log = FilePath(folder) / "strace"
    command = [
        sys.executable,
        "-c",
        f"from {__name__} import main; main()",
        f"sqlite:///{folder}/{name}.db",
        name,
    ]
    traced = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,mkdir", "-o", str(log), *command]
    subprocess.run([*traced, folder], check=True, capture_output=True)
    # Two folders that the step makes tell where it begins and ends.
    _, during, _ = re.split(r"mkdir\([^\n]*/mark-\w+\"[^\n]*", log.read_text())
    return len(_FLUSH.findall(during))


def main() -> None:
    """Do one step between two marks in the trace of system calls."""
    url, name, folder = sys.argv[1:]

    async def run() -> None:
        async with StateManager.open(url, modules=[TalkModule()]) as manager:
            await touch(manager)
            for path in (FilePath(folder) / f"mark-{mark}" for mark in ("begin", "end")):
                path.mkdir()
                if path.name == "mark-begin":
                    await STEPS[name][0](manager)

    asyncio.run(run())
    for mark in ("begin", "end"):
        (FilePath(folder) / f"mark-{mark}").rmdir()


def _snapshots(path: str) -> list[Row]:
    """Return what the snapshots of one conversation write, taken when the store is closed."""
    stored: dict[str, int] = {}
    found: list[Row] = []
    for name, count in (
        ("the first snapshot, of 1,000 messages", 1_000),
        ("a snapshot after 1,000 more", 1_000),
        ("a snapshot after 100 more", 100),
    ):
        asyncio.run(_say(f"sqlite:///{path}?synchronous=NORMAL", count))
        with contextlib.closing(sqlite3.connect(f"{path}-snapshots")) as connection:
            query = "SELECT space || name || version, length(value) FROM eliza_state_kv"
            now = {str(key): int(size) for key, size in connection.execute(query)}
        new = {key: size for key, size in now.items() if key not in stored}
        found.append(_figure(name, len(new), "rows"))
        found.append(_figure(name, sum(new.values()), "bytes"))
        stored = now
    return found


async def _say(url: str, count: int) -> None:
    async with StateManager.open(url, modules=[ConversationModule()]) as manager:
        first = await manager.at(talk(0)).version()
        numbers = range(first, first + count)
        await manager.dispatch_all([Dispatch(message(number), talk(0)) for number in numbers])


# PostgreSQL


def _on_server(server: PostgresServer) -> list[Row]:
    with server.database() as url:
        asyncio.run(_fill(url))
        sizes = _sizes_postgresql(url)
    with server.database() as url, Relay(server.folder) as relay:
        trips = _exchanged(url, relay)
    with server.database() as url:
        return [*sizes, *trips, *asyncio.run(_server_flushes(url))]


def _sizes_postgresql(url: str) -> list[Row]:
    engine = create_engine(url)
    query = text(
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
        " WHERE relnamespace = 'eliza_state'::regnamespace AND relkind = 'r' ORDER BY 2 DESC"
    )
    with engine.connect() as connection:
        sizes = {str(name): int(size) for name, size in connection.execute(query)}
    engine.dispose()
    found = [
        _figure(f"PostgreSQL, {name}", size / EVENTS, "bytes an event")
        for name, size in sizes.items()
        if size >= EVENTS
    ]
    return [*found, _figure("PostgreSQL, all of it", sum(sizes.values()) / EVENTS, "bytes an event")]


def _exchanged(url: str, relay: Relay) -> list[Row]:
    found: list[Row] = []
    seen = 0

    def begin() -> None:
        nonlocal seen
        seen = relay.trips

    def count(name: str, times: int) -> None:
        found.append(_figure(f"PostgreSQL, {name}: round trips", (relay.trips - seen) / times, "round trips"))

    asyncio.run(each(str(make_url(url).update_query_dict({"host": str(relay.folder)})), begin, count))
    return found


async def _server_flushes(url: str) -> list[Row]:
    """Count flushes as the server tells them, which it does when a connection has been at it for a second."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    found: list[Row] = []
    with psycopg.connect(plain, autocommit=True) as connection:
        async with StateManager.open(url, modules=[TalkModule()]) as manager:

            async def told() -> int:
                await asyncio.sleep(_TOLD_EACH_S)
                await manager.dispatch(said(-2), to=talk(0))
                row = connection.execute("SELECT wal_sync FROM pg_stat_wal").fetchone()
                assert row is not None
                return int(row[0])

            await touch(manager)
            for name, (work, times) in STEPS.items():
                before = await told()
                await work(manager)
                flushes = await told() - before - 1
                found.append(_figure(f"PostgreSQL, {name}: flushes", flushes / times, "flushes of the WAL"))
    return found
