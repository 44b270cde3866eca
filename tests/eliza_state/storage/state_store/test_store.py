"""The state of an agent: a mapping in memory, written behind to a file or a table."""

from __future__ import annotations

import datetime
import errno
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Engine, create_engine, event, text

from eliza_serializers import JsonSerializer, Secret, SerializationError
from eliza_state.errors import Busy, StoreError
from eliza_state.files import Files, StrPath
from eliza_state.storage.errors import DamagedValue, InvalidKey
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from eliza_state.testing import CrashFiles, FailingFiles

HOUR_MS = 3_600_000
PATIENCE_S = 30
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Watched(Files):
    """Files that count the writes, and make them wait or fail as they are told."""

    def __init__(self) -> None:
        self.replaced = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.error: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def replace(self, source: StrPath, target: StrPath) -> None:
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        super().replace(source, target)
        self.count += 1
        self.replaced.release()


Open = Callable[..., StateStore]


@pytest.fixture
def path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "state.json"


@pytest.fixture
def files() -> Watched:
    return Watched()


@pytest.fixture
def open_file(path: FilePath, files: Watched) -> Iterator[Open]:
    """Open states in the file of the test, written when they are flushed; they are closed in the end."""
    opened: list[StateStore] = []

    def open_one(*, flush_interval_ms: float = HOUR_MS, **options: Any) -> StateStore:
        chosen = StatePersistence(enabled=True, type="file", path=path, flush_interval_ms=flush_interval_ms)
        opened.append(StateStore.open(chosen, **{"files": files, **options}))
        return opened[-1]

    yield open_one
    files.error = None
    files.gate.set()
    for state in opened:
        state.close()


@pytest.fixture
def database_path(tmp_path: FilePath) -> FilePath:
    return tmp_path / "agent.db"


def in_table(flush_interval_ms: float = HOUR_MS) -> StatePersistence:
    return StatePersistence(enabled=True, type="database", flush_interval_ms=flush_interval_ms)


@pytest.fixture
def open_table(database_path: FilePath) -> Iterator[Open]:
    """Open states in a table of SQLite, written when they are flushed; they are closed in the end."""
    opened: list[StateStore] = []

    def open_one(*, flush_interval_ms: float = HOUR_MS, **options: Any) -> StateStore:
        options = {"database": f"sqlite:///{database_path}", "timeout_ms": 50, **options}
        opened.append(StateStore.open(in_table(flush_interval_ms), **options))
        return opened[-1]

    yield open_one
    for state in opened:
        state.close()


@pytest.fixture(params=["memory", "file", "database"])
def state(request: pytest.FixtureRequest) -> StateStore:
    if request.param == "memory":
        return StateStore()
    opener: Open = request.getfixturevalue({"file": "open_file", "database": "open_table"}[request.param])
    return opener()


@pytest.fixture(params=["file", "database"])
def reopen(request: pytest.FixtureRequest) -> Open:
    """Open the same state again and again, one after the other."""
    opener: Open = request.getfixturevalue({"file": "open_file", "database": "open_table"}[request.param])
    return opener


def rows_of(path: FilePath) -> dict[str, str]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT state_key, value FROM core_state").fetchall())
    finally:
        connection.close()


def entries_of(path: FilePath) -> dict[str, Any]:
    return dict(json.loads(path.read_text())["entries"])


# keys and values


def test_what_is_set_is_got_until_it_is_deleted(state: StateStore) -> None:
    state.set("my-plugin:checkCount", 7)

    assert (7, True) == (state.get("my-plugin:checkCount"), state.has("my-plugin:checkCount"))
    assert [True, False] == [state.delete("my-plugin:checkCount"), state.delete("my-plugin:checkCount")]
    assert (None, False) == (state.get("my-plugin:checkCount"), state.has("my-plugin:checkCount"))


@pytest.mark.parametrize("value", [None, 0, "", False, {}, []], ids=repr)
def test_a_value_that_is_false_is_a_value(value: Any) -> None:
    state = StateStore()
    state.set("a", value)

    assert state.has("a")
    assert value == state.get("a", "default")


def test_what_is_missing_is_the_default() -> None:
    assert (None, 5) == (StateStore().get("a"), StateStore().get("a", 5))


