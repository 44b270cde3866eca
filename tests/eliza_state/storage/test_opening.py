"""Backends by URL: who makes one, with what options, and what is said of a wrong one."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from eliza_state.errors import StoreError
from eliza_state.storage.backend import Backend, Write
from eliza_state.storage.disk import ArchiveBackend, FileBackend
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.opening import GROUP, open_backend
from eliza_state.storage.storage import Storage
from eliza_state.testing import ManualClock

SCHEMES = {
    "archive",
    "file",
    "mariadb",
    "memory",
    "mysql",
    "postgresql",
    "redis",
    "redis+cluster",
    "redis+sentinel",
    "rediss",
    "sqlite",
    "unix",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Install a distribution that announces a backend under a name."""

    def install(distribution: str, name: str, source: str) -> None:
        (tmp_path / f"{distribution}.py").write_text(source)
        info = tmp_path / f"{distribution}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {distribution}:make\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, distribution, raising=False)

    return install


MAKES_MEMORY = """
from eliza_state.storage.opening import open_backend
def make(url, *, clock):
    backend = open_backend("memory://", clock=clock)
    backend.name = url
    return backend
"""


async def wrote(backend: Backend[bytes]) -> bytes:
    """Write an entry, read it back and close the backend."""
    await backend.write([Write("key", b"value")])
    entry = (await backend.read(["key"]))["key"]
    await backend.close()
    return entry.live_value


def test_every_backend_of_this_package_is_announced() -> None:
    assert {point.name for point in entry_points(group=GROUP)} >= SCHEMES


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "state.db",
        "sqlite:///state.db",
        "sqlite+pysqlite:///state.db?timeout=3&synchronous=normal",
        "sqlite://",
        "file:state.json?flush_interval_ms=0",
        "archive:archive?level=9&max_value_bytes=1000",
    ],
)
async def test_a_url_makes_a_backend(url: str) -> None:
    assert await wrote(open_backend(url)) == b"value"


async def test_a_url_of_redis_makes_a_backend(redis_url: str) -> None:
    assert await wrote(open_backend(f"{redis_url}?prefix=mine&answer_within_ms=30000")) == b"value"


async def test_a_prefix_keeps_backends_apart(redis_url: str) -> None:
    mine = open_backend(f"{redis_url}?prefix=mine&answer_within_ms=30000")
    other = open_backend(f"{redis_url}?answer_within_ms=30000")
    await mine.write([Write("key", b"value")])
    found = await other.read(["key"])
    await mine.close()
    await other.close()

    assert not found


async def test_what_redis_py_takes_from_the_url_goes_on_working(redis_url: str) -> None:
    backend = open_backend(f"{redis_url}?prefix=mine&client_name=somebody&answer_within_ms=30000")
    await backend.write([Write("key", b"value")])
    with Redis.from_url(redis_url) as client:
        names = {found["name"] for found in client.client_list()}
    await backend.close()

    assert "somebody" in names


async def test_a_url_of_a_cluster_makes_a_backend(redis_cluster: Any) -> None:
    assert await wrote(open_backend(f"{redis_cluster.url}?prefix=mine&answer_within_ms=30000")) == b"value"


async def test_a_url_of_postgresql_makes_a_backend(postgres_url: str) -> None:
    query = "table=mine&application_name=somebody&timeout_ms=30000"
    backend = open_backend(f"{postgres_url}{'&' if '?' in postgres_url else '?'}{query}")

    assert await wrote(backend) == b"value"


async def test_the_clock_is_passed_on() -> None:
    clock = ManualClock()
    backend = open_backend("memory://", clock=clock)

    assert backend.clock is clock


async def test_paths_are_decoded(folder: Path) -> None:
    backend = open_backend(f"file://{folder}/a%20b.json")
    await backend.close()

    assert isinstance(backend, FileBackend)
    assert backend.path == folder / "a b.json"


def test_a_relative_path_has_no_slashes(folder: Path) -> None:
    backend = open_backend("archive:sub/archive")

    assert isinstance(backend, ArchiveBackend)
    assert backend.folder == folder / "sub" / "archive"


