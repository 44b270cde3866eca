"""Whoever is killed while it moves or erases records leaves each of them in one place, whole."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.archive.moving import open_with_archive, restore, segments_of, store
from tests.eliza_state.journal.conftest import AGENT, OTHER, ROOM, TALK, Drafts
from tests.forking.process import Process, start_program
from tests.secrets.search import expanded

WORD = b"planted-word-to-be-found"

# For each line on its input it forks a process that does what the line says, and dies at the step it names.
SERVE = """
import contextlib, os, sys
from pathlib import Path
from eliza_state.files import Files
from tests.eliza_state.journal.archive.moving import open_with_archive, restore, store
from tests.eliza_state.journal.conftest import OTHER, ROOM, TALK

left = [0]

def step():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), 9)

class Dying(Files):
    pass

def dying(name):
    def method(self, *arguments, **options):
        step()
        return getattr(Files, name)(self, *arguments, **options)
    return method

for name in ("create", "write", "sync", "close", "replace", "sync_folder", "remove", "make_folder"):
    setattr(Dying, name, dying(name))

def run(file, action):
    journal = open_with_archive(Path(file), files=Dying())
    writing = journal.archive.writing

    @contextlib.contextmanager
    def dying_writing(purpose):
        step()
        with writing(purpose) as connection:
            yield connection
            step()
        step()

    journal.archive.writing = dying_writing
    if action == "store":
        store(journal, TALK, OTHER)
    elif action == "restore":
        restore(journal, ROOM)
    else:
        journal.erase([2, 3], until=journal.head())
        journal.expunge()

for line in sys.stdin:
    file, action, number = line.split()
    child = os.fork()
    if not child:
        left[0] = int(number)
        run(file, action)
        os._exit(0)
    os.write(1, b"%d\\n" % os.waitpid(child, 0)[1])
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    process = start_program(SERVE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def start(tmp_path: FilePath, draft: Drafts) -> FilePath:
    """A folder with a closed journal of a few records."""
    folder = tmp_path / "start"
    folder.mkdir()
    with contextlib.closing(open_with_archive(folder / "state.db")) as journal:
        paths = [TALK, TALK, TALK, OTHER, AGENT, TALK, OTHER, ROOM]
        drafts = [
            draft(path, content=WORD if number in (1, 2) else b"{}") for number, path in enumerate(paths)
        ]
        journal.append(drafts, after=0)
    return folder


def each_death(server: Process, start: FilePath, action: str) -> Iterator[SqlJournal]:
    """Give the journal that is left when an action is killed at each of its steps."""
    assert server.stdin is not None
    assert server.stdout is not None
    for number in range(1, 1_000):
        folder = start.with_name(f"{action}-{number}")
        shutil.copytree(start, folder)
        server.stdin.write(f"{folder / 'state.db'} {action} {number}\n")
        server.stdin.flush()
        was_killed = int(server.stdout.readline()) == 9
        with contextlib.closing(open_with_archive(folder / "state.db")) as journal:
            yield journal
        shutil.rmtree(folder)
        if not was_killed:
            return


def check(journal: SqlJournal, expected: Callable[[SqlJournal], object], before: object) -> None:
    """Look at what is left, then move everything there and back."""
    assert before == expected(journal)
    store(journal, AGENT)
    assert before == expected(journal)
    restore(journal, AGENT)
    assert before == expected(journal)
    assert [] == segments_of(journal)


def everything(journal: SqlJournal) -> object:
    head = journal.head()
    facts = [[journal.facts(path, until=until) for until in range(head + 1)] for path in (AGENT, ROOM, TALK)]
    return list(journal.read(Path())), list(journal.read(TALK, newest_first=True)), facts


@pytest.mark.parametrize("action", ["store", "restore"])
def test_each_scope_is_in_one_place(server: Process, start: FilePath, action: str) -> None:
    with contextlib.closing(open_with_archive(start / "state.db")) as journal:
        before = everything(journal)
        if action == "restore":
            store(journal, TALK, OTHER)
    deaths = 0
    for left in each_death(server, start, action):
        check(left, everything, before)
        deaths += 1

    assert deaths > 8


def test_an_erasure_can_be_finished(server: Process, start: FilePath) -> None:
    with contextlib.closing(open_with_archive(start / "state.db")) as journal:
        store(journal, TALK, OTHER)
    deaths = 0
    for left in each_death(server, start, "erase"):
        deaths += 1
        left.erase([2, 3], until=8)
        left.expunge()

        contents = [record.content for record in left.read(Path(), until=8)]
        assert [b"", b""] == contents[1:3]
        assert [b"{}"] * 5 == contents[3:]
        assert not any(WORD in part for file in segments_of(left) for part in expanded(file.read_bytes()))

    assert deaths > 15
