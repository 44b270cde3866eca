"""`eliza-state archive`: it moves scopes out of the database and back, and lists them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import everything, invoke

GREENHOUSE = "agent:eliza/room:general/conversation:greenhouse"


@pytest.fixture
def store(filled_folder: Path) -> str:
    """A store, in the current folder, that holds the transcript."""
    return f"sqlite:///{filled_folder}/state.db"


def test_scopes_go_and_come_back(store: str) -> None:
    before = everything(store)

    there = invoke("archive", "store", GREENHOUSE)
    in_between = everything(store)
    back = invoke("archive", "restore", "agent:eliza")

    assert (0, 0) == (there.exit_code, back.exit_code)
    assert there.stdout.startswith("1 scope archived: ")
    assert back.stdout.startswith("1 scope brought back: ")
    assert before == in_between == everything(store)


def test_they_are_listed_with_what_they_take(store: str) -> None:
    moved = json.loads(invoke("archive", "store", GREENHOUSE, "--json").stdout)

    (listed,) = [json.loads(line) for line in invoke("archive", "list", "--json").stdout.splitlines()]
    shown = invoke("archive", "list", "agent:eliza").stdout

    assert [GREENHOUSE] == moved["paths"] == [listed["path"]]
    assert (moved["records"], moved["bytes_after"]) == (listed["records"], listed["size_bytes"])
    assert f"{listed['size_bytes']:,} bytes" in shown
    assert shown.endswith(f"1 scope: {listed['records']} records, {listed['size_bytes']:,} bytes\n")


@pytest.mark.usefixtures("store")
def test_what_is_restored_can_be_told_as_json() -> None:
    invoke("archive", "store", GREENHOUSE)

    assert [GREENHOUSE] == json.loads(invoke("archive", "restore", GREENHOUSE, "--json").stdout)["paths"]


@pytest.mark.usefixtures("store")
def test_an_event_to_what_is_archived_says_what_to_do() -> None:
    invoke("archive", "store", "agent:eliza")
    line = {"type": "message_received", "agent": "eliza", "room": "general", "conversation": "another"}
    payload = {"id": "late", "user": "ada", "text": "hello"}

    result = invoke("ingest", "-", "--source", "x", text=json.dumps({**line, "payload": payload}))

    assert 1 == result.exit_code
    assert "eliza-state archive restore" in result.stderr


@pytest.mark.usefixtures("store")
def test_a_path_without_records_is_named() -> None:
    result = invoke("archive", "store", "agent:nobody")

    assert 1 == result.exit_code
    assert "agent:nobody" in result.stderr


@pytest.mark.usefixtures("store")
def test_the_archive_may_be_elsewhere(tmp_path: Path) -> None:
    far = tmp_path / "far"

    invoke("archive", "store", GREENHOUSE, ELIZA_STATE_ARCHIVE=str(far))

    assert [".segment"] == sorted({file.suffix for file in far.iterdir()} - {".lock"})
    assert 0 == invoke("show", GREENHOUSE, ELIZA_STATE_ARCHIVE=str(far)).exit_code
    assert 1 == invoke("log", GREENHOUSE).exit_code
