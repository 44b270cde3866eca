"""`eliza-state cleanup`: what it says, and what it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eliza_state.cli.opening import open_store
from tests.eliza_state.cli.command import everything, invoke

TALK = "agent:eliza/room:general/conversation:weekend"


@pytest.fixture
def store(filled_folder: Path) -> str:
    """A store, in the current folder, that holds the transcript."""
    return f"sqlite:///{filled_folder}/state.db"


def held(store: str) -> int:
    """How many messages the conversation holds."""
    with open_store(store, read_only=True) as manager:
        return len(manager.at(TALK).state("conversation").messages)


def test_it_tells_what_it_did(store: str) -> None:
    result = invoke("cleanup")

    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith("what went, by the time ")
    assert [line.split(":")[0] for line in result.stdout.splitlines()[1:]] == [
        "idle scopes",
        "expired keys",
        "orphans",
        "compaction",
    ]


def test_a_dry_run_changes_nothing(store: str) -> None:
    before = everything(store)
    result = invoke("cleanup", "--dry-run", "--max-messages", 1, "--json")
    told = json.loads(result.stdout)

    assert everything(store) == before
    assert told["dry_run"] is True
    assert next(one["done"] for one in told["outcomes"] if one["policy"] == "old messages") > 0


def test_messages_are_trimmed_to_a_number(store: str) -> None:
    result = invoke("cleanup", "--max-messages", 1)

    assert result.exit_code == 0
    assert held(store) == 1


def test_a_clock_can_be_trusted(store: str) -> None:
    """The transcript has just been taken in: by the clock as well nothing in it is idle."""
    result = invoke("cleanup", "--trust-clock", "--idle", "1h", "--json")

    assert json.loads(result.stdout)["outcomes"][0]["done"] == 0


@pytest.mark.parametrize("option", ["--idle", "--max-age"])
@pytest.mark.parametrize("text", ["7", "week", "0d"])
def test_a_time_has_a_number_and_a_unit(store: str, option: str, text: str) -> None:
    result = invoke("cleanup", option, text)

    assert result.exit_code == 2
    assert option in result.stderr


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = invoke("cleanup", "--store", f"sqlite:///{tmp_path}/none.db")

    assert result.exit_code == 1
    assert not (tmp_path / "none.db").exists()
