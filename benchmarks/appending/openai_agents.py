"""The sessions of OpenAI's Agents SDK: each message is a row of JSON text."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncGenerator
from typing import Any, Final

from sqlalchemy import event

from benchmarks.appending.sides import Append, Side, Store, fields_of
from benchmarks.peers import peer

FULL: Final = 2
"""What SQLite answers for synchronous=FULL."""


def item(number: int) -> dict[str, Any]:
    """Return a message as the SDK has it, its id and time with it."""
    fields = fields_of(number)
    return {"role": "user", "content": fields.pop("text"), **fields}


@contextlib.asynccontextmanager
async def in_sqlite(store: Store) -> AsyncGenerator[Append]:
    """Open a session for each conversation, all in one file."""
    path = store.folder / "openai.db"
    # Its connections are its own, one for each thread: what they begin with is looked at instead.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        assert synchronous == FULL, "this SQLite is built with another default than synchronous=FULL"
    made = [peer("agents").SQLiteSession(f"c{talk}", path) for talk in range(store.talks)]
    for session in made:
        await session.add_items([item(number) for number in range(store.history)])
    yield _adding(made)
    for session in made:
        session.close()


@contextlib.asynccontextmanager
async def in_sqlalchemy(store: Store) -> AsyncGenerator[Append]:
    """Open a session for each conversation over one engine: aiosqlite, or asyncpg where there is a server."""
    engine = engine_of(store)
    make = peer("agents.extensions.memory").SQLAlchemySession
    made = [make(f"c{talk}", engine=engine, create_tables=True) for talk in range(store.talks)]
    for session in made:
        await session.add_items([item(number) for number in range(store.history)])
    yield _adding(made)
    await engine.dispose()


def engine_of(store: Store) -> Any:
    """Make an engine with a connection for each task, as durable as ours in SQLite."""
    make = peer("sqlalchemy.ext.asyncio").create_async_engine
    if store.url:
        url = store.url.replace("+psycopg", "+asyncpg")
        return make(url, pool_size=store.tasks)
    engine = make(f"sqlite+aiosqlite:///{store.folder}/peer.db", pool_size=store.tasks)

    def make_durable(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", make_durable)
    return engine


def _adding(sessions: list[Any]) -> Append:
    async def append(talk: int, number: int) -> None:
        await sessions[talk].add_items([item(number)])

    return append


SQLITE: Final = Side(
    "OpenAI SQLiteSession",
    in_sqlite,
    "WAL, synchronous=FULL by default, looked at; no state, no signal",
)
SQLALCHEMY: Final = Side(
    "OpenAI SQLAlchemySession", in_sqlalchemy, "WAL, synchronous=FULL set; no state, no signal"
)
POSTGRES: Final = Side("OpenAI SQLAlchemySession", in_sqlalchemy, "asyncpg; no state, no signal")
