"""`eliza-state erase`: it shows, asks, and erases."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from eliza_state.cli.opening import open_store
from tests.eliza_state.cli.command import everything, invoke, run_on_terminal

GREENHOUSE = "agent:eliza/room:general/conversation:greenhouse"


@pytest.fixture
def store(filled_folder: Path) -> str:
    """A store, in the current folder, that holds the transcript."""
    return f"sqlite:///{filled_folder}/state.db"


def contents(store: str) -> int:
    """Return how many records have content."""
    with open_store(store, read_only=True) as manager:
        return sum(not record.is_erased for record in manager.root.records(limit=None))


def test_it_erases_and_tells_how_much(store: str) -> None:
    before = len([row for row in invoke("log", "agent:eliza", "--limit", 99).stdout.splitlines() if row])

    result = invoke("erase", "agent:eliza", "--yes")

    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith(f"{before} records of ")
    assert result.stdout.endswith(" bytes) erased\n")


def test_a_dry_run_tells_the_same_and_changes_nothing(store: str) -> None:
    before = everything(store)

    dry = invoke("erase", "agent:eliza", "--dry-run")

    assert before == everything(store)
    assert dry.stdout.replace("would be erased", "erased") == invoke("erase", "agent:eliza", "-y").stdout


def test_as_json_it_is_an_object(store: str) -> None:
    dry = json.loads(invoke("erase", "", "--until", 10, "--dry-run", "--json").stdout)
    done = json.loads(invoke("erase", "", "--until", 10, "--yes", "--json").stdout)

    assert (10, True, False) == (dry["records"], dry["dry_run"], done["dry_run"])
    assert [dry[name] for name in ("records", "scopes", "size_bytes", "remains")] == [
        done[name] for name in ("records", "scopes", "size_bytes", "remains")
    ]
    assert done["position"] == 55 + done["scopes"]


def test_the_log_shows_what_was_erased(store: str) -> None:
    invoke("erase", "agent:eliza", "--yes")

    plain, listed = (invoke("log", "agent:eliza", "-n", 99, *more).stdout for more in ([], ["--json"]))
    rows = [json.loads(row) for row in listed.splitlines()]

    assert "(erased)" in plain
    assert {"scope_erased"} == {row["event"] for row in rows if row["payload"] is not None}


def test_lines_that_were_erased_stay_away(store: str) -> None:
    invoke("erase", "", "--yes")
    before = everything(store)

    result = invoke("ingest", "chat.jsonl", "--store", store)

    assert "0 stored, 55 already there" in result.stdout
    assert before == everything(store)


def test_without_a_terminal_and_without_yes_nothing_is_erased(store: str) -> None:
    result = invoke("erase", "agent:eliza")

    assert (2, "") == (result.exit_code, result.stdout)
    assert "say --yes" in result.stderr
    assert 55 == contents(store)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 55), ("y", 0, None)])
def test_on_a_terminal_it_asks(store: str, answer: str, code: int, left: int | None) -> None:
    done = run_on_terminal("erase", "agent:eliza", typed=answer)

    assert code == done.returncode
    assert "at and below 'agent:eliza', for good? [y/N]" in done.stderr
    assert ("erased" in done.stdout) == (answer == "y")
    assert contents(store) == left if left else contents(store) < 55


def test_a_scope_that_is_not_there_is_an_error(store: str) -> None:
    result = invoke("erase", "agent:nobody", "--yes")

    assert 1 == result.exit_code
    assert "nothing at 'agent:nobody'" in result.stderr


def test_a_position_that_is_not_there_is_an_error(store: str) -> None:
    result = invoke("erase", "", "--until", 999, "--yes")

    assert 1 == result.exit_code
    assert "a position from 0 to 55" in result.stderr


def test_a_store_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    result = invoke("erase", "", "--yes", "--store", f"sqlite:///{tmp_path}/none.db")

    assert 1 == result.exit_code
    assert [] == list(tmp_path.iterdir())
