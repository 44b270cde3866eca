"""The same on PostgreSQL: on the tests' server, which does not wait for a disk, and on one that does."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Generator, Mapping, Sequence
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from benchmarks.appending import by_hand, event_sourcing, google_adk, langgraph, openai_agents
from benchmarks.appending.measuring import TASKS, Load, pair
from benchmarks.appending.sides import Side
from benchmarks.harness import Row, Skipped
from benchmarks.places import disk_folder
from benchmarks.storing.servers import postgres_on_disk
from eliza_state import StateManager
from eliza_state.errors import StoreError
from tests.servers import PostgresServer, Unavailable

NAME: Final = "append, PostgreSQL"
HISTORY: Final = 100
CONNECTIONS: Final = ("-c", "max_connections=200")
BOUNDS: Final[Mapping[Side, float | None]] = {
    by_hand.POSTGRES_GROUPED: None,
    by_hand.POSTGRES_ALONE: None,
    openai_agents.POSTGRES: 1 / 25,
    event_sourcing.KEPT_POSTGRES: 1 / 25,
    event_sourcing.SNAPSHOTS_POSTGRES: 1 / 25,
    google_adk.POSTGRES: 1 / 25,
    langgraph.JOINED_POSTGRES: 1 / 25,
    langgraph.MERGED_POSTGRES: 1 / 25,
}
"""Of many tasks."""


def rows() -> Sequence[Row | Skipped]:
    """Measure all of this file, where there is a server and a manager opens it."""
    try:
        with PostgresServer(arguments=CONNECTIONS) as server:
            with _database(server.url) as url:
                if not asyncio.run(_opens(url)):
                    return [Skipped(NAME, "a manager opens no PostgreSQL")]
            place = "PostgreSQL, fsync=off"
            found = [row for tasks in (1, TASKS) for row in _rows(server.url, place, tasks=tasks)]
        with disk_folder() as folder, postgres_on_disk(folder) as url:
            return [*found, *_rows(url, "PostgreSQL on disk", tasks=TASKS)]
    except Unavailable as missing:
        return [Skipped(NAME, str(missing))]


@contextlib.contextmanager
def _database(server: str) -> Generator[str]:
    """Make a database on a server and drop it in the end, whoever is connected."""
    admin = server.replace("+psycopg", "")
    name = f"appending_{uuid.uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


async def _opens(url: str) -> bool:
    try:
        async with StateManager.open(url):
            return True
    except StoreError:
        return False


def _rows(server: str, place: str, *, tasks: int) -> list[Row]:
    appends = 20 if tasks == 1 else 4
    load = Load(HISTORY, appends, place, None, tasks=tasks, runs=3, url=lambda: _database(server))
    return [pair(load, other, bound=bound if tasks > 1 else None) for other, bound in BOUNDS.items()]
