"""The package `eventsourcing`: a conversation is an aggregate, a message one of its events."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Generator
from typing import Any, ClassVar, Final

from sqlalchemy import make_url

from benchmarks.appending.openai_agents import FULL
from benchmarks.appending.sides import Append, Side, Store, fields_of
from benchmarks.peers import peer

_Aggregate: Any = peer("eventsourcing.domain").Aggregate
_event: Any = peer("eventsourcing.domain").event
_Application: Any = peer("eventsourcing.application").Application


class Conversation(_Aggregate):
    """A conversation as the package's tutorial would have it."""

    @_event("Started")
    def __init__(self, talk: int) -> None:
        self.talk = talk
        self.messages: list[dict[str, Any]] = []

    @staticmethod
    def create_id(talk: int) -> uuid.UUID:
        """Return the identifier of the conversation of a number."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"c{talk}")

    @_event("MessageReceived")
    def receive(self, id: str, user: str, text: str, at: int) -> None:  # noqa: A002  # as on every side
        """Take a message."""
        self.messages.append({"id": id, "user": user, "text": text, "at": at})


class Conversations(_Application):
    """Conversations without snapshots."""


class WithSnapshots(_Application):
    """Conversations with a snapshot after each hundred events, as the package takes them by itself."""

    name = "Conversations"
    is_snapshotting_enabled = True
    snapshotting_intervals: ClassVar[dict[type, int]] = {Conversation: 100}


def _environment(store: Store) -> dict[str, str]:
    if not store.url:
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": f"{store.folder}/eventsourcing.db",
            "SQLITE_LOCK_TIMEOUT": "60",
        }
    url = make_url(store.url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": str(url.query["host"]),
        "POSTGRES_PORT": "5432",
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": "unused",
        "POSTGRES_POOL_SIZE": str(store.tasks),
    }


@contextlib.contextmanager
def application(kind: Any, store: Store) -> Generator[Any]:
    """Open an application over a store that is there."""
    with kind(env=_environment(store)) as opened:
        yield opened


@contextlib.asynccontextmanager
async def kept(store: Store) -> AsyncGenerator[Append]:
    """Keep the aggregates in memory, as one process may that is alone with the store."""
    talks = _fill(store)
    with application(Conversations, store) as conversations:

        def append(talk: int, number: int) -> None:
            talks[talk].receive(**fields_of(number))
            conversations.save(talks[talk])

        yield store.blocking(append)


@contextlib.asynccontextmanager
async def read(store: Store) -> AsyncGenerator[Append]:
    """Read the aggregate from the repository each time, as the package's documentation does."""
    names = [talk.id for talk in _fill(store)]
    with application(WithSnapshots, store) as conversations:
        for name in names:
            conversations.take_snapshot(name)

        def append(talk: int, number: int) -> None:
            conversation = conversations.repository.get(names[talk])
            conversation.receive(**fields_of(number))
            conversations.save(conversation)

        yield store.blocking(append)


def _fill(store: Store) -> list[Any]:
    talks = [Conversation(talk) for talk in range(store.talks)]
    with application(Conversations, store) as conversations:
        for talk in talks:
            for number in range(store.history):
                talk.receive(**fields_of(number))
            conversations.save(talk)
    if not store.url:
        _check_durable(store)
    return talks


def _check_durable(store: Store) -> None:
    # Its connections are its own: what they begin with is looked at instead.
    with contextlib.closing(sqlite3.connect(_environment(store)["SQLITE_DBNAME"])) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (FULL,)


_DURABLE: Final = "WAL, synchronous=FULL by default, looked at"
KEPT: Final = Side("eventsourcing, aggregate kept", kept, f"{_DURABLE}; the state lives with one process")
SNAPSHOTS: Final = Side("eventsourcing, snapshots", read, f"{_DURABLE}; read each time")
KEPT_POSTGRES: Final = Side("eventsourcing, aggregate kept", kept, "the state lives with one process")
SNAPSHOTS_POSTGRES: Final = Side("eventsourcing, snapshots", read, "read each time")
