"""The contract suites, used as somebody else would: in strict mode, without the project's own settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path as FilePath

import pytest

SETTINGS = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
PROLOGUE = """
import asyncio

import pytest
import pytest_asyncio

from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.testing.storages import BackendContract, KVStorageContract, StorageContract
"""

OF_OTHERS = '''
class DictStorage:
    """The least that is a storage."""

    def __init__(self):
        self._held = {}

    async def get(self, key, default=None):
        return self._held.get(key, default)

    async def set(self, key, value):
        self._held[key] = value

    async def delete(self, key):
        self._held.pop(key, None)

    async def has(self, key):
        return key in self._held

    async def close(self):
        pass


class TestDictStorage(KVStorageContract):
    @pytest.fixture
    def storage(self):
        return DictStorage()


class TestInMemory(StorageContract, BackendContract):
    @pytest_asyncio.fixture
    async def storage(self, clock):
        async with MemoryStorage(clock=clock) as storage:
            yield storage


class TestInRealTime(StorageContract):
    takes_clock = False
    is_shared = True

    @pytest_asyncio.fixture
    async def storage(self):
        async with MemoryStorage() as storage:
            yield storage


class TestDurable(StorageContract):
    opens_twice = True

    @pytest_asyncio.fixture
    async def storage(self, backend):
        async with Storage(backend) as storage:
            yield storage

    @pytest.fixture
    def backend(self, clock):
        class Lasting(MemoryBackend):
            is_durable = True

            def at_hand(self, key):
                return None if self._closed else super().at_hand(key)

            async def close(self):
                self._closed = True

            def reopened(self):
                return Lasting(self._table, encoding=self._encoding, clock=self.clock)

        return Lasting(Table(), encoding=Encoding(), clock=clock)

    @pytest.fixture
    def reopen(self, backend):
        return lambda: Storage(backend.reopened())
'''

BROKEN = '''
from eliza_state.testing.storages import cancelling

cancelling.PATIENCE_S = 1


class Broken(StorageContract):
    backend_type = MemoryBackend

    @pytest_asyncio.fixture
    async def storage(self, clock):
        async with Storage(self.backend_type(Table(), encoding=Encoding(), clock=clock)) as storage:
            yield storage


class LosesFalsy(MemoryBackend):
    async def read(self, keys):
        found = await super().read(keys)
        return {key: entry for key, entry in found.items() if entry.value}

    def at_hand(self, key):
        entry = super().at_hand(key)
        return entry if entry and entry.value else None


class ForgetsDeadlines(MemoryBackend):
    async def write(self, writes):
        return await super().write([write._replace(deadline_ms=None, ttl_ms=None) for write in writes])


class IgnoresVersions(MemoryBackend):
    async def write(self, writes):
        return await super().write([write._replace(expected=None) for write in writes])


class UndoesTouches(MemoryBackend):
    async def write(self, writes):
        return await super().write([write._replace(keeps_deadline=False) for write in writes])


class ClearsNeighbours(MemoryBackend):
    async def clear(self, space):
        await super().clear(space.rstrip("/"))


class IsNeverClosed(MemoryBackend):
    async def close(self):
        pass


class HoldsOneAtATime(MemoryBackend):
    """Gets stuck when somebody gives up waiting."""

    busy = False

    async def write(self, writes):
        while self.busy:
            await asyncio.sleep(0)
        self.busy = True
        await asyncio.sleep(0)
        written = await super().write(writes)
        self.busy = False
        return written


class IsLastingButSaysNotHow(MemoryBackend):
    is_durable = True


class TestLosesFalsy(Broken):
    backend_type = LosesFalsy


class TestForgetsDeadlines(Broken):
    backend_type = ForgetsDeadlines


class TestIgnoresVersions(Broken):
    backend_type = IgnoresVersions


class TestUndoesTouches(Broken):
    backend_type = UndoesTouches


class TestClearsNeighbours(Broken):
    backend_type = ClearsNeighbours


class TestIsNeverClosed(Broken):
    backend_type = IsNeverClosed


class TestHoldsOneAtATime(Broken):
    backend_type = HoldsOneAtATime


class TestIsLastingButSaysNotHow(Broken):
    backend_type = IsLastingButSaysNotHow
'''


REVEALED_BY = {
    "LosesFalsy": "test_a_falsy_value_is_a_value",
    "ForgetsDeadlines": "test_a_key_is_dead_exactly_at_its_deadline",
    "IgnoresVersions": "test_a_stale_version_changes_nothing",
    "UndoesTouches": "test_an_update_does_not_undo_a_touch",
    "ClearsNeighbours": "test_clearing_spares_the_neighbours",
    "IsNeverClosed": "test_a_closed_storage_refuses",
    "HoldsOneAtATime": "test_a_cancelled_operation_is_done_or_not[set]",
    "IsLastingButSaysNotHow": "test_what_was_acknowledged_is_there_again",
}


def run(folder: FilePath, source: str, *options: str) -> str:
    """Run tests in a folder of their own, in strict mode and with warnings as errors; return the report."""
    (folder / "test_mine.py").write_text(PROLOGUE + source)
    (folder / "pytest.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rfEs", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tests of storages that keep their promises, by outcome."""
    report = run(tmp_path_factory.mktemp("sound"), OF_OTHERS, "-v")
    found: dict[str, set[str]] = {"PASSED": set(), "SKIPPED": set()}
    for test, outcome in re.findall(r"::(Test.*) (PASSED|SKIPPED|FAILED|ERROR)", report):
        found.setdefault(outcome, set()).add(test)
    return found


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on storages that break a promise each."""
    chosen = (f"test_mine.py::Test{name}::{test}" for name, test in REVEALED_BY.items())
    return run(tmp_path_factory.mktemp("broken"), BROKEN, *chosen)


def test_storages_that_keep_their_promises_pass(sound):
    assert {"PASSED", "SKIPPED"} == set(sound)
    assert {"TestDictStorage", "TestInMemory", "TestInRealTime", "TestDurable"} == {
        test.partition("::")[0] for test in sound["PASSED"]
    }


def test_the_least_that_is_a_storage_skips_what_is_optional(sound):
    skipped = {test.partition("::")[2] for test in sound["SKIPPED"] if test.startswith("TestDictStorage")}

    assert {
        "test_an_optional_iterator_shows_what_is_set[keys]",
        "test_an_optional_iterator_shows_what_is_set[values]",
        "test_an_optional_iterator_shows_what_is_set[entries]",
        "test_touching_a_key_without_a_deadline_changes_nothing",
    } == skipped


def test_a_storage_in_real_time_is_tested_without_a_clock(sound):
    assert "TestInRealTime::test_a_time_to_live_in_real_time" in sound["PASSED"]
    assert "TestInRealTime::test_a_storage_answers_as_a_dict_does" in sound["PASSED"]
    assert "TestInRealTime::test_a_key_is_dead_exactly_at_its_deadline" in sound["SKIPPED"]
    assert "TestInRealTime::test_clearing_a_whole_storage_removes_everything" in sound["SKIPPED"]


def test_a_durable_storage_is_opened_again(sound):
    assert {
        "TestDurable::test_what_was_acknowledged_is_there_again",
        "TestDurable::test_another_event_loop_finds_it_too",
        "TestDurable::test_no_update_of_either_is_lost",
    } <= sound["PASSED"]


@pytest.mark.parametrize(("name", "test"), REVEALED_BY.items(), ids=REVEALED_BY)
def test_a_broken_promise_is_revealed(broken, name, test):
    failed = re.findall(r"^(?:FAILED|ERROR) test_mine.py::(\S+)", broken, re.MULTILINE)

    assert any(found.startswith(f"Test{name}::{test}") for found in failed)


def test_a_failure_shows_what_was_compared(broken):
    assert "Differing items:" in broken


def test_the_rest_of_the_testing_package_needs_no_pytest():
    code = "import sys, eliza_state.testing; print(sorted({'pytest', 'hypothesis'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert "[]" == done.stdout.strip()