@pytest.mark.parametrize("key", ["", "x" * 513, "ü" * 257, "lone \ud800", 1, None], ids=repr)
def test_other_keys_are_refused(key: Any) -> None:
    state = StateStore()

    for call in (state.get, state.has, state.delete, state.pop, lambda k: state.set(k, 1), state.setdefault):
        with pytest.raises(InvalidKey):
            call(key)
    assert 0 == len(state)


KEYS = ["a", "a/b", "a%2Fb", "run:abc-123", "ü" * 256, " ", "\x00\n", "💥", "a ", "A"]


def test_any_text_is_a_key(reopen: Open) -> None:
    state = reopen()
    state.update({key: number for number, key in enumerate(KEYS)})
    state.close()

    assert {key: number for number, key in enumerate(KEYS)} == dict(reopen())


VALUES = {
    "plain": {"deep": [1, 2.5, None, True, "text"]},
    "tuple": (1, (2,)),
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "keys": {1: "a", (2, 3): "b"},
    "bytes": b"\x00\xff",
    "time": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    "decimal": Decimal("1.10"),
    "big": 2**100,
    "own tag": {"_type": "Map", "data": 1},
}


def test_values_keep_their_types(reopen: Open) -> None:
    state = reopen()
    state.update(VALUES)
    state.close()
    found = dict(reopen())

    assert VALUES == found
    assert {key: type(value) for key, value in VALUES.items()} == {k: type(v) for k, v in found.items()}


def test_secrets_are_stored_as_what_they_are(reopen: Open) -> None:
    state = reopen()
    state.set("token", Secret("swordfish"))
    state.close()

    assert "swordfish" == reopen().get("token").reveal()


@attrs.frozen
class Run:
    status: str


def test_classes_are_stored_through_a_serializer_that_knows_them(reopen: Open) -> None:
    serializer = JsonSerializer()
    serializer.register(Run)
    state = reopen(serializer=serializer)
    state.set("run:1", Run("pending"))
    state.close()

    assert Run("pending") == reopen(serializer=serializer).get("run:1")


def test_a_serializer_of_another_format_is_refused() -> None:
    class Other(JsonSerializer):
        name = "other"

    with pytest.raises(ValueError, match="JSON, got the serializer 'other'"):
        StateStore(serializer=Other())


def test_a_value_that_cannot_be_written_changes_nothing(state: StateStore) -> None:
    state.set("a", 1)

    for call in (lambda: state.set("a", {"lock": threading.Lock()}), lambda: state.update(a=2, b=object())):
        with pytest.raises(SerializationError):
            call()
    assert {"a": 1} == dict(state)


def test_the_store_and_its_users_share_nothing_that_changes(state: StateStore) -> None:
    value = {"list": [1]}
    state.set("a", value)
    state["b"] = state.setdefault("c", value)
    value["list"].append(2)
    state.get("a")["list"].append(3)
    state["c"]["list"].append(4)
    state.snapshot()["a"]["list"].append(5)

    assert {"a": {"list": [1]}, "b": {"list": [1]}, "c": {"list": [1]}} == dict(state)


def test_what_cannot_change_is_shared() -> None:
    state = StateStore()
    value = ("a", ("b", frozenset({1})))
    state.set("a", value)

    assert state.get("a") is value


# a mapping


def test_it_is_a_mapping(state: StateStore) -> None:
    state["a"] = 1
    state.update([("b", 2)], c=3)
    del state["a"]

    assert isinstance(state, MutableMapping)
    assert {"b": 2, "c": 3} == state
    assert (2, ["b", "c"], [2, 3]) == (len(state), list(state), list(state.values()))
    assert ("b" in state, "a" in state, 1 in state) == (True, False, False)


def test_what_is_missing_is_a_key_error(state: StateStore) -> None:
    for call in (lambda: state["a"], lambda: state.pop("a"), lambda: state.__delitem__("a"), state.popitem):
        with pytest.raises(KeyError):
            call()


def test_values_are_taken_out(reopen: Open) -> None:
    state = reopen()
    state.update(a=1, b=2, c=3)
    taken = [state.pop("a"), state.pop("a", None), state.popitem()]
    state.close()

    assert [1, None, ("c", 3)] == taken
    assert {"b": 2} == dict(reopen())


