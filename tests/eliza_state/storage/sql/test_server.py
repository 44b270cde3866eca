"""A table on PostgreSQL: lost connections, servers that restart, locks, engines of the application's."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import QueuePool

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.backend import Write
from eliza_state.storage.errors import OutcomeUnknown
from eliza_state.storage.sql.database import Lost
from eliza_state.storage.sql.server import Translation
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.sql.support import (
    HASTY_MS,
    OpenStorage,
    backend_of,
    database_of,
    direct,
    eventually,
    server_of,
    through,
)
from tests.servers import PostgresServer

OTHERS = "pid <> pg_backend_pid() AND datname = current_database()"


def taken(engine: Engine) -> int:
    """How many connections are out of the pool."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


# Lost connections


async def test_connections_that_the_server_ends_are_made_anew(
    open_storage: OpenStorage, postgres_url: str
) -> None:
    storage = await open_storage(postgres_url)
    await asyncio.gather(*(storage.set(f"{number}", number) for number in range(5)))
    for number in range(5):
        await asyncio.gather(*(storage.get(f"{each}") for each in range(8)))
        with direct(postgres_url) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")
        if number % 2:
            await storage.update("0", lambda value: value + 1)
        else:
            assert 4 == await storage.get("4")

    assert 2 == await storage.get("0")


async def test_a_connection_that_ends_in_a_transaction_takes_it_along(
    open_storage: OpenStorage, postgres_url: str
) -> None:
    storage = await open_storage(postgres_url)
    version = await storage.set("key", "before")
    with direct(postgres_url) as connection:
        with connection.transaction():
            connection.execute("LOCK TABLE eliza_state_kv")
            writing = asyncio.create_task(storage.set("key", "after", expected_version=version))

            async def waits() -> bool:
                query = f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND {OTHERS}"
                return connection.execute(query).fetchone() is not None

            await eventually(waits)
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")
        stored = await writing

    entry = await storage.entry("key")
    assert entry is not None
    assert ("after", stored) == (entry.value, entry.version)


async def test_a_server_that_restarts_is_found_again(
    open_storage: OpenStorage, own_postgres_server: Callable[..., PostgresServer]
) -> None:
    server = own_postgres_server()
    storage = await open_storage(server.url)
    await storage.set("count", 0)
    for restart in (server.restart, server.stop, server.kill):
        await asyncio.to_thread(restart)
        counting = asyncio.gather(*(storage.update("count", lambda value: value + 1) for _ in range(3)))
        reading = asyncio.create_task(storage.get("count"))
        if not server.running:
            await asyncio.to_thread(server.start)
        await counting
        assert await reading in range(10)

    assert 9 == await storage.get("count")


async def test_without_a_server_readers_are_told_together(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    storage = await open_storage(through(proxy, postgres_url), timeout_ms=HASTY_MS, readers=1)
    await storage.set("key", 1)
    proxy.refuse()
    proxy.reset()
    async with asyncio.timeout(60 * HASTY_MS / 1_000):  # one after the other, it would be 200 times as long
        outcomes = await asyncio.gather(*(storage.get("key") for _ in range(200)), return_exceptions=True)

    assert {Lost} == set(map(type, outcomes))
    proxy.heal()
    assert 1 == await storage.get("key")


async def test_what_is_not_there_when_it_is_opened_is_told(
    open_storage: OpenStorage, proxy: FaultProxy, postgres_url: str
) -> None:
    proxy.refuse()

    with pytest.raises(StoreError, match=r"cannot open the database.*Connection refused"):
        await open_storage(through(proxy, postgres_url))


# Locks


@pytest.mark.parametrize("lock", ["LOCK TABLE eliza_state_kv", "SELECT * FROM eliza_state_kv FOR UPDATE"])
async def test_a_lock_that_lasts_too_long_is_told(
    open_storage: OpenStorage, postgres_url: str, lock: str
) -> None:
    storage = await open_storage(postgres_url, timeout_ms=HASTY_MS)
    version = await storage.set("key", "before")
    with direct(postgres_url) as connection, connection.transaction():
        connection.execute(lock)
        for options in ({}, {"expected_version": version}):
            with pytest.raises(Busy, match=r"given up after 0\.3 s"):
                await storage.set("key", "during", **options)

    assert "before" == await storage.get("key")
    await storage.set("key", "after", expected_version=version)


async def test_a_sweep_leaves_what_others_are_changing(open_storage: OpenStorage, postgres_url: str) -> None:
    now_us = [1_700_000_000_000_000]
    storage = await open_storage(postgres_url, clock=lambda: now_us[0])
    await storage.set_many({"a": 1, "b": 2}, ttl_ms=1)
    now_us[0] += 1_000_000
    with direct(postgres_url) as connection, connection.transaction():
        connection.execute("SELECT * FROM eliza_state_kv WHERE name = 'a' FOR UPDATE")

        assert ["b"] == await backend_of(storage).sweep()
    assert ["a"] == await backend_of(storage).sweep()


async def test_opposite_orders_of_keys_are_no_deadlock(open_storage: OpenStorage, postgres_url: str) -> None:
    one, another = await open_storage(postgres_url), await open_storage(postgres_url)
    names = [f"{number:03}" for number in range(100)]
    for number in range(10):
        await asyncio.gather(
            one.set_many(dict.fromkeys(names, number)),
            another.set_many(dict.fromkeys(reversed(names), number)),
            backend_of(one).touch(names),
            backend_of(another).write([Write(name, b"json:0", version=1) for name in reversed(names)]),
        )

    assert set(names) == await one.has_many(names)


# Engines


@pytest.fixture(params=[{}, {"isolation_level": "AUTOCOMMIT"}, {"isolation_level": "SERIALIZABLE"}])
def engine(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Engine]:
    """An engine of the application's, which disposes of it."""
    engine = create_engine(postgres_url, **request.param)
    yield engine
    engine.dispose()


async def test_a_transaction_is_one_whatever_the_engine_does_by_default(
    open_storage: OpenStorage, engine: Engine
) -> None:
    storage = await open_storage(engine)
    await storage.set("key", "before")
    with contextlib.suppress(ZeroDivisionError), database_of(storage).transaction("clear") as session:
        session.clear("")
        raise ZeroDivisionError

    assert "before" == await storage.get("key")


async def test_no_update_is_lost_whatever_the_engine_does_by_default(
    open_storage: OpenStorage, engine: Engine
) -> None:
    storages = [await open_storage(engine) for _ in range(2)]

    async def count(number: int) -> None:
        for _ in range(10):
            await storages[number % 2].update("count", lambda value: value + 1, default=0)

    await asyncio.gather(*map(count, range(4)))

    assert 40 == await storages[0].get("count")


async def test_an_engine_is_as_it_was(open_storage: OpenStorage, engine: Engine) -> None:
    before = isolation(engine)
    storage = await open_storage(engine)
    await storage.set("key", 1)
    await storage.update("key", lambda value: value + 1)
    await asyncio.gather(*(storage.get("key") for _ in range(5)))
    await storage.close()

    assert (0, before) == (taken(engine), isolation(engine))


def isolation(engine: Engine) -> list[Any]:
    with engine.connect() as first, engine.connect() as second:
        return [
            (connection.get_isolation_level(), connection.execute(text("SHOW lock_timeout")).scalar())
            for connection in (first, second)
        ]


async def test_an_engine_of_the_storage_s_own_ends_with_it(
    open_storage: OpenStorage, postgres_url: str
) -> None:
    storage = await open_storage(postgres_url)
    await asyncio.gather(*(storage.get(f"{number}") for number in range(20)), storage.set("key", 1))
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {OTHERS}"
    with direct(postgres_url) as connection:
        (before,) = connection.execute(query).fetchone() or (None,)
        await storage.close()

        async def are_gone() -> bool:
            return connection.execute(query).fetchone() == (0,)

        await eventually(are_gone)

    assert 1 <= before <= 5


async def test_as_many_read_at_once_as_was_asked_for(open_storage: OpenStorage, postgres_url: str) -> None:
    storage = await open_storage(postgres_url, readers=2)
    with direct(postgres_url) as connection, connection.transaction():
        connection.execute("LOCK TABLE eliza_state_kv")
        reading = [asyncio.create_task(storage.get("key")) for _ in range(6)]

        async def wait() -> bool:
            return taken(server_of(storage)._engine) == 2

        await eventually(wait)
        for task in reading:
            task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)

    async def are_back() -> bool:
        return taken(server_of(storage)._engine) == 0

    await eventually(are_back)
    assert await storage.get("key") is None


