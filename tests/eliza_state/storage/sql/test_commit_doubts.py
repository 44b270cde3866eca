"""A commit whose answer was lost, and which others undo before it can be asked for, is not done again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from eliza_state.errors import Busy
from eliza_state.storage.errors import OutcomeUnknown
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.sql.database import Number
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.sql.support import (
    HASTY_MS,
    OpenStorage,
    database_of,
    direct,
    eventually,
    through,
)
from tests.servers import PostgresServer

Step = Callable[[str], Awaitable[Any]]


class LostAnswers:
    """A storage behind a network that loses the answer to a commit, and another one beside it."""

    def __init__(self, proxy: FaultProxy, storage: SqlStorage[Any], other: SqlStorage[Any]) -> None:
        self.proxy = proxy
        self.storage = storage
        self.other = other

    async def begin(
        self, step: Step, *, is_done: Callable[[], Awaitable[bool]], is_one_statement: bool = False
    ) -> asyncio.Task[Any]:
        """Do a step with `key`, which is committed and does not know it before the proxy is healed."""
        for number in range(8):  # until statements are prepared: then all steps have the same size
            await step(f"before {number}")
        before = self.proxy.reply_bytes
        await step("before 8")
        self.proxy.refuse()
        size = self.proxy.reply_bytes - before
        self.proxy.cut(after_bytes=0 if is_one_statement else size - 1, direction="replies", count=1)
        task = asyncio.ensure_future(step("key"))
        await eventually(is_done)
        return task


@pytest.fixture
async def lost(open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str) -> LostAnswers:
    storage = await open_storage(through(proxy, postgres_url))
    return LostAnswers(proxy, storage, await open_storage(postgres_url))


async def test_what_was_made_and_then_deleted_by_others_is_not_made_again(lost: LostAnswers) -> None:
    async def create(key: str) -> int:
        return await lost.storage.set(key, 1, expected_version=0)

    creating = await lost.begin(create, is_done=partial(lost.other.has, "key"))
    mark = await lost.other.mark("key")
    assert await lost.other.delete("key")
    lost.proxy.heal()

    assert mark is not None
    assert mark.version == await creating
    assert not await lost.other.has("key")


async def test_what_was_deleted_and_then_made_by_others_is_not_deleted_again(lost: LostAnswers) -> None:
    await lost.storage.set_many({f"before {number}": 0 for number in range(9)} | {"key": 0})

    async def is_gone() -> bool:
        return not await lost.other.has("key")

    deleting = await lost.begin(lost.storage.delete, is_done=is_gone)
    await lost.other.set("key", "theirs")
    lost.proxy.heal()

    assert await deleting is True
    assert "theirs" == await lost.other.get("key")


async def test_a_new_key_that_others_deleted_is_in_doubt_where_nothing_was_compared(
    lost: LostAnswers,
) -> None:
    """Such a write is one statement, and what it was called is lost with its answer."""

    async def overwrite(key: str) -> int:
        return await lost.storage.set(key, 1)

    is_done = partial(lost.other.has, "key")
    writing = await lost.begin(overwrite, is_done=is_done, is_one_statement=True)
    await lost.other.delete("key")
    lost.proxy.heal()

    with pytest.raises(OutcomeUnknown, match="nobody can tell whether it was:"):
        await writing
    assert not await lost.other.has("key")


# What a server tells of a transaction by its number


def number_of(connection: psycopg.Connection[Any]) -> Number:
    """Return what the server calls the transaction that a connection is in."""
    row = connection.execute("SELECT txid_current(), now()").fetchone()
    assert row is not None
    return Number(*row)


async def test_a_transaction_under_way_is_waited_for(open_storage: OpenStorage, postgres_url: str) -> None:
    storage = await open_storage(postgres_url, timeout_ms=HASTY_MS)
    with direct(postgres_url) as connection, database_of(storage).transaction("look") as session:
        with connection.transaction():
            number = number_of(connection)
            with pytest.raises(Busy, match="cannot tell yet"):
                session.was_committed(number)

        assert session.was_committed(number) is True


async def test_a_transaction_that_was_undone_is_known(open_storage: OpenStorage, postgres_url: str) -> None:
    storage = await open_storage(postgres_url)
    with direct(postgres_url) as connection, connection.transaction(force_rollback=True):
        number = number_of(connection)

    with database_of(storage).transaction("look") as session:
        assert session.was_committed(number) is False


async def test_a_number_that_a_crash_may_have_left_to_others_tells_nothing(
    open_storage: OpenStorage, own_postgres_server: Callable[..., PostgresServer]
) -> None:
    server = own_postgres_server()
    storage = await open_storage(server.url)
    with direct(server.url) as connection, connection.transaction():
        before = number_of(connection)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    with direct(server.url) as connection, connection.transaction():
        after = number_of(connection)

    with database_of(storage).transaction("look") as session:
        assert (None, True) == (session.was_committed(before), session.was_committed(after))


async def test_a_number_outlives_a_server_that_is_stopped(
    open_storage: OpenStorage, own_postgres_server: Callable[..., PostgresServer]
) -> None:
    server = own_postgres_server()
    storage = await open_storage(server.url)
    with direct(server.url) as connection, connection.transaction():
        number = number_of(connection)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)

    with database_of(storage).transaction("look") as session:
        assert session.was_committed(number) is True


async def test_without_a_number_nobody_knows(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    with database_of(storage).transaction("look") as session:
        assert session.was_committed(None) is None