async def test_a_table_is_an_option() -> None:
    for url, value in (("sqlite:///state.db?table=a", b"1"), ("state.db?table=b", b"2")):
        backend = open_backend(url)
        await backend.write([Write("key", value)])
        await backend.close()
    backend = open_backend("sqlite:///state.db?table=a&read_only=true")
    entry = (await backend.read(["key"]))["key"]
    await backend.close()

    assert entry.value == b"1"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "expected the URL of a backend"),
        ("memory://place", "memory has no place"),
        ("memory://?size=1", "memory takes no options, got 'size'"),
        ("file:state.json?flush=1", "file takes the options flush_interval_ms, got 'flush'"),
        ("file:state.json?flush_interval_ms=soon", "expected a number for .* got 'soon'"),
        ("file:state.json?flush_interval_ms=-1", "a flush interval is"),
        ("archive:a?level=high", "expected a whole number for the option 'level', got 'high'"),
        ("archive:a?level=3&level=4", "expected the option 'level' once, got it 2 times"),
        ("state.db?tabel=a", "sqlite takes the options table, .*timeout.* got 'tabel'"),
        ("state.db?table=A-b", "a table's name has"),
        ("state.db?table=a&table=b", "expected the option 'table' once"),
        ("state.db?read_only=maybe", "expected true or false for the option 'read_only', got 'maybe'"),
        ("state.db?synchronous=off", "synchronous is 'FULL' or 'NORMAL'"),
        ("sqlite:state.db", "expected a URL as SQLAlchemy has it"),
        ("redis://localhost?prefx=a", "'prefx'.* own are prefix, answer_within_ms"),
        ("redis://localhost?answer_within_ms=0", "a time limit is a positive number"),
    ],
)
def test_a_url_that_cannot_be_is_told_with_what_can(url: str, reason: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        open_backend(url)

    assert not list(folder.iterdir())


def test_an_option_that_the_driver_refuses_is_told_with_those_of_this_package() -> None:
    with pytest.raises(StoreError, match=r"'tabel' went to the driver, this package's own are table, sync"):
        open_backend("postgresql://localhost:1/state?tabel=a")


def test_an_unknown_scheme_is_told_with_those_there_are() -> None:
    with pytest.raises(StoreError, match=r"begin with 'localhost'; there are archive, .* \./path"):
        open_backend("localhost:6379")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("postgresql+psycopg2cffi://localhost/state", r"eliza-state\[postgresql\]"),
        ("mysql+mysqldb://localhost/state", r"eliza-state\[mysql\].*mysql\+pymysql://"),
        ("mariadb+mysqldb://localhost/state", r"eliza-state\[mysql\]"),
    ],
)
def test_a_missing_driver_is_told_with_what_to_install(
    url: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    monkeypatch.setitem(sys.modules, "psycopg2cffi", None)

    with pytest.raises(StoreError, match=advice):
        open_backend(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@127.0.0.1:1/db",
        "postgresql://user:hunter2@127.0.0.1:1/db?tabel=a",
        "postgresql://user:hunter2@127.0.0.1:port/db",
        "postgresql+asyncpg://user:hunter2@127.0.0.1/db",
        "mysql+nothing://user:hunter2@127.0.0.1/db",
        "sqlite://user:hunter2@host/state.db",
        "redis://user:hunter2@host:port/0",
        "redis://user:hunter2@host?prefx=a",
        "redis+cluster://user:hunter2@host/7",
        "unknown://user:hunter2@host",
        "file://user:hunter2@host/x.json",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    with pytest.raises((StoreError, ValueError)) as caught:
        open_backend(url)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_no_password_is_in_what_a_storage_shows_of_itself() -> None:
    assert "hunter2" not in repr(Storage(open_backend("redis://:hunter2@localhost")))


# Backends of others


async def test_another_distribution_may_announce_one(announce: Callable[[str, str, str], None]) -> None:
    announce("cupboard_of_test", "cupboard", MAKES_MEMORY)
    backend = open_backend("cupboard+oak://left")

    assert backend.name == "cupboard+oak://left"
    assert await wrote(backend) == b"value"


async def test_it_may_be_a_layer(announce: Callable[[str, str, str], None]) -> None:
    announce("shelf_of_test", "shelf", MAKES_MEMORY)
    async with LayeredStore[int]("shelf://left", "archive:archive") as store:
        await store.set("key", 1)

        assert await store.get("key") == 1


def test_one_that_cannot_be_loaded_is_told(announce: Callable[[str, str, str], None]) -> None:
    announce("broken_of_test", "broken", "raise ImportError('it needs the package glue')")

    with pytest.raises(StoreError, match=r"'broken' \(broken_of_test:make\).*package glue; install"):
        open_backend("broken://")


def test_one_that_makes_something_else_is_told(announce: Callable[[str, str, str], None]) -> None:
    announce("odd_of_test", "odd", "def make(url, *, clock):\n    return 7\n")

    with pytest.raises(StoreError, match="expected a Backend from odd_of_test:make, got int"):
        open_backend("odd://")


def test_two_of_one_name_are_refused(announce: Callable[[str, str, str], None]) -> None:
    announce("twin_of_test", "twin", MAKES_MEMORY)
    announce("other_of_test", "twin", MAKES_MEMORY)

    with pytest.raises(
        StoreError, match="expected one backend named 'twin', got other_of_test:make and twin"
    ):
        open_backend("twin://")
