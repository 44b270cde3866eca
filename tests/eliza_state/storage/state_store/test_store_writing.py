"""When the state of an agent is written, and who waits for that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from eliza_state.errors import StoreError
from eliza_state.storage.state_store.store import StateStore
from tests.eliza_state.storage.state_store.opening import Open, entries_of, rows_of
from tests.eliza_state.storage.watched import PATIENCE_S, Watched


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