async def test_a_cancelled_writer_gives_its_connection_back(
    open_storage: OpenStorage, postgres_url: str
) -> None:
    storage = await open_storage(postgres_url)
    with direct(postgres_url) as connection, connection.transaction():
        connection.execute("LOCK TABLE eliza_state_kv")
        writing = asyncio.create_task(storage.set("key", 1))

        async def waits() -> bool:
            return taken(server_of(storage)._engine) == 1

        await eventually(waits)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    await storage.set("other", 2)

    assert (1, 2) == (await storage.get("key"), await storage.get("other"))
    assert 0 == taken(server_of(storage)._engine)


# What is shown


async def test_no_password_is_shown(open_storage: OpenStorage) -> None:
    url = "postgresql://ada:sw0rd%2Ffish@127.0.0.1:1/agent?application_name=x"
    with pytest.raises(StoreError) as caught:
        await open_storage(url)

    shown = "".join(traceback.format_exception(caught.value))
    assert "sw0rd" not in shown
    assert "cannot open the database" in shown


def test_a_password_is_masked_however_it_is_written() -> None:
    url = make_url("postgresql://ada:p%40ss%20word@host/agent?sslpassword=t0p")
    with pytest.raises(StoreError) as caught, Translation(url)("read"):
        raise IntegrityError("SELECT 1", {}, Exception("p@ss word p%40ss%20word p%40ss+word t0p"))

    assert "cannot read: *** *** *** ***" == str(caught.value)
    assert caught.value.__cause__ is None


async def test_no_value_is_shown(open_storage: OpenStorage, postgres_url: str) -> None:
    engine = create_engine(postgres_url)  # which shows the parameters of what fails
    storage = await open_storage(engine)
    with direct(postgres_url) as connection:
        connection.execute("ALTER TABLE eliza_state_kv ADD CHECK (length(value) < 100)")
    with pytest.raises(StoreError, match=r"cannot write: .*check constraint") as caught:
        await storage.set("key", "a secret of Ada's" * 10, expected_version=0)

    assert not isinstance(caught.value, Busy | Lost | OutcomeUnknown)
    shown = "".join(traceback.format_exception(caught.value.__cause__))
    assert "secret" not in shown
    await storage.close()
    engine.dispose()


async def test_one_value_that_the_server_refuses_stops_no_other(
    open_storage: OpenStorage, postgres_url: str
) -> None:
    storage = await open_storage(postgres_url)
    with direct(postgres_url) as connection:
        connection.execute("ALTER TABLE eliza_state_kv ADD CHECK (length(value) < 100)")
    outcomes = await asyncio.gather(
        *(storage.set(f"{number}", "x" * (200 if number == 2 else 1)) for number in range(5)),
        return_exceptions=True,
    )

    assert [2] == [number for number, outcome in enumerate(outcomes) if isinstance(outcome, StoreError)]
    assert {"0", "1", "3", "4"} == await storage.has_many("01234")
