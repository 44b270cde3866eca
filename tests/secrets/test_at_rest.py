"""With keys no secret is at rest in plain: not in a file, not in a cache, not in a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy

from eliza_state import Dispatch, snapshotter
from tests.secrets.planted import ROOM, USER, Kind, filled, planted
from tests.secrets.search import PLACES, files, found_in


@pytest.fixture(autouse=True)
def always_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)
    monkeypatch.setattr(snapshotter, "MIN_TAIL", 1)


def stored(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything in the files of a folder: their bytes, and the values in those that are databases."""
    for path, content in files(folder):
        yield path.name, content
        if content.startswith(b"SQLite format 3"):
            yield from ((f"{path.name} {where}", value) for where, value in rows(path))


def rows(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):  # its own name
                for value in row:
                    yield table, value if isinstance(value, bytes) else str(value).encode()


async def fill(folder: Path, kind: Kind, **options: Any) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Plant secrets, and give them with what is stored while the store is open and once it is closed."""
    async with planted(folder, kind, **options) as store:
        room = store.manager.at(ROOM).path
        again = [Dispatch(filled(store.secrets), room, id=f"again {number}") for number in range(600)]
        await store.manager.dispatch_all(again)
        found = list(stored(folder))
    return store.secrets, list(dict.fromkeys([*found, *stored(folder)]))


async def test_in_plain_every_secret_is_found(tmp_path: Path):
    secrets, found = await fill(tmp_path, "plain")
    places = {place for _, content in found for place in found_in(content, secrets)}

    assert {*PLACES} == places


async def test_in_plain_they_are_found_in_journal_snapshots_and_plugins(tmp_path: Path):
    secrets, found = await fill(tmp_path, "plain")
    leaking = {name.partition(" ")[0] for name, content in found if found_in(content, secrets)}

    assert {"state.db", "state.db-snapshots", "state.db-plugins"} <= leaking


async def test_no_file_holds_a_sealed_secret_in_plain(tmp_path: Path):
    secrets, found = await fill(tmp_path, "sealed")

    assert {"state.db", "state.db-wal", "state.db-snapshots", "state.db-plugins"} <= {
        name for name, _ in found
    }
    assert not {name: leaks for name, content in found if (leaks := found_in(content, secrets))}


async def test_what_a_process_without_keys_writes_down_stays_sealed(tmp_path: Path):
    async with planted(tmp_path, "locked") as store:
        await store.manager.at(ROOM).state()
    found = list(stored(tmp_path))

    assert not {name: leaks for name, content in found if (leaks := found_in(content, store.secrets))}


@pytest.mark.parametrize("kind", ["plain", "sealed"])
async def test_an_archive(tmp_path: Path, kind: Kind):
    archive = tmp_path / "archive"
    layers = [f"sqlite:///{tmp_path / 'home.db'}", f"archive:{archive}"]
    secrets, found = await fill(tmp_path, kind, snapshots=layers)

    assert (kind == "plain") == any(found_in(content, secrets) for _, content in found)


@pytest.mark.parametrize("kind", ["plain", "sealed"])
async def test_the_segments_of_archived_scopes(tmp_path: Path, kind: Kind):
    async with planted(tmp_path, kind) as store:
        moved = await store.manager.archive.store(ROOM, USER)
    segments = [content for path, content in files(tmp_path) if path.suffix == ".segment"]

    assert (ROOM, USER) == tuple(path.encode() for path in moved.paths)
    assert (kind == "plain") == any(found_in(content, store.secrets) for content in segments)


@pytest.mark.parametrize("kind", ["plain", "sealed"])
async def test_a_valkey(tmp_path: Path, redis_url: str, kind: Kind):
    layers = [redis_url, f"sqlite:///{tmp_path / 'home.db'}"]
    secrets, _ = await fill(tmp_path, kind, snapshots=layers)
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter())
        found = [*keys, *(value for key in keys for value in values(client, key))]

    assert len(found) > len(keys) > 0
    assert (kind == "plain") == any(found_in(content, secrets) for content in found)


def values(client: redis.Redis, key: bytes) -> list[bytes]:
    """Everything under a key, of whatever type."""
    kind = client.type(key)
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"string":
        return [client.get(key)]
    return [client.dump(key)]


@pytest.mark.parametrize("kind", ["plain", "sealed"])
async def test_a_postgresql(tmp_path: Path, postgres_url: str, kind: Kind):
    secrets, _ = await fill(tmp_path, kind, snapshots=[postgres_url])
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        found = [
            value if isinstance(value, bytes) else str(value)
            for table in tables
            for row in connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"'))
            for value in row
        ]
    engine.dispose()

    assert found
    assert (kind == "plain") == any(found_in(content, secrets) for content in found)
