"""`eliza-state migrate` as somebody types it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from eliza_state import snapshotter
from eliza_state.manager import StateManager
from tests.eliza_state.cli.command import invoke
from tests.eliza_state.generations import ROOM, OldListed, OldShelfModule, ShelfModule

MODULES = "tests.eliza_state.cli.test_migrate"


class OffByOne(ShelfModule):
    migrations = {1: lambda old: {**ShelfModule.migrations[1](old), "listed": old["count"] + 1}}  # noqa: RUF012


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of yesterday's code, with a snapshot."""
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)
    url = f"sqlite:///{tmp_path}/state.db"

    async def fill() -> None:
        async with StateManager.open(url, modules=[OldShelfModule()]) as manager:
            for number in range(7):
                await manager.dispatch(OldListed(title=f"t{number}", pages=number), to=ROOM)

    asyncio.run(fill())
    return url


def migrate(store: str, *options: str, module: str = "tests.eliza_state.generations:ShelfModule") -> Any:
    return invoke("migrate", "--store", store, "--modules", module, *options)


def test_a_dry_run_tells_and_stores_nothing(store: str) -> None:
    first, second = migrate(store, "--dry-run"), migrate(store, "--dry-run")

    assert first.exit_code == 0
    assert first.stderr == ""
    assert first.stdout == second.stdout
    assert first.stdout.splitlines() == [
        "records: 7 up to position 7",
        "  listed v1: 7, 7 upcast to v2",
        "snapshots",
        "  shelf v1: 1 migrated to v2, 1 compared with the records",
    ]


def test_a_run_stores_snapshots_of_today(store: str) -> None:
    run, again = migrate(store), migrate(store)

    assert (0, 0) == (run.exit_code, again.exit_code)
    assert run.stdout.splitlines()[-1] == "1 scopes were given snapshots by today's modules"
    assert "  shelf v2: 1 used as it is" in again.stdout.splitlines()
    assert again.stdout.splitlines()[-1].startswith("0 scopes")


def test_json_tells_the_same(store: str) -> None:
    told = json.loads(migrate(store, "--dry-run", "--all", "--json").stdout)

    assert told["is_good"] is True
    assert [("listed", 1, 2, 7)] == [
        (one["event"], one["schema_version"], one["known"], one["upcast"]) for one in told["events"]
    ]
    assert [("shelf", 1, 2, "migrated", 1)] == [
        (one["module"], one["version"], one["known"], one["use"], one["checked"]) for one in told["slices"]
    ]
    assert (7, 0, [], 0) == (told["position"], told["unusable"], told["faults"], told["written"])


def test_a_fault_is_told_and_the_exit_code_tells(store: str) -> None:
    result = migrate(store, module=f"{MODULES}:OffByOne")

    assert result.exit_code == 1
    assert "  shelf v1: 1 migrated to v2, 1 compared with the records, 1 failed or differ" in result.stdout
    assert f"shelf v1 of {ROOM.encode()} at position 7:\n  ~ listed: 7 → 8\n" in result.stdout
    assert result.stdout.endswith("0 scopes were given snapshots by today's modules\n")


def test_records_that_cannot_be_read_are_told_and_the_exit_code_tells(store: str) -> None:
    asyncio.run(list_one(store))
    result = migrate(store, "--dry-run", module="tests.eliza_state.generations:OldShelfModule")

    assert result.exit_code == 1
    assert "  listed v2: 1, 1 cannot be read\n" in result.stdout
    assert f"    8 at {ROOM.encode()}: record 8 cannot be read" in result.stdout


async def list_one(store: str) -> None:
    async with StateManager.open(store, modules=[ShelfModule()]) as manager:
        await manager.dispatch("listed", {"name": "new", "size": 1}, to=ROOM)


def test_events_that_no_module_handles_are_told_and_no_failure(store: str) -> None:
    result = invoke("migrate", "--store", store, "--dry-run")

    assert result.exit_code == 0
    assert "  listed v1: 7, which no module handles\n" in result.stdout


def test_help_has_examples() -> None:
    assert "Examples:\n" in invoke("migrate", "--help").stdout


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_store_that_is_not_there_is_refused_and_not_made(tmp_path: Path, options: list[str]) -> None:
    result = invoke("migrate", *options, "--store", f"sqlite:///{tmp_path}/none.db")

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("sample", ["0", "many"])
def test_a_sample_is_a_number_of_at_least_one(store: str, sample: str) -> None:
    assert migrate(store, "--sample", sample).exit_code == 2
