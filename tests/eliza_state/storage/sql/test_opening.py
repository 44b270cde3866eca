"""What names a database, and what does not."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url

from eliza_state.errors import StoreError
from eliza_state.storage.opening import open_backend
from eliza_state.storage.sql import SqlBackend, SqlStorage
from tests.eliza_state.storage.sql.support import OpenStorage


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nonsense", "named by a URL such as 'sqlite:///state.db'"),
        ("postgresql://ada:sw0rdfish@host:port/agent", "named by a URL such as"),
        ("mssql+pyodbc://server/agent", "expected SQLite, PostgreSQL, MySQL or MariaDB, got 'mssql'"),
        ("postgresql+unheard://server/agent", "no driver 'postgresql.unheard'"),
        ("postgres://server/agent", "no driver 'postgres'"),
        ("postgresql+asyncpg://server/agent", "synchronous driver, .* got 'asyncpg'"),
        ("sqlite+aiosqlite:///agent.db", "synchronous driver, .* got 'aiosqlite'"),
    ],
)
def test_what_cannot_be_used_is_told(source: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        SqlStorage(source)
    assert "sw0rdfish" not in str(caught.value)


@pytest.mark.parametrize("source", [None, 7, FilePath("state.db"), object()])
def test_what_is_no_name_at_all_is_a_mistake_of_type(source: Any) -> None:
    with pytest.raises(TypeError, match=f"expected a URL or a synchronous engine.* {type(source).__name__}"):
        SqlStorage(source)


def test_a_driver_that_is_not_installed_is_told() -> None:
    with pytest.raises(StoreError, match=r"no driver 'mysql\+oursql'"):
        SqlStorage("mysql+oursql://server/agent")


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("sqlite://", {"readers": 2}, "readers are for servers"),
        ("postgresql://nowhere.invalid/agent", {"synchronous": "NORMAL"}, "synchronous is for SQLite"),
        ("sqlite://", {"ttl_ms": 0}, "more than 0"),
        ("sqlite://", {"table": "Robert'); DROP TABLE students;--"}, "a table's name"),
        ("sqlite://", {"sweep_interval_ms": -1}, "sweep_interval_ms is a number above 0"),
        ("sqlite://", {"timeout_ms": 0}, "timeout_ms is a number above 0"),
    ],
)
def test_an_option_that_does_not_fit_is_told_before_anything_is_opened(
    url: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SqlStorage(url, **options)


async def test_postgresql_alone_means_psycopg(open_storage: OpenStorage, postgres_url: str) -> None:
    plain: URL = make_url(postgres_url).set(drivername="postgresql")
    for source in (plain, plain.render_as_string(hide_password=False)):
        storage = await open_storage(source)
        await storage.set("key", 1)

        assert 1 == await storage.get("key")


async def test_the_same_database_is_found_by_url_and_by_engine(open_storage: OpenStorage, url: str) -> None:
    engine = create_engine(url)
    by_url, by_engine = await open_storage(make_url(url)), await open_storage(engine)
    await by_url.set("key", 1)

    assert 1 == await by_engine.get("key")
    await by_engine.close()
    engine.dispose()


async def test_a_backend_is_found_by_its_url(url: str) -> None:
    backend = open_backend(url)

    assert isinstance(backend, SqlBackend)
    await backend.close()
