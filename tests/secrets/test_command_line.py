"""No command shows a secret: states, records, values, and what is wrong with them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from eliza_serializers import JsonSerializer, Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.storage.sql import SqlStorage
from tests.eliza_state.cli.command import invoke
from tests.secrets.planted import AGENT, KEYS, ROOM, USER, Kind, Login, planted
from tests.secrets.search import found_in, made

MODULES = ("--modules", "tests.secrets.planted:MODULES")
SHOWING = [
    ("show", *MODULES),
    *(("show", scope, *more, *MODULES) for scope in (AGENT, USER, ROOM) for more in ((), ("--json",))),
    ("show", ROOM, "--limit", "100", *MODULES),
    ("log", *MODULES),
    ("log", "--json", "--limit", "100", *MODULES),
    ("log", "--limit", "100"),
    ("migrate", "--dry-run", *MODULES),
    ("migrate", "--dry-run", "--json", "--all", *MODULES),
    ("health", *MODULES),
    ("health", "--json", *MODULES),
    ("verify", "--all", *MODULES),
    ("verify", "--json", *MODULES),
    ("repair", "--dry-run", *MODULES),
    ("repair", "--dry-run", "--json", *MODULES),
]
"""The commands that show a store; one that is new gets a line here."""

SERIALIZER = JsonSerializer()
SERIALIZER.register(Login)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(*arguments: object) -> str:
    result = invoke(*arguments)
    return f"{result.stdout}{result.stderr}{result.exception!r}"


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_no_command_shows_a_secret_of_a_store(folder: Path, kind: Kind):
    async def plant() -> dict[str, str]:
        async with planted(folder, kind) as store:
            return store.secrets

    secrets = asyncio.run(plant())
    told = {command: shown(*command) for command in SHOWING}

    assert all(told.values())
    assert any("[SECRET]" in text for text in told.values())
    assert not {command: text for command, text in told.items() if found_in(text, secrets)}


@pytest.mark.parametrize(
    "payload",
    [
        lambda secret: {"field": [secret]},
        lambda secret: {"field": {"_type": "Secret", "sealed": True, "data": secret}},
        lambda secret: {"field": {"_type": "Hidden", "data": secret}},
        lambda secret: {"field": secret, "refuse": "yes"},
        lambda secret: {"field": secret, "refuse": True},
        lambda secret: {"field": secret, "fail": True},
        lambda secret: {"field": secret, "in_object": {"user": 5, "password": secret}},
    ],
)
@pytest.mark.parametrize("more", [(), ("--debug",)])
def test_no_refused_line_shows_a_secret(folder: Path, payload: Any, more: tuple[str, ...]):
    secrets = made()
    line = {
        "type": "vault_filled",
        "agent": "eliza",
        "room": "general",
        "payload": {"name": "ada", **payload(secrets["event field"])},
    }
    (folder / "chat.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    told = shown("ingest", "chat.jsonl", *more, *MODULES)

    assert "refused" in told
    assert not found_in(told, secrets)


def keep(value: object, *, keys: SecretKeys | None) -> None:
    serializer = JsonSerializer(secrets=keys)
    serializer.register(Login)

    async def write() -> None:
        async with SqlStorage[Any]("sqlite:///state.db", serializer=serializer) as storage:
            await storage.set("key", value)

    asyncio.run(write())


@pytest.mark.parametrize("keys", [None, KEYS])
@pytest.mark.parametrize("known", [(), ("--serializer", f"{__name__}:SERIALIZER")])
def test_no_command_on_values_shows_a_secret(keys: SecretKeys | None, known: tuple[str, ...]):
    secrets = made()
    secret = Secret(secrets["plugin value"])
    keep({"a": [secret], "b": Login("ada", Secret(secrets["event in object"]))}, keys=keys)
    commands = [
        ("get", "key", *known),
        ("get", "key", "--json", *known),
        ("keys", "--json"),
        ("stats", "--json"),
        ("verify", *known),
        ("verify", "--json", *known),
        ("ttl", "key"),
        ("migrate", "--migrations", f"{__name__}:FAILING", *known),
    ]
    told = {command: shown("store", *command, "--store", "sqlite:///state.db") for command in commands}

    assert "[SECRET]" in told[commands[0]]
    assert not {command: text for command, text in told.items() if found_in(text, secrets)}


def failing(value: Any) -> Any:
    raise ValueError(value)


FAILING = {1: failing}


def test_a_sealed_value_stays_sealed_where_secrets_are_asked_for():
    secrets = made()
    keep(Secret(secrets["plugin value"]), keys=KEYS)
    told = shown("store", "get", "key", "--reveal", "--store", "sqlite:///state.db")

    assert '"sealed":true' in told
    assert not found_in(told, secrets)
