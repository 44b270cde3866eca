"""What the state of an agent keeps when writing fails, and of what it cannot read."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from eliza_serializers import Secret
from eliza_state.errors import Busy, StoreError
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from eliza_state.testing import CrashFiles, FailingFiles
from tests.eliza_state.storage.state_store.opening import Open, entries_of, in_table, rows_of
from tests.eliza_state.storage.watched import FULL, PATIENCE_S, Watched

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
