"""A process that is killed while it writes loses nothing that it was told is stored."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.path import Path
from tests.eliza_state.journal.conftest import open_sql
from tests.forking.process import Process, start_program

ROUNDS = 12
BATCH = 5

# For each line on its input it forks a process that appends batches, and says the last position of each.
SERVE = f"""
import os, sys
from pathlib import Path
from tests.eliza_state.journal.conftest import Drafts, open_sql, TALK, OTHER

def append_for_ever(file):
    journal, draft = open_sql(file, synchronous="FULL"), Drafts()
    head = journal.head()
    for path in (TALK, OTHER):
        draft._versions[path] = journal.facts(path, until=head).version
    while True:
        batch = [draft(path) for path in (TALK, OTHER, TALK, TALK, OTHER)]
        head = journal.append(batch, after=head).first_position + {BATCH} - 1
        if journal.wants_maintenance or head % 50 == 0:
            journal.maintain()
        os.write(1, b"%d\\n" % head)

for _ in sys.stdin:
    child = os.fork()
    if not child:
        append_for_ever(Path(sys.argv[1]))
    os.write(1, b"child %d\\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


@pytest.fixture
def server(file: FilePath) -> Iterator[Process]:
    process = start_program(SERVE, file)
    yield process
    process.kill()
    process.communicate()


def write_and_kill(server: Process, *, after: int) -> int:
    """Let a process write, kill it once it has said so many positions; return the last one it said."""
    server.stdin.write("go\n")
    server.stdin.flush()
    child, said, acknowledged = 0, 0, 0
    for line in server.stdout:
        if line.startswith("child"):
            child = int(line.split()[1])
        elif line == "gone\n":
            return acknowledged
        else:
            acknowledged, said = int(line), said + 1
        if child and said >= after:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)
    raise AssertionError("the process that starts writers has ended")


def check(file: FilePath, acknowledged: int) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
    with contextlib.closing(open_sql(file)) as journal:
        records = list(journal.read(Path()))
        assert list(range(1, len(records) + 1)) == [record.position for record in records]
        assert acknowledged <= len(records)
        assert 0 == len(records) % BATCH
        assert "" not in {record.event for record in records}
        assert records == sorted(
            (record for path in journal.children(Path()) for record in journal.read(path)),
            key=lambda record: record.position,
        )


def test_killed_at_any_time_every_acknowledged_batch_is_there_and_none_is_torn(
    file: FilePath, server: Process
) -> None:
    last = 0
    for number in range(ROUNDS):
        acknowledged = write_and_kill(server, after=random.Random(number).randrange(40))

        check(file, acknowledged)
        last = max(last, acknowledged)
    assert last > 0
