"""What it takes to read a long conversation that nobody has in memory, beside what people use today."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from benchmarks.appending import by_hand, event_sourcing, google_adk, langgraph, openai_agents
from benchmarks.appending.ours import NAME
from benchmarks.appending.sides import Side, Store
from benchmarks.growing import scope, store_of
from benchmarks.harness import Measure, Row, Skipped, apart, compare, figure
from benchmarks.peers import peer
from benchmarks.places import disk_folder
from benchmarks.plots import Plot, curves
from eliza_modules import ConversationModule
from eliza_state import StateManager

HISTORIES: Final = (100, 1_000, 10_000, 100_000)
QUICK_HISTORIES: Final = (100, 1_000)
LAST: Final = 50

Reading: TypeAlias = AbstractAsyncContextManager[Callable[[], Awaitable[int]]]
Read: TypeAlias = Callable[[Path, int | None], Reading]
"""Open the store in a folder and yield what reads its conversation, the last messages or all, and counts."""


@attrs.frozen
class Reader:
    """A side, how it reads, and what is not as on ours; `can_read_last` without reading all."""

    side: Side
    read: Read
    can_read_last: bool
    note: str = ""


def rows(*, quick: bool = False) -> list[Row | Skipped]:
    """Measure all of this file, the files being in the operating system's memory."""
    histories = QUICK_HISTORIES if quick else HISTORIES
    with disk_folder() as folder:
        return [row for history in histories for row in _rows(folder, history)]


def plots(found: Sequence[Row | Skipped]) -> list[Plot]:
    """Return how the cost of a cold read grows with the conversation."""
    across = "messages in the conversation"
    lasts = curves(found, {history: name_of(history, LAST) for history in HISTORIES}, ours=NAME)
    alls = curves(found, {history: name_of(history, None) for history in HISTORIES}, ours=NAME)
    return [
        Plot("opening-last", f"A cold read of the last {LAST} messages", across, "ms", lasts),
        Plot("opening-all", "A cold read of all messages", across, "ms", alls),
    ]


def name_of(history: int, last: int | None) -> str:
    """Return the name of the rows that a plot shows at a history."""
    return f"open a conversation of {history:,}, read {'all' if last is None else f'the last {last}'}"


def _rows(base: Path, history: int) -> list[Row]:
    ours = base / "ours"
    ours.mkdir(exist_ok=True)
    url = store_of(str(ours), history)
    found: list[Row] = []
    for last, bound in ((LAST, 20.0), (None, 400.0)):
        read_ours = _timed(partial(_read_ours, url, last))
        if history == HISTORIES[-1]:
            found.append(figure(name_of(history, last), ours=read_ours, unit="ms", bound=bound))
        found += [_row(base / str(history), history, last, reader, read_ours) for reader in READERS]
    return found


def _row(base: Path, history: int, last: int | None, reader: Reader, ours: Measure) -> Row:
    folder = base / reader.side.name.replace("/", "-")
    if not folder.exists():
        folder.mkdir(parents=True)
        asyncio.run(_fill(reader.side, Store(folder, talks=1, history=history)))
    row = compare(
        name_of(history, last),
        ours=ours,
        other=_timed(partial(reader.read, folder, last)),
        other_name=reader.side.name,
        unit="ms",
        bound=None,
        runs=3,
    )
    reads_all = last is not None and not reader.can_read_last
    return attrs.evolve(row, note="; ".join(filter(None, [reader.note, "reads all" * reads_all])))


async def _fill(side: Side, store: Store) -> None:
    async with side.opened(store):
        pass


def _timed(read: Callable[[], Reading]) -> Measure:
    def milliseconds() -> float:
        return asyncio.run(run()) * 1e3

    async def run() -> float:
        async with read() as count:
            with apart():
                started = time.perf_counter()
                assert await count() >= LAST
                return time.perf_counter() - started

    return milliseconds


@contextlib.asynccontextmanager
async def _read_ours(url: str, last: int | None) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    async with StateManager.open(url, modules=[ConversationModule()]) as manager:

        async def count() -> int:
            state = await scope(manager).state(ConversationModule)
            return len(list(state.messages) if last is None else state.messages.last(last))

        yield count


@contextlib.asynccontextmanager
async def _read_by_hand(folder: Path, last: int | None) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    select = "SELECT payload FROM message WHERE talk = 'c0' ORDER BY number DESC LIMIT ?"
    with contextlib.closing(sqlite3.connect(folder / "by-hand.db")) as connection:

        async def count() -> int:
            found = connection.execute(select, (-1 if last is None else last,)).fetchall()
            text = b",".join(payload for (payload,) in reversed(found))
            return len(msgspec.json.decode(b"[" + text + b"]"))

        yield count


@contextlib.asynccontextmanager
async def _read_openai(folder: Path, last: int | None) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    session = peer("agents").SQLiteSession("c0", folder / "openai.db")

    async def count() -> int:
        return len(await session.get_items(limit=last))

    yield count
    session.close()


@contextlib.asynccontextmanager
async def _read_adk(folder: Path, last: int | None) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    engine = openai_agents.engine_of(Store(folder, talks=1, history=0))
    service = peer("google.adk.sessions").DatabaseSessionService(db_engine=engine)
    await service.prepare_tables()
    wanted = peer("google.adk.sessions.base_session_service").GetSessionConfig(num_recent_events=last)

    async def count() -> int:
        name = {"app_name": google_adk.APPLICATION, "user_id": google_adk.USER, "session_id": "c0"}
        return len((await service.get_session(**name, config=wanted)).events)

    yield count
    await engine.dispose()


@contextlib.asynccontextmanager
async def _read_langgraph(
    folder: Path, last: int | None, *, schema: type
) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    path = folder / "langgraph.db"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        graph = langgraph.graph(schema, peer("langgraph.checkpoint.sqlite").SqliteSaver(connection))

        async def count() -> int:
            return _size(graph.get_state(langgraph.config(0)).values["messages"], last)

        yield count


@contextlib.asynccontextmanager
async def _read_eventsourcing(
    folder: Path, last: int | None, *, kind: Any
) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    with event_sourcing.application(kind, Store(folder, talks=1, history=0)) as application:
        identifier = event_sourcing.Conversation.create_id(0)

        async def count() -> int:
            return _size(application.repository.get(identifier).messages, last)

        yield count


def _size(messages: list[Any], last: int | None) -> int:
    return len(messages if last is None else messages[-last:])


READERS: Final = (
    Reader(by_hand.SQLITE_ALONE, _read_by_hand, True, "plain dicts"),
    Reader(openai_agents.SQLITE, _read_openai, True, "plain dicts"),
    Reader(google_adk.SQLITE, _read_adk, True),
    Reader(event_sourcing.KEPT, partial(_read_eventsourcing, kind=event_sourcing.Conversations), False),
    Reader(event_sourcing.SNAPSHOTS, partial(_read_eventsourcing, kind=event_sourcing.WithSnapshots), False),
    Reader(langgraph.JOINED, partial(_read_langgraph, schema=langgraph.Joined), False, "plain dicts"),
    Reader(langgraph.MERGED, partial(_read_langgraph, schema=langgraph.Merged), False),
)