def test_a_default_is_stored_once(state: StateStore) -> None:
    assert (1, 1, None) == (state.setdefault("a", 1), state.setdefault("a", 2), state.setdefault("b"))
    assert {"a": 1, "b": None} == dict(state)


def test_all_is_removed(reopen: Open) -> None:
    state = reopen()
    state.update(a=1, b=2)
    state.flush()
    state.clear()
    state.close()

    assert {} == dict(reopen())


def test_keys_may_change_while_they_are_gone_through() -> None:
    state = StateStore()
    state.update(a=1, b=2)
    for key in state:
        state[f"{key}{key}"] = state.pop(key)
    for key, value in state.items():
        del state[key]
        state[key[0]] = value

    assert {"a": 1, "b": 2} == state


def test_values_are_not_shown() -> None:
    state = StateStore()
    state.set("a", "confidential")

    assert "<StateStore memory, 1 keys>" == repr(state)


# where it is


def test_by_default_it_is_in_memory(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for persistence in (
        None,
        StatePersistence(),
        StatePersistence(type="file"),
        StatePersistence(enabled=True),
    ):
        with StateStore.open(persistence) as state:
            state.set("a", 1)
            state.flush()
            assert (0, ()) == (state.pending, state.problems)

    assert [] == os.listdir(tmp_path)


def test_a_file_is_relative_to_the_working_folder(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    persistence = StatePersistence(enabled=True, type="file")
    with StateStore.open(persistence) as state:
        state.set("a", 1)
        monkeypatch.chdir("/")

    assert {"a": 1} == entries_of(tmp_path / "state.json")


def test_what_was_set_is_there_when_it_is_opened_again(reopen: Open) -> None:
    for number in range(3):
        with reopen() as state:
            assert number == state.get("count", 0)
            state.set("count", number + 1)


def test_the_file_has_keys_and_values(path: FilePath, open_file: Open) -> None:
    state = open_file()
    state.update({"key1": "value1", "a/b": {"nested": True}})
    state.flush()

    entries = [["key1", "value1"], ["a/b", {"nested": True}]]
    assert {"version": 1, "entries": entries} == json.loads(path.read_text())


def test_the_table_has_values_as_json_text(database_path: FilePath, open_table: Open) -> None:
    state = open_table()
    state.update({"key1": "value1", "a/b": {"nested": {1}}})
    state.flush()

    assert {
        "key1": '"value1"',
        "a/b": '{"nested":{"_type":"Set","data":[1]}}',
    } == rows_of(database_path)


def test_a_missing_database_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with StateStore.open(in_table()) as state:
        state.set("a", 1)

        assert 1 == state.get("a")
        assert ["no database is configured" in str(problem) for problem in state.problems] == [True]
    assert "state is in memory" in caplog.text


def test_an_engine_stays_the_applications(database_path: FilePath) -> None:
    engine = create_engine(f"sqlite:///{database_path}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (a)"))
    with StateStore.open(in_table(), database=engine) as state:
        state.set("a", 1)

    with engine.connect() as connection:
        assert "1" == connection.execute(text("SELECT value FROM core_state")).scalar()
    engine.dispose()


# when it is written


def test_nothing_is_written_before_its_time(path: FilePath, open_file: Open) -> None:
    state = open_file()
    state.set("a", 1)
    state.set("a", 2)
    state.set("b", 1)

    assert (False, 2) == (path.exists(), state.pending)


def test_changes_are_written_by_themselves_after_the_interval(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    state = open_file(flush_interval_ms=1)
    state.set("a", 1)

    assert files.replaced.acquire(timeout=PATIENCE_S)
    assert {"a": 1} == entries_of(path)


def test_many_changes_are_one_write(open_file: Open, files: Watched) -> None:
    state = open_file()
    for number in range(100):
        state.set(str(number % 10), number)
    state.flush()
    state.flush()

    assert (1, 0) == (files.count, state.pending)


def test_many_changes_are_one_transaction(database_path: FilePath, open_table: Open) -> None:
    engine = create_engine(f"sqlite:///{database_path}")
    commits: list[object] = []
    statements: list[int] = []
    state = open_table(database=engine)
    event.listen(engine, "commit", commits.append)

    @event.listens_for(engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, _statement: str, given: Any, _context: Any, many: bool) -> None:
        statements.append(len(given) if many else 1)

    state.update({str(number): number for number in range(10)})
    state.flush()
    for number in range(100):
        state.set(str(number % 5), number)
        state.delete(str(number % 3 + 7))
    state.flush()
    engine.dispose()

    assert 2 == len(commits)
    assert [10, 3, 5] == statements


def test_with_no_interval_a_change_returns_when_it_is_on_the_disk(path: FilePath, open_file: Open) -> None:
    state = open_file(flush_interval_ms=0)
    seen: list[dict[str, Any]] = []
    for change in (
        lambda: state.set("a", 1),
        lambda: state.update(b=2, c=3),
        lambda: state.delete("a"),
        lambda: state.pop("b"),
        state.clear,
    ):
        change()
        seen.append(entries_of(path))

    assert [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 3}, {"c": 3}, {}] == seen


def test_with_no_interval_a_row_is_there_at_once(database_path: FilePath, open_table: Open) -> None:
    open_table(flush_interval_ms=0).set("a", 1)

    assert {"a": "1"} == rows_of(database_path)


def test_several_keys_are_one_write(open_file: Open, files: Watched) -> None:
    state = open_file(flush_interval_ms=0)
    state.update({str(number): number for number in range(10)})
    before = files.count
    state.clear()

    assert (1, 2) == (before, files.count)


def test_nobody_waits_for_a_slow_disk(open_file: Open, files: Watched) -> None:
    state = open_file(flush_interval_ms=1)
    files.gate.clear()
    state.set("a", 1)
    assert files.begun.acquire(timeout=PATIENCE_S)
    state.set("a", 2)
    state.set("b", 3)

    assert ({"a": 2, "b": 3}, 2) == (dict(state), state.pending)


def test_what_changes_during_a_write_is_written_next(path: FilePath, open_file: Open, files: Watched) -> None:
    state = open_file()
    files.gate.clear()
    state.update(a=1, b=1, c=1)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(state.flush)
        assert files.begun.acquire(timeout=PATIENCE_S)
        state.set("a", 2)
        state.delete("b")
        second = threads.submit(state.flush)
        files.gate.set()
        first.result()
        second.result()

    assert (2, {"a": 2, "c": 1}) == (files.count, entries_of(path))


def test_what_has_not_changed_is_not_written(path: FilePath, open_file: Open, files: Watched) -> None:
    path.write_text('{"version":1,"entries":[["a",1]]}')
    state = open_file()
    state.delete("b")
    state.setdefault("a", 2)
    state.flush()
    state.close()

    assert 0 == files.count


def test_closing_writes_and_says_so_after(reopen: Open) -> None:
    state = reopen()
    state.set("a", 1)
    state.close()
    state.close()
    state.flush()

    for call in (
        lambda: state.get("a"),
        lambda: state.set("a", 2),
        lambda: state.delete("a"),
        state.clear,
        state.snapshot,
        lambda: "a" in state,
        lambda: len(state),
        lambda: list(state),
    ):
        with pytest.raises(StoreError, match="closed"):
            call()
    assert {"a": 1} == dict(reopen())


def test_a_store_in_memory_is_closed_as_well() -> None:
    with StateStore() as state:
        state.set("a", 1)

    with pytest.raises(StoreError, match="closed"):
        state.get("a")


def test_closing_in_several_threads_ends_once(path: FilePath, open_file: Open) -> None:
    state = open_file()
    state.set("a", 1)
    with ThreadPoolExecutor(4) as threads:
        for closing in [threads.submit(state.close) for _ in range(4)]:
            closing.result()

    assert {"a": 1} == entries_of(path)


# what fails


def test_a_failed_write_is_kept_and_reported(
    path: FilePath, open_file: Open, files: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    state = open_file()
    state.update(a=1, b=2)
    files.error = FULL
    with pytest.raises(StoreError, match=r"cannot write .*state\.json.*No space left"):
        state.flush()
    state.set("a", 3)
    state.delete("b")
    seen = (dict(state), state.pending)
    files.error = None
    state.flush()

    assert ({"a": 3}, 2) == seen
    assert ["No space left" in str(problem) for problem in state.problems] == [True]
    assert "kept in memory" in caplog.text
    assert ({"a": 3}, 0) == (entries_of(path), state.pending)


def test_a_failed_write_is_tried_again_by_itself(path: FilePath, open_file: Open, files: Watched) -> None:
    state = open_file(flush_interval_ms=1)
    files.error = FULL
    state.set("a", 1)
    for _ in range(2):
        assert files.begun.acquire(timeout=PATIENCE_S)
    files.error = None
    assert files.replaced.acquire(timeout=PATIENCE_S)

    assert {"a": 1} == entries_of(path)


def test_with_no_interval_the_writer_is_told_and_the_value_holds(
    path: FilePath, open_file: Open, files: Watched
) -> None:
    state = open_file(flush_interval_ms=0)
    files.error = FULL
    with pytest.raises(StoreError, match="No space left"):
        state.set("a", 1)
    files.error = None
    state.set("b", 2)

    assert {"a": 1, "b": 2} == dict(state) == entries_of(path)


def test_many_failures_are_reported_ever_more_seldom(open_file: Open, files: Watched) -> None:
    state = open_file()
    state.set("a", 1)
    files.error = FULL
    for _ in range(100):
        with pytest.raises(StoreError):
            state.flush()

    assert 7 == len(state.problems)


def test_a_disk_that_is_full_at_any_operation_loses_nothing(tmp_path: FilePath) -> None:
    for number in itertools.count(1):
        crash = CrashFiles(tmp_path, {"state.json": b'{"version":1,"entries":[["a",1]]}'})
        failing = FailingFiles(crash, fail_at=number, partial_bytes=5)
        persistence = StatePersistence(
            enabled=True, type="file", path=tmp_path / "state.json", flush_interval_ms=0
        )
        try:
            state = StateStore.open(persistence, files=failing)
        except StoreError:
            continue
        for key in ("b", "c"):
            try:
                state.set(key, 2)
            except StoreError:
                assert failing.has_failed
        state.close()
        with StateStore.open(persistence, files=crash) as again:
            assert {"a": 1, "b": 2, "c": 2} == dict(again)
        if not failing.has_failed:
            break
    assert number > 5


def test_a_power_cut_leaves_what_was_acknowledged(tmp_path: FilePath) -> None:
    crash = CrashFiles(tmp_path)
    persistence = StatePersistence(
        enabled=True, type="file", path=tmp_path / "state.json", flush_interval_ms=0
    )
    done = [0]
    with StateStore.open(persistence, files=crash) as state:
        for number in range(3):
            state.update(a=number, b=[number])
            done.append(len(crash.operations))

    for acknowledged, after in enumerate(done):
        for cut in crash.states(after=after):
            with StateStore.open(persistence, files=cut.mount()) as found:
                number = found.get("a", -1)
                assert number >= acknowledged - 1
                assert found.get("b", [-1]) == [number]
                assert () == found.problems


def test_a_close_that_fails_can_be_repeated(path: FilePath, open_file: Open, files: Watched) -> None:
    state = open_file()
    state.set("a", 1)
    files.error = FULL
    with pytest.raises(StoreError, match="No space left"):
        state.close()
    state.set("b", 2)
    files.error = None
    state.close()

    assert {"a": 1, "b": 2} == entries_of(path)


def test_a_locked_database_is_waited_for_and_the_batch_is_kept(
    database_path: FilePath, open_table: Open
) -> None:
    state = open_table()
    other = sqlite3.connect(database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    state.set("a", 1)
    with pytest.raises(Busy, match="given up after"):
        state.flush()
    seen = (state.get("a"), state.pending, rows_of(database_path))
    other.execute("COMMIT")
    other.close()
    state.flush()

    assert (1, 1, {}) == seen
    assert ({"a": "1"}, 1) == (rows_of(database_path), len(state.problems))


def test_a_database_that_is_full_loses_nothing(database_path: FilePath, open_table: Open) -> None:
    engine = create_engine(f"sqlite:///{database_path}")
    state = open_table(database=engine)
    state.update(a=1, gone=1)
    state.flush()
    bound_of(engine, pages=4)
    state.update(a=2, b="x" * 100_000)
    del state["gone"]
    with pytest.raises(StoreError, match="full"):
        state.flush()
    seen = rows_of(database_path)
    bound_of(engine, pages=1_000)
    state.flush()
    engine.dispose()

    assert {"a": "1", "gone": "1"} == seen
    assert {"a": "2", "b": f'"{"x" * 100_000}"'} == rows_of(database_path)


def bound_of(engine: Engine, *, pages: int) -> None:
    """Let the database grow up to that size, on the connections to come."""
    engine.dispose()

    @event.listens_for(engine, "connect")
    def connect(driver: Any, _record: Any) -> None:
        driver.execute(f"PRAGMA max_page_count={pages}").close()


def test_a_table_that_is_gone_and_comes_back(database_path: FilePath, open_table: Open) -> None:
    state = open_table()
    other = sqlite3.connect(database_path)
    other.execute("ALTER TABLE core_state RENAME TO away")
    other.commit()
    state.set("a", 1)
    with pytest.raises(StoreError, match="no such table"):
        state.flush()
    other.execute("ALTER TABLE away RENAME TO core_state")
    other.commit()
    other.close()
    state.flush()

    assert {"a": "1"} == rows_of(database_path)


def test_what_fails_shows_no_value(database_path: FilePath, open_table: Open) -> None:
    engine = create_engine(f"sqlite:///{database_path}")
    state = open_table(database=engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE core_state"))
    state.set("token", Secret("swordfish"))
    with pytest.raises(StoreError) as caught:
        state.flush()
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE core_state (state_key TEXT PRIMARY KEY, value TEXT, updated_at TEXT)")
        )
    state.close()
    engine.dispose()

    assert "swordfish" not in "".join(chain_of(caught.value))


def chain_of(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_server_that_is_killed_and_comes_back(own_postgres_server: Callable[..., Any]) -> None:
    server = own_postgres_server()
    with StateStore.open(in_table(), database=server.url, timeout_ms=100) as state:
        state.update(a=1, b=1)
        state.flush()
        server.kill()
        state.set("a", 2)
        state.delete("b")
        with pytest.raises(StoreError):
            state.flush()
        assert {"a": 2} == dict(state)
        server.start()
        state.set("c", 3)
        state.flush()
        with StateStore.open(in_table(), database=server.url) as other:
            assert {"a": 2, "c": 3} == dict(other)


# what was stored before


@pytest.mark.parametrize("content", [b"", b'{"version":1,"entries":[["a",1],["b",', bytes(50), b"[]"])
def test_a_damaged_file_is_set_aside_and_reported(
    path: FilePath, open_file: Open, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    state = open_file()
    state.set("a", 1)
    state.close()

    assert content == path.with_name("state.json.damaged-1").read_bytes()
    assert ["set aside as 'state.json.damaged-1'" in str(problem) for problem in state.problems] == [True]
    assert "starts empty" in caplog.text
    assert {"a": 1} == entries_of(path)


def test_a_value_that_cannot_be_read_is_left_alone_and_reported(path: FilePath, open_file: Open) -> None:
    path.write_text('{"version":1,"entries":[["a",1],["odd",{"_type":"Unheard"}],["b",2]]}')
    state = open_file()
    state.set("a", 3)
    state.flush()

    assert {"a": 3, "b": 2} == dict(state)
    assert ["odd"] == list(state.unreadable)
    assert [DamagedValue] == [type(problem) for problem in state.problems]
    assert {"_type": "Unheard"} == entries_of(path)["odd"]


@pytest.mark.parametrize(
    "change", [lambda s: s.set("odd", 1), lambda s: s.delete("odd"), lambda s: s.clear()]
)
def test_a_value_that_cannot_be_read_gives_way(
    path: FilePath, open_file: Open, change: Callable[[StateStore], Any]
) -> None:
    path.write_text('{"version":1,"entries":[["odd",{"_type":"Unheard"}]]}')
    state = open_file()
    change(state)
    state.flush()

    assert {} == state.unreadable
    assert entries_of(path).get("odd") in (None, 1)


# who may have it


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


def process_of(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def open_in(kind: Any, place: FilePath) -> StateStore:
    chosen = StatePersistence(enabled=True, type=kind, path=place)
    return StateStore.open(chosen, database=f"sqlite:///{place}")


@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_process_that_ends_without_closing_writes_what_it_holds(tmp_path: FilePath, kind: str) -> None:
    process = process_of(HOLD, kind, tmp_path / "state")
    process.communicate("end\n", timeout=PATIENCE_S)

    assert 0 == process.returncode
    with open_in(kind, tmp_path / "state") as state:
        assert {"a": 1} == dict(state)


def test_a_second_process_is_refused(path: FilePath, open_file: Open) -> None:
    process = process_of(HOLD, "file", path)
    assert process.stdout is not None
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
        process = process_of(COUNT, kind, place)
        assert process.stdout is not None
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


# several threads


def test_threads_lose_nothing_of_each_others(reopen: Open) -> None:
    state = reopen(flush_interval_ms=1)

    def work(number: int) -> None:
        for step in range(200):
            state.set(f"{number}:{step}", [number, step])
            if step % 3 == 0:
                state.delete(f"{number}:{step}")
            state.snapshot() if step % 50 == 0 else state.get(f"{number}:{step}")

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work, number) for number in range(8)]:
            done.result()
    expected = {f"{n}:{step}": [n, step] for n in range(8) for step in range(200) if step % 3}
    seen = dict(state)
    state.close()

    assert expected == seen == dict(reopen())


def test_each_value_is_taken_out_by_one(state: StateStore) -> None:
    state.update({str(number): number for number in range(500)})
    taken: list[tuple[str, Any]] = []

    def take() -> None:
        try:
            while True:
                taken.append(state.popitem())
        except KeyError:
            return

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(take) for _ in range(8)]:
            done.result()

    assert [(str(number), number) for number in range(500)] == sorted(taken, key=lambda item: item[1])


def test_threads_that_wait_for_the_disk_share_writes(path: FilePath, open_file: Open, files: Watched) -> None:
    state = open_file(flush_interval_ms=0)
    files.gate.clear()
    with ThreadPoolExecutor(20) as threads:
        setting = [threads.submit(state.set, str(number), number) for number in range(20)]
        until(lambda: len(state) == 20)
        files.gate.set()
        for done in setting:
            done.result()

    assert {str(number): number for number in range(20)} == entries_of(path)
    assert files.count <= 3


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# against a dictionary

keys = st.sampled_from(KEYS)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=5,
)


class AgainstDictionary(RuleBasedStateMachine):
    """The store does what a dictionary does, and is the same when it is opened again."""

    kind = "file"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model: dict[str, Any] = {}
        self.open()

    def open(self) -> None:
        place = FilePath(self.folder.name, "state")
        chosen = StatePersistence(enabled=True, type=self.kind, path=place, flush_interval_ms=HOUR_MS)  # type: ignore[arg-type]
        self.state = StateStore.open(chosen, database=f"sqlite:///{place}")

    @rule(key=keys, value=values)
    def set(self, key: str, value: Any) -> None:
        self.state.set(key, value)
        self.model[key] = value

    @rule(key=keys)
    def delete(self, key: str) -> None:
        assert (key in self.model) == self.state.delete(key)
        self.model.pop(key, None)

    @rule(new=st.dictionaries(keys, values, max_size=4))
    def update(self, new: dict[str, Any]) -> None:
        self.state.update(new)
        self.model.update(new)

    @rule(key=keys, value=values)
    def setdefault(self, key: str, value: Any) -> None:
        assert self.model.setdefault(key, value) == self.state.setdefault(key, value)

    @rule(key=keys)
    def pop(self, key: str) -> None:
        assert self.model.pop(key, "default") == self.state.pop(key, "default")

    @rule()
    def clear(self) -> None:
        self.state.clear()
        self.model.clear()

    @rule()
    def flush(self) -> None:
        self.state.flush()
        assert 0 == self.state.pending

    @rule()
    def reopen(self) -> None:
        self.state.close()
        self.open()

    @invariant()
    def is_equal(self) -> None:
        assert self.model == dict(self.state)
        assert () == self.state.problems

    def teardown(self) -> None:
        self.state.close()
        self.folder.cleanup()


class AgainstDictionaryInTable(AgainstDictionary):
    kind = "database"


TestAgainstDictionary = AgainstDictionary.TestCase
TestAgainstDictionaryInTable = AgainstDictionaryInTable.TestCase
for case in (TestAgainstDictionary, TestAgainstDictionaryInTable):
    case.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
