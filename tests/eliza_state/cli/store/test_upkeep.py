"""`store stats`, `sweep`, `archive`, `restore`, `migrate` and `verify` as somebody types them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrappers import enhance_storage
from eliza_state.testing import ManualClock
from tests.eliza_state.cli.command import invoke
from tests.eliza_state.cli.store.conftest import PATIENT
from tests.eliza_state.cli.store.test_keys import SERIALIZER, Secret, Session, keep, told

HOME = ("--store", "home.db")
LAYERS = (*HOME, "--store", "archive:archive")


def store(*arguments: object, **more: Any) -> Any:
    return invoke("store", *arguments, **more)


def keep_dead(url: str = "sqlite:///home.db") -> None:
    """Store a key in the past, whose time is over."""

    async def set_one() -> None:
        async with SqlStorage[Any](url, clock=ManualClock()) as storage:
            await storage.set("dead", 1, ttl_ms=1)

    asyncio.run(set_one())


# stats


def test_each_layer_is_shown_with_its_figures(redis_url: str) -> None:
    layers = ("--store", f"{redis_url}?{PATIENT}", *LAYERS)
    told("set", "a", "1", *layers)
    told("set", "b", "1", "-N", "s", *layers)
    keep_dead()

    rows = [row.split() for row in told("stats", *layers).splitlines()]

    assert rows[0] == ["layer", "role", "keys", "dead", "size", "probe", "breaker"]
    assert rows[1][:5] == ["redis", "cache", "2", "0", "-"]
    assert rows[2][:4] == ["sql", "home", "2", "1"]
    assert rows[3][:5] == ["archive", "archive", "0", "0", "0"]
    assert [row[-1] for row in rows[1:]] == ["closed"] * 3


def test_programs_get_one_object_for_each_layer(urls: list[str]) -> None:
    told("set", "a", "1", *urls)

    shown = [json.loads(row) for row in told("stats", "--json", *urls).splitlines()]

    assert shown[-1]["error"] is None
    assert max(one["keys"] for one in shown) == 1
    assert all(0 < one["probe_ms"] <= one["slowest_ms"] for one in shown)


def test_a_namespace_is_counted_by_itself() -> None:
    told("set", "a", "1", *HOME)
    told("set", "b", "1", "-N", "s", "-N", "t", *HOME)

    assert json.loads(told("stats", "--json", "-N", "s", *HOME))["keys"] == 1


def test_a_layer_that_does_not_answer_is_shown_with_an_open_breaker() -> None:
    told("set", "a", "1", *HOME)

    result = store("stats", "--store", "redis://:hunter2@127.0.0.1:1", *HOME)

    assert result.exit_code == 1
    _, cache, home = (row.split() for row in result.stdout.splitlines())
    assert (cache[0], cache[-1]) == ("redis", "open")
    assert (home[0], home[2], home[-1]) == ("sql", "1", "closed")
    assert result.stderr.startswith("error: redis: ")
    assert "hunter2" not in result.stderr


def test_a_layer_that_cannot_be_opened_is_shown_too() -> None:
    result = store("stats", "--json", "--store", "redis://127.0.0.1:1", "--store", "postgresql://127.0.0.1:1")

    cache, home = (json.loads(row) for row in result.stdout.splitlines())
    assert result.exit_code == 1
    assert (cache["role"], home["name"], home["role"]) == ("cache", "postgresql", "home")
    assert "cannot open the database" in home["error"]


# sweep


def test_a_sweep_removes_what_is_dead_and_tells_how_many() -> None:
    told("set", "a", "1", *HOME)
    keep_dead()

    assert told("sweep", *HOME) == "1 swept\n"
    assert json.loads(told("sweep", "--json", *HOME)) == {"swept": 0}
    assert told("keys", *HOME) == "a\n"


# archive and restore


def test_keys_move_into_the_archive_and_back() -> None:
    for key in ("talk:1", "talk:2", "other"):
        told("set", key, f'"{key}"', "-N", "s", "--ttl", "1d", *HOME)

    assert (
        told("archive", "--prefix", "talk:", "-N", "s", *LAYERS) == "2 archived, 0 already in the archive\n"
    )
    assert told("keys", "-N", "s", *HOME) == "other\n"
    assert told("get", "talk:1", "-N", "s", *LAYERS) == '"talk:1"\n'
    assert told("ttl", "talk:1", "-N", "s", *LAYERS).startswith("23h ")

    assert told("restore", "talk:1", "-N", "s", *LAYERS) == "1 restored, 0 already at home\n"
    assert told("get", "talk:1", "-N", "s", *HOME) == '"talk:1"\n'
    assert told("keys", "--store", "archive:archive", "--nested") == "s/talk:2\n"


def test_all_namespaces_move_with_nested() -> None:
    told("set", "a", "1", *HOME)
    told("set", "b", "1", "-N", "s", *HOME)

    moved = json.loads(told("archive", "--prefix", "", "--nested", "--json", *LAYERS))

    assert moved == {"moved": 2, "present": 0, "missing": [], "failures": {}}
    assert told("restore", "--prefix", "", *LAYERS) == "1 restored, 0 already at home\n"


def test_a_home_in_redis_is_archived(redis_url: str) -> None:
    redis = f"{redis_url}?{PATIENT}"
    layers = ("--store", redis, "--store", "archive:archive")
    told("set", "a", "1", "--ttl", "1h", *layers)
    assert told("archive", "a", *layers).startswith("1 archived")
    assert told("keys", "--store", redis) == ""

    assert told("restore", "a", *layers).startswith("1 restored")
    assert told("get", "a", "--store", redis) == "1\n"


def test_a_home_in_a_file_is_archived() -> None:
    layers = ("--store", "file:state.json", "--store", "archive:archive")
    told("set", "a", "1", *layers)
    told("archive", "a", *layers)
    assert told("keys", "--store", "file:state.json") == ""

    told("restore", "a", *layers)
    assert told("get", "a", "--store", "file:state.json") == "1\n"


def test_a_key_that_is_nowhere_is_told() -> None:
    told("set", "a", "1", *HOME)

    result = store("archive", "a", "b", *LAYERS)

    assert (result.exit_code, result.stderr) == (1, "error: there is no key 'b'\n")
    assert result.stdout == "1 archived, 0 already in the archive\n"


def test_an_archive_is_made_to_archive_and_not_to_restore(folder: Path) -> None:
    told("set", "a", "1", *HOME)

    result = store("restore", "a", *LAYERS)
    assert result.exit_code == 1
    assert "there is no store at 'archive'" in result.stderr
    assert not (folder / "archive").exists()
    told("archive", "a", *LAYERS)


@pytest.mark.parametrize("command", ["archive", "restore"])
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a", *HOME], "name the home and below it the archive"),
        (["a", "--store", "archive:archive"], "name the home and below it the archive"),
        ([*LAYERS], "name keys, or choose them by --prefix"),
        (["a", "--prefix", "b", *LAYERS], "name keys, or choose them by --prefix"),
        (["a", "--nested", *LAYERS], "name keys, or choose them by --prefix"),
    ],
)
def test_it_must_be_said_what_goes_where(command: str, arguments: list[str], reason: str) -> None:
    told("set", "a", "1", *LAYERS)

    result = store(command, *arguments)

    assert result.exit_code == 2
    assert reason in result.stderr


# migrate

MIGRATIONS = {1: lambda value: {**value, "role": "guest"}, 2: lambda value: {"visits": 0, **value}}
BROKEN = {1: lambda value: value["role"]}
WITH_A_GAP = {1: MIGRATIONS[1], 3: MIGRATIONS[2]}
OF_NAMES = {"one": MIGRATIONS[1], 2: MIGRATIONS[2]}
HERE = ("--migrations", f"{__name__}:MIGRATIONS")


def enhanced(key: str) -> Any:
    """What a program finds in home.db whose values are of the current version."""

    async def get() -> Any:
        async with SqlStorage[Any]("sqlite:///home.db") as storage:
            assert isinstance(storage, Storage)
            return await enhance_storage(storage, migrations=MIGRATIONS).get(key)

    return asyncio.run(get())


def test_values_are_migrated() -> None:
    told("set", "a", '{"name": "ada"}', *HOME)
    told("set", "b", '{"__v": 1, "data": {"name": "bo", "role": "host"}}', *HOME)

    assert told("migrate", *HERE, *HOME) == (
        "version 0: 1\nversion 1: 1\n2 migrated, 0 written meanwhile, 0 failed\n"
    )
    assert json.loads(told("get", "a", *HOME))["__v"] == 2
    assert enhanced("b") == {"visits": 0, "name": "bo", "role": "host"}


def test_a_dry_run_writes_nothing() -> None:
    told("set", "a", '{"name": "ada"}', *HOME)

    done = json.loads(told("migrate", "--dry-run", "--json", *HERE, *HOME))

    assert done == {"versions": {"0": 1}, "migrated": 1, "contended": 0, "failed": 0, "failures": []}
    assert told("get", "a", *HOME) == '{"name":"ada"}\n'


def test_what_is_archived_is_migrated_where_it_lies() -> None:
    told("set", "a", '{"name": "ada"}', *HOME)
    told("set", "b", '{"name": "bo"}', *HOME)
    told("archive", "a", *LAYERS)

    assert told("migrate", *HERE, *LAYERS) == "version 0: 2\n2 migrated, 0 written meanwhile, 0 failed\n"
    assert told("keys", "--store", "archive:archive") == "a\n"
    assert json.loads(told("get", "a", *LAYERS))["__v"] == 2


def test_a_namespace_is_migrated_by_itself() -> None:
    told("set", "a", "{}", *HOME)
    told("set", "b", "{}", "-N", "s", "-N", "t", *HOME)
    told("migrate", "-N", "s", *HERE, *HOME)

    assert told("get", "a", *HOME) == "{}\n"


def test_what_fails_is_told_and_stays() -> None:
    told("set", "a", '{"role": 1}', *HOME)
    told("set", "b", "{}", *HOME)

    result = store("migrate", "--migrations", f"{__name__}:BROKEN", *HOME)

    assert result.exit_code == 1
    assert "the migration of 'b' to version 1 failed: KeyError" in result.stderr
    assert result.stdout.endswith("1 migrated, 0 written meanwhile, 1 failed\n")


def test_the_current_folder_is_looked_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "shapes_for_test.py").write_text("MIGRATIONS = {1: lambda value: [value]}")
    told("set", "a", "1", *HOME)

    told("migrate", "--migrations", "shapes_for_test:MIGRATIONS", *HOME)

    assert json.loads(told("get", "a", *HOME)) == {"__v": 1, "data": [1]}
    sys.modules.pop("shapes_for_test", None)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("WITH_A_GAP", "expected migrations to the versions 1, 2, 3"),
        ("OF_NAMES", "--migrations: "),
        ("enhanced", "expected functions by version"),
        ("NOTHING", "has no attribute 'NOTHING'"),
    ],
)
def test_migrations_that_cannot_be_are_told(named: str, reason: str) -> None:
    told("set", "a", "{}", *HOME)

    result = store("migrate", "--migrations", f"{__name__}:{named}", *HOME)

    assert result.exit_code == 2
    assert reason in result.stderr


# verify


def test_a_sound_storage_is_told_so(urls: list[str]) -> None:
    told("set", "a", "1", *urls)
    told("set", "b", '{"_type": "Set", "data": [1]}', "-N", "s", *urls)

    counts = json.loads(told("verify", "--json", *urls))

    assert counts["good"] >= 2
    assert (counts["damaged"], counts["unchecked"]) == (0, {})


def test_values_that_cannot_be_read_are_listed() -> None:
    for key in ("good", "torn", "odd", "nameless"):
        told("set", key, "[1, 2]", *HOME)
    with closing(sqlite3.connect("home.db")) as connection, connection:
        update = "UPDATE eliza_state_kv SET value = ? WHERE name = ?"
        connection.execute(update, (b"json:[1, 2", "torn"))
        connection.execute(update, (b'json:{"_type":"Set","data":5}', "odd"))
        connection.execute(update, (b"no format", "nameless"))

    result = store("verify", *HOME)

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 4
    assert "sql: 'torn': $: expected JSON text" in result.stdout
    assert "sql: 'odd': $: cannot read the data of 'Set'" in result.stdout
    assert "sql: 'nameless': it does not begin with the name of a format" in result.stdout
    assert result.stdout.endswith("1 good, 3 damaged\n")


@pytest.mark.parametrize("at", [0, 20, -20])
def test_a_damaged_file_of_an_archive_is_listed_once(at: int) -> None:
    told("set", "a", "1", *HOME)
    told("set", "b", "2", *HOME)
    told("archive", "a", "b", *LAYERS)
    file = next(path for path in Path("archive").rglob("*") if path.is_file() and not path.suffix)
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)

    result = store("verify", "--json", *LAYERS)

    damage, counts = (json.loads(row) for row in result.stdout.splitlines())
    assert result.exit_code == 1
    assert damage["layer"] == "archive"
    assert (counts["good"], counts["damaged"]) == (1, 1)


def test_a_damaged_json_file_is_listed() -> None:
    Path("state.json").write_text("{oops")

    result = store("verify", "--store", "file:state.json")

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "0 good, 1 damaged"
    assert result.stdout.startswith("file: state.json: ")
    assert Path("state.json").read_text() == "{oops"


def test_what_cannot_be_checked_is_counted_and_is_no_damage() -> None:
    keep({"a": Session("ada", Secret("hunter2"))}, serializer=SERIALIZER)

    assert told("verify", "--store", "state.db") == (
        "0 good, 0 damaged, 1 not checked: of a class that nobody registered\n"
    )
    known = told("verify", "--store", "state.db", "--serializer", f"{Session.__module__}:SERIALIZER")
    assert known == "1 good, 0 damaged\n"


def test_what_is_encrypted_is_not_checked_without_a_key() -> None:
    told("set", "a", "1", *HOME, ELIZA_STATE_KEYS=f"k={'00' * 32}")

    assert told("verify", *HOME) == "0 good, 0 damaged, 1 not checked: encrypted, and no key was given\n"
    assert told("verify", *HOME, ELIZA_STATE_KEYS=f"k={'00' * 32}") == "1 good, 0 damaged\n"
    assert store("verify", *HOME, ELIZA_STATE_KEYS=f"k={'01' * 32}").exit_code == 1


def test_a_namespace_is_verified_by_itself() -> None:
    told("set", "a", "1", *HOME)
    told("set", "b", "1", "-N", "s", *HOME)
    with closing(sqlite3.connect("home.db")) as connection, connection:
        connection.execute("UPDATE eliza_state_kv SET value = ? WHERE name = ?", (b"?", "a"))

    assert told("verify", "-N", "s", *HOME) == "1 good, 0 damaged\n"
