"""Files that are cut off, overwritten or gone: what is called good reads as it did before."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.effort import examples
from tests.eliza_state.health import stores

JOURNAL = ("record", "path", "event_type", "below", "erasure", "restore", "meta")
# What no checksum covers, and no state depends on.
UNCOVERED = {"record": ("cause", "writer"), "eliza_state_kv": ("version", "updated_at_ms")}


def rows(file: FilePath, *tables: str) -> Any:
    """All that is in the tables of a file, without what nothing tells of; `None` where it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes
            connection.row_factory = sqlite3.Row
            found = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    except sqlite3.Error:
        return None
    return {
        table: sorted(
            tuple((name, row[name]) for name in row.keys() if name not in UNCOVERED.get(table, ()))
            for row in each
        )
        for table, each in found.items()
    }


def flip(file: FilePath, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


@pytest.mark.parametrize("seed", range(examples(60)))
async def test_a_journal_with_a_flipped_bit_is_bad_or_reads_as_before(folder: FilePath, seed: int):
    file = folder / "state.db"
    before = rows(file, *JOURNAL)
    flip(file, random.Random(seed))

    found = await stores.verified(folder)

    assert before is not None
    assert not found.is_good or rows(file, *JOURNAL) == before


@pytest.mark.parametrize("seed", range(examples(20)))
async def test_snapshots_with_a_flipped_bit_are_bad_or_read_as_before(folder: FilePath, seed: int):
    file = folder / "state.db-snapshots"
    before = rows(file, "eliza_state_kv")
    flip(file, random.Random(seed))

    found = await stores.verified(folder)

    assert before is not None
    assert not found.is_good or rows(file, "eliza_state_kv") == before


@pytest.mark.parametrize("file", ["state.db", "state.db-snapshots", "state.db-indexes", "state.db-plugins"])
@pytest.mark.parametrize("left", [0.0, 0.1, 0.5, 0.95])
async def test_a_file_that_is_cut_off_is_found(folder: FilePath, file: str, left: float):
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(len(content) * left)])

    found = await stores.verified(folder)

    assert not found.is_good
    assert all(finding.file in (file, "") for finding in found.findings)


@pytest.mark.parametrize("file", ["state.db", "state.db-snapshots", "state.db-indexes", "state.db-plugins"])
async def test_a_file_that_is_something_else_is_found(folder: FilePath, file: str):
    (folder / file).write_bytes(b"something else\n" * 1_000)

    found = await stores.verified(folder)

    assert not found.is_good


@pytest.mark.parametrize("file", ["state.db-snapshots", "state.db-indexes", "state.db-plugins"])
async def test_a_file_that_may_be_missing_is_no_damage(folder: FilePath, file: str):
    (folder / file).unlink()

    found = await stores.verified(folder)

    assert found.is_good


async def test_an_index_of_sqlite_that_does_not_agree_with_its_table_is_found(folder: FilePath):
    stores.run(
        folder,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '(path, version)', '(path, key)')"
        " WHERE name = 'record_version'",
        "PRAGMA writable_schema = RESET",
    )

    found = await stores.verified(folder)

    assert "file" in found.by_check()
