"""The state of an agent has its file for itself, and survives its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from tests.eliza_state.storage.state_store.opening import Open, entries_of
from tests.eliza_state.storage.watched import PATIENCE_S
from tests.forking.process import start_program


def test_a_second_one_in_the_same_file_is_refused(path: FilePath, open_file: Open) -> None:
    state = open_file()

    with pytest.raises(Busy, match=r"somebody else holds .*state\.json\.lock"):
        open_file()
    state.close()
    open_file()


HOLD = """
import sys
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
kind, place = sys.argv[1:]
chosen = StatePersistence(enabled=True, type=kind, path=place, flush_interval_ms=3_600_000)
state = StateStore.open(chosen, database=f"sqlite:///{place}")
state.set("a", 1)
print("held", flush=True)
sys.stdin.readline()
"""

COUNT = """
import sys
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
kind, place = sys.argv[1:]
chosen = StatePersistence(enabled=True, type=kind, path=place, flush_interval_ms=1)
state = StateStore.open(chosen, database=f"sqlite:///{place}")
number = len(state)
while True:
    state.set(f"k{number}", [number] * 10)
    number += 1
    if number % 500 == 0:
        state.flush()
        print(number, flush=True)
"""


def open_in(kind: Any, place: FilePath) -> StateStore:
    chosen = StatePersistence(enabled=True, type=kind, path=place)
    return StateStore.open(chosen, database=f"sqlite:///{place}")


@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_process_that_ends_without_closing_writes_what_it_holds(tmp_path: FilePath, kind: str) -> None:
    process = start_program(HOLD, kind, tmp_path / "state")
    process.communicate("end\n", timeout=PATIENCE_S)

    assert 0 == process.returncode
    with open_in(kind, tmp_path / "state") as state:
        assert {"a": 1} == dict(state)


def test_a_second_process_is_refused(path: FilePath, open_file: Open) -> None:
    process = start_program(HOLD, "file", path)
    assert "held\n" == process.stdout.readline()

    with pytest.raises(StoreError, match="somebody else holds"):
        open_file()
    process.kill()
    process.communicate()


@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_killed_process_loses_the_tail_at_most(tmp_path: FilePath, kind: str) -> None:
    place = tmp_path / "state"
    acknowledged = 0
    for lines in (1, 2, 4):
        process = start_program(COUNT, kind, place)
        for _ in range(lines):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with open_in(kind, place) as state:
            found = dict(state)
            assert () == state.problems
        assert {f"k{number}": [number] * 10 for number in range(len(found))} == found
        assert len(found) >= acknowledged


FORK = """
import os, sys
from eliza_state.errors import StoreError
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
chosen = StatePersistence(enabled=True, type="file", path=sys.argv[1], flush_interval_ms=3_600_000)
state = StateStore.open(chosen)
state.set("a", 1)
child = os.fork()
if not child:
    refused = 0
    for call in (lambda: state.set("a", 2), state.clear, state.flush, state.close):
        try:
            call()
        except StoreError as error:
            refused += "forked" in str(error)
    sys.exit(refused * 10 + state.get("a"))
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), os.path.exists(sys.argv[1]))
state.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_process_reads_and_leaves_writing_to_its_parent(path: FilePath) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert ("41 False\n", "") == (done.stdout, done.stderr)
    assert {"a": 1} == entries_of(path)
