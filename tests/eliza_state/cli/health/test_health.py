"""`eliza-state health`, `verify` and `repair` as somebody types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path as FilePath
from typing import Any

import pytest

from tests.eliza_state.cli.command import COMMAND, environment, invoke
from tests.eliza_state.health import stores


@pytest.fixture
def store(filled_folder: FilePath) -> str:
    return f"sqlite:///{filled_folder}/state.db"


def damage(store: str, statement: str) -> None:
    stores.run(FilePath(store.removeprefix("sqlite:///")).parent, statement)


def test_health_shows_the_figures(store: str):
    result = invoke("health", "--store", store)

    assert result.exit_code == 0
    assert result.stdout.startswith("healthy\nrecords  55, the last at 20")
    assert "files    journal " in result.stdout


def test_health_as_json(store: str):
    told = json.loads(invoke("health", "--json", "--store", store).stdout)

    assert (told["is_healthy"], told["journal"]["head"]) == (True, 55)


def test_watching_looks_again(store: str):
    result = invoke("health", "--watch", "--times", 3, "--interval", 0.01, "--json", "--store", store)

    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 3


def test_watching_ends_when_interrupted(store: str):
    command = [*COMMAND, "health", "--watch", "--interval", "0.01", "--store", store]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(PYTHONUNBUFFERED="1"),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "healthy\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 130
    assert errors.endswith("interrupted\n")


def test_a_damaged_record_makes_health_tell_of_it(store: str):
    damage(store, "UPDATE record SET payload = x'00' WHERE position = 3")
    result = invoke("health", "--store", store)

    assert "error    record at" in result.stdout


def test_verify_says_what_it_looked_at(store: str):
    result = invoke("verify", "--store", store, "--all")

    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()[1:4]] == [
        ["records", "55", "good"],
        ["tables", "12", "good"],
        ["derived", "3", "good"],
    ]
    assert result.stdout.endswith("nothing is damaged, up to position 55\n")
    assert result.stderr == ""


def test_verify_names_damage_and_the_exit_code_tells(store: str):
    damage(store, "UPDATE record SET payload = x'00' WHERE position = 3")
    result = invoke("verify", "--store", store)

    assert result.exit_code == 1
    assert "records           55  1 damaged\n" in result.stdout
    assert "records: state.db: record 3 is damaged" in result.stdout
    assert "left out of every state" in result.stdout


def test_verify_as_json(store: str):
    damage(store, "DELETE FROM below WHERE position = (SELECT max(position) FROM below WHERE scope = 3)")
    result = invoke("verify", "--store", store, "--json")
    told = json.loads(result.stdout)

    assert result.exit_code == 1
    assert (told["is_good"], told["position"]) == (False, 55)
    assert {(each["check"], each["is_derived"], each["position"]) for each in told["findings"]} == {
        ("derived", True, 39)
    }


def test_verify_looks_at_the_files_of_a_store_that_cannot_be_opened(store: str):
    path = FilePath(store.removeprefix("sqlite:///"))
    path.write_bytes(path.read_bytes()[:9_000])
    result = invoke("verify", "--store", store)

    assert result.exit_code == 1
    assert result.stderr.startswith("warning: the store cannot be opened")
    assert "not looked at: " in result.stdout


@pytest.mark.parametrize("command", ["verify", "repair", "health"])
def test_a_store_that_is_not_there_is_refused_and_not_made(tmp_path: FilePath, command: str):
    result = invoke(command, "--store", f"sqlite:///{tmp_path}/none.db")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: there is no store")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_a_store_in_memory_has_nothing_to_look_at(command: str):
    assert invoke(command, "--store", "memory://").exit_code == 1


def test_repair_makes_anew_what_it_can(store: str):
    damage(store, "DELETE FROM below WHERE position = (SELECT max(position) FROM below WHERE scope = 3)")
    looked = invoke("repair", "--dry-run", "--store", store)
    done = invoke("repair", "--store", store)
    again = invoke("verify", "--store", store)

    line = "make `below`, `erasure` and `restore` agree with the records: 2 differences"
    assert (looked.stdout, looked.exit_code) == (f"would: {line}\n", 0)
    assert (done.stdout, done.exit_code) == (f"done: {line}\n", 0)
    assert again.exit_code == 0


def test_repair_says_what_it_cannot(store: str):
    damage(store, "DELETE FROM record WHERE position = 5")
    result = invoke("repair", "--store", store)

    assert result.exit_code == 1
    assert "what cannot be made anew\nrecords: state.db: record 5 is missing\n" in result.stdout


def test_repair_as_json(store: str):
    told: Any = json.loads(invoke("repair", "--json", "--dry-run", "--store", store).stdout)

    assert (told["is_good"], told["done"], told["lost"]) == (True, [], [])


@pytest.mark.parametrize("command", ["verify", "repair", "health"])
def test_help_has_examples(command: str):
    assert "Examples:\n" in invoke(command, "--help").stdout
