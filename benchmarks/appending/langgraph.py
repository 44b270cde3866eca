"""LangGraph: a graph of one node that adds nothing, invoked with each message; its state is their list."""

from __future__ import annotations

import contextlib
import operator
import sqlite3
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Annotated, Any, Final, TypeAlias, TypedDict

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from benchmarks.appending.sides import Append, Side, Store, fields_of
from benchmarks.peers import peer
from benchmarks.talk import TEXT

# Aliases of what cannot be checked: the packages are installed for measuring only.
_HumanMessage: Any = peer("langchain_core.messages").HumanMessage
_add_messages: Any = peer("langgraph.graph.message").add_messages
_graph: Any = peer("langgraph.graph")


def _join(state: list[Any], writes: list[list[Any]]) -> list[Any]:
    return [*state, *(message for write in writes for message in write)]


_delta: Any = peer("langgraph.channels.delta").DeltaChannel(_join)

Make: TypeAlias = Callable[[int], Any]
"""Return the message of a number as the graph's input has it."""


class Merged(TypedDict):
    """Messages as the tutorials keep them: merged by their ids."""

    messages: Annotated[list[Any], _add_messages]


class Joined(TypedDict):
    """Messages as a plain list, joined to the ones before."""

    messages: Annotated[list[Any], operator.add]


class Delta(TypedDict):
    """Messages in a channel that stores what was added, and all of it after every hundred (a beta)."""

    messages: Annotated[list[Any], _delta]


def rich(number: int) -> Any:
    """Return a message of LangChain's."""
    return _HumanMessage(content=TEXT, id=f"m{number}", name=fields_of(number)["user"])


def graph(schema: type, saver: Any) -> Any:
    """Compile the graph."""
    builder = _graph.StateGraph(schema)
    builder.add_node("receive", _add_nothing)
    builder.add_edge(_graph.START, "receive")
    return builder.compile(checkpointer=saver)


def _add_nothing(_state: Any) -> dict[str, Any]:
    return {}


def config(talk: int) -> dict[str, Any]:
    """Return what names a conversation."""
    return {"configurable": {"thread_id": f"c{talk}"}}


def many(make: Make, count: int) -> dict[str, Any]:
    """Return so many messages as one input, which fills a conversation at once."""
    return {"messages": [make(number) for number in range(count)]}


@contextlib.asynccontextmanager
async def in_sqlite(store: Store, *, schema: type, make: Make) -> AsyncGenerator[Append]:
    """Open the saver that blocks."""
    path = store.folder / "langgraph.db"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        saver = peer("langgraph.checkpoint.sqlite").SqliteSaver(connection)
        saver.setup()
        connection.execute("PRAGMA synchronous=OFF")  # while it is filled
        compiled = graph(schema, saver)
        for talk in range(store.talks):
            compiled.invoke(many(make, store.history), config(talk))
        connection.execute("PRAGMA synchronous=FULL")
        yield store.blocking(lambda talk, number: compiled.invoke({"messages": [make(number)]}, config(talk)))


@contextlib.asynccontextmanager
async def in_sqlite_leanly(store: Store, *, schema: type, make: Make) -> AsyncGenerator[Append]:
    """Open the saver that blocks, and append past the graph, by an update of its state."""
    async with in_sqlite(store, schema=schema, make=make):
        pass
    with contextlib.closing(
        sqlite3.connect(store.folder / "langgraph.db", check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        compiled = graph(schema, peer("langgraph.checkpoint.sqlite").SqliteSaver(connection))
        yield store.blocking(
            lambda talk, number: compiled.update_state(config(talk), {"messages": [make(number)]})
        )


@contextlib.asynccontextmanager
async def in_aiosqlite(store: Store, *, schema: type, make: Make) -> AsyncGenerator[Append]:
    """Open the saver for event loops."""
    async with peer("aiosqlite").connect(store.folder / "langgraph.db") as connection:
        saver = peer("langgraph.checkpoint.sqlite.aio").AsyncSqliteSaver(connection)
        await saver.setup()
        await connection.execute("PRAGMA synchronous=OFF")
        compiled = graph(schema, saver)
        for talk in range(store.talks):
            await compiled.ainvoke(many(make, store.history), config(talk))
        await connection.execute("PRAGMA synchronous=FULL")
        yield _invoking(compiled, make)


@contextlib.asynccontextmanager
async def in_postgres(store: Store, *, schema: type, make: Make) -> AsyncGenerator[Append]:
    """Open the saver over a pool with a connection for each task."""
    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool = peer("psycopg_pool").AsyncConnectionPool(
        store.url.replace("+psycopg", ""),
        min_size=store.tasks,
        max_size=store.tasks,
        kwargs=settings,
        open=False,
        connection_class=AsyncConnection,
    )
    async with pool:
        saver = peer("langgraph.checkpoint.postgres.aio").AsyncPostgresSaver(pool)
        await saver.setup()
        compiled = graph(schema, saver)
        for talk in range(store.talks):
            await compiled.ainvoke(many(make, store.history), config(talk))
        yield _invoking(compiled, make)


def _invoking(compiled: Any, make: Make) -> Append:
    async def append(talk: int, number: int) -> None:
        await compiled.ainvoke({"messages": [make(number)]}, config(talk))

    return append


_SET: Final = "WAL, synchronous=FULL set"
_DURABLE: Final = f"{_SET}; several commits a message"
MERGED: Final = Side(
    "LangGraph SqliteSaver, add_messages", partial(in_sqlite, schema=Merged, make=rich), _DURABLE
)
JOINED: Final = Side(
    "LangGraph SqliteSaver, operator.add", partial(in_sqlite, schema=Joined, make=fields_of), _DURABLE
)
UPDATED: Final = Side(
    "LangGraph SqliteSaver, operator.add, update_state",
    partial(in_sqlite_leanly, schema=Joined, make=fields_of),
    f"{_SET}; no node runs",
)
DELTA: Final = Side(
    "LangGraph SqliteSaver, DeltaChannel",
    partial(in_sqlite, schema=Delta, make=fields_of),
    f"{_SET}; a beta",
)
MERGED_ASYNC: Final = Side(
    "LangGraph AsyncSqliteSaver, add_messages", partial(in_aiosqlite, schema=Merged, make=rich), _DURABLE
)
JOINED_ASYNC: Final = Side(
    "LangGraph AsyncSqliteSaver, operator.add", partial(in_aiosqlite, schema=Joined, make=fields_of), _DURABLE
)
MERGED_POSTGRES: Final = Side(
    "LangGraph AsyncPostgresSaver, add_messages", partial(in_postgres, schema=Merged, make=rich)
)
JOINED_POSTGRES: Final = Side(
    "LangGraph AsyncPostgresSaver, operator.add", partial(in_postgres, schema=Joined, make=fields_of)
)
