"""`eliza-state backup` as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import TRANSCRIPT, everything, invoke, said


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store, in the current folder, that holds the transcript, and a backup of it called `monday`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jsonl").write_text(TRANSCRIPT, "utf-8")

    assert invoke("ingest", "chat.jsonl", "--quiet").exit_code == 0
    assert invoke("backup", "make", "monday").exit_code == 0
    return f"sqlite:///{tmp_path}/state.db"


def test_make_says_what_the_backup_holds(store: str) -> None:
    result = invoke("backup", "make", "tuesday", "--store", store)
    first, second = result.stdout.splitlines()

    assert first.startswith("backup in tuesday: position 55, the newest record of 20")
    assert first.endswith(" before the backup)")
    assert second.endswith(" bytes in 1 files, verified")


def test_make_as_json(store: str) -> None:
    told = json.loads(invoke("backup", "make", "tuesday", "--json").stdout)

    assert (told["position"], told["folder"], told["verification"]["is_good"]) == (55, "tuesday", True)
    assert [file["name"] for file in told["files"]] == ["state.db"]


def test_what_is_there_is_not_replaced(store: str) -> None:
    result = invoke("backup", "make", "monday")

    assert result.exit_code == 1
    assert "a backup is a new folder" in result.stderr


def test_verify_looks_at_everything(store: str) -> None:
    result = invoke("backup", "verify", "monday")

    assert result.exit_code == 0
    assert result.stdout.startswith("checksums          1  good\n")
    assert result.stdout.endswith("nothing is damaged, up to position 55\n")


def test_verify_finds_damage(store: str) -> None:
    file = Path("monday", "state.db")
    file.write_bytes(file.read_bytes()[:-4_096])
    result = invoke("backup", "verify", "monday")

    assert result.exit_code == 1
    assert "checksums: state.db: it has " in result.stdout


def test_verify_refuses_what_is_no_backup(store: str) -> None:
    result = invoke("backup", "verify", ".")

    assert result.exit_code == 1
    assert "'.' is no backup" in result.stderr


def test_restore_makes_a_store(store: str) -> None:
    result = invoke("backup", "restore", "monday", "--store", "sqlite:///copy.db")

    assert result.exit_code == 0
    assert "copy.db: position 55, the newest record of 20" in result.stdout
    assert everything("sqlite:///copy.db") == everything(store)


def test_restore_replaces_a_store_if_it_is_told_to(store: str) -> None:
    before = everything(store)
    Path("more.jsonl").write_text(said("late"), "utf-8")
    assert invoke("ingest", "more.jsonl", "--quiet").exit_code == 0

    refused = invoke("backup", "restore", "monday")
    done = invoke("backup", "restore", "monday", "--replace")

    assert (refused.exit_code, done.exit_code) == (1, 0)
    assert "--replace" in refused.stderr
    assert done.stdout.startswith("the store that was there is in ")
    assert everything(store) == before


def test_restore_as_json(store: str) -> None:
    told = json.loads(invoke("backup", "restore", "monday", "--replace", "--json").stdout)

    assert told["replaced"].endswith("state.db.replaced-1")
    assert told["store_epoch"] != told["epoch"]


def test_help_tells_it_from_the_restore_of_a_scope() -> None:
    assert "see `eliza-state restore`" in " ".join(invoke("backup", "--help").stdout.split())
    for command in ("make", "verify", "restore"):
        assert "Examples:\n" in invoke("backup", command, "--help").stdout
