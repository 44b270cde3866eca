"""What `--store` names, and what becomes of it: nothing that was not asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eliza_state.storage.disk import FileStorage
from tests.eliza_state.cli.command import invoke
from tests.eliza_state.cli.store.conftest import PATIENT
from tests.eliza_state.cli.store.test_keys import keep, store, told


def test_reading_makes_nothing(folder: Path) -> None:
    for url in ("state.db", "sqlite:///state.db", "file:state.json", "archive:archive"):
        for command in (["get", "a"], ["keys"], ["ttl", "a"], ["stats"], ["verify"], ["delete", "a"]):
            result = store(*command, "--store", url)
            assert result.exit_code == 1
            assert "there is no store at" in result.stderr

    assert list(folder.iterdir()) == []


def test_reading_leaves_a_database_as_it_is() -> None:
    keep({"a": 1})
    result = store("get", "a", "--store", "state.db?table=other")

    assert result.exit_code == 1
    assert "there is no table 'other' to be read" in result.stderr


def test_the_environment_may_name_the_layers(redis_url: str) -> None:
    named = f"{redis_url}?{PATIENT} sqlite:///home.db"
    told("set", "a", "1", ELIZA_STATE_STORE=named)

    assert told("get", "a", "--store", "home.db") == "1\n"
    assert told("get", "a", ELIZA_STATE_STORE=named) == "1\n"


def test_a_file_that_somebody_else_has_open_is_told() -> None:
    storage = FileStorage[int]("state.json")
    result = store("set", "a", "1", "--store", "file:state.json")
    asyncio.run(storage.close())

    assert result.exit_code == 1
    assert "somebody else holds" in result.stderr


@pytest.mark.parametrize("command", [["get", "a"], ["set", "a", "1"], ["keys"], ["delete", "a"]])
def test_a_file_that_is_no_storage_stays_as_it_is(command: list[str], folder: Path) -> None:
    Path("chat.jsonl").write_text("{oops")

    result = store(*command, "--store", "file:chat.jsonl")

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: 'chat.jsonl' cannot be read as a storage: ")
    assert [path.name for path in folder.iterdir()] == ["chat.jsonl"]
    assert Path("chat.jsonl").read_text() == "{oops"


def test_a_folder_is_no_file() -> None:
    Path("sub").mkdir()

    result = store("get", "a", "--store", "file:sub")

    assert result.exit_code == 1
    assert result.stderr == "error: cannot read 'sub': Is a directory\n"


def test_a_write_that_a_cache_is_not_told_of_is_done_with_a_warning() -> None:
    layers = ("--store", "redis://127.0.0.1:1", "--store", "home.db")

    result = store("set", "a", "1", *layers)

    assert result.exit_code == 0
    assert result.stdout.startswith("version ")
    assert result.stderr.startswith("warning: it is done, but readers of a cache may see")
    assert told("get", "a", "--store", "home.db") == "1\n"


@pytest.mark.parametrize("command", ["show", "log"])
def test_several_layers_in_the_environment_are_no_journal(command: str) -> None:
    result = invoke(command, ELIZA_STATE_STORE="redis://:hunter2@localhost sqlite:///home.db")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: a store is ")
    assert "hunter2" not in result.stderr
