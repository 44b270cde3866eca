"""Databases held as of one instant."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path as FilePath

import pytest

from eliza_state.backup.cut import held, opened
from eliza_state.errors import StoreError

Write = Callable[[int], None]


@pytest.fixture
def files(tmp_path: FilePath) -> list[str]:
    return [str(tmp_path / "first.db"), str(tmp_path / "second.db")]


@pytest.fixture
def write(files: list[str]) -> Iterator[Write]:
    """Write a number into both databases, not waiting for anybody."""
    with contextlib.ExitStack() as closing_all:
        databases = [closing_all.enter_context(closing(sqlite3.connect(file, timeout=0))) for file in files]
        for database in databases:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE told (number)")

        def all_of_them(number: int) -> None:
            for database in databases:
                with database:
                    database.execute("INSERT INTO told VALUES (?)", (number,))

        yield all_of_them


def numbers(file: FilePath) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM told")]


def test_copies_are_of_the_instant_and_nobody_waits(
    files: list[str], write: Write, tmp_path: FilePath
) -> None:
    write(1)
    with opened(files) as databases, held(databases):
        for number in range(2, 100):
            write(number)
        for place, database in enumerate(databases):
            database.copy(str(tmp_path / f"copy{place}"), lambda _done, _total: None)

    assert [numbers(tmp_path / "copy0"), numbers(tmp_path / "copy1")] == [[1], [1]]
    assert numbers(FilePath(files[0])) == list(range(1, 100))


def test_a_copy_is_one_file(files: list[str], write: Write, tmp_path: FilePath) -> None:
    write(1)
    (tmp_path / "copies").mkdir()
    with opened(files) as databases, held(databases):
        databases[0].copy(str(tmp_path / "copies" / "copy"), lambda _done, _total: None)
    with closing(sqlite3.connect(tmp_path / "copies" / "copy")) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["copy"]


def test_it_is_copied_in_pieces(files: list[str], write: Write, tmp_path: FilePath) -> None:
    with closing(sqlite3.connect(files[0])) as connection, connection:
        connection.execute("CREATE TABLE large AS SELECT zeroblob(5000000) AS content")
    steps: list[tuple[int, int]] = []
    with opened(files[:1]) as databases, held(databases):
        databases[0].copy(str(tmp_path / "copy"), lambda done, total: steps.append((done, total)))

    assert len(steps) == 3
    assert steps[-1][0] == steps[-1][1] > 1_200


def test_what_is_no_database_is_told(tmp_path: FilePath) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 1_000)
    with (
        pytest.raises(StoreError, match="cannot copy the store: file is not a database"),
        opened([str(tmp_path / "state.db")]) as databases,
        held(databases),
    ):
        pass
