"""Encrypted values at the command line: where the keys come from, and what happens without."""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import pytest

from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.wrappers import Compression
from eliza_state.storage.wrappers.encryption import Encryption
from tests.eliza_state.cli.command import invoke

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
HOME = ("--store", "state.db")


@pytest.fixture(autouse=True)
def encrypted() -> None:
    """A storage with a value that is encrypted with the old key."""

    async def set_one() -> None:
        transforms = [Compression(), Encryption({"old": OLD})]
        async with SqlStorage[Any]("sqlite:///state.db", transforms=transforms) as storage:
            await storage.set("a", "x" * 1_000)

    asyncio.run(set_one())


@pytest.fixture
def key_file(folder: Path) -> Path:
    """A file with both keys, the new one last."""
    file = folder / "keys.txt"
    file.write_text(f"old={OLD.hex()}\nnew={base64.b64encode(NEW).decode()}\n")
    return file


def store(*arguments: object, **more: Any) -> Any:
    return invoke("store", *arguments, *HOME, **more)


def test_a_key_file_opens_what_was_encrypted(key_file: Path) -> None:
    result = store("get", "a", "--key-file", key_file)

    assert (result.exit_code, result.stdout) == (0, f'"{"x" * 1_000}"\n')


def test_the_environment_may_name_the_file_or_hold_the_keys(key_file: Path) -> None:
    assert store("get", "a", ELIZA_STATE_KEY_FILE=str(key_file)).exit_code == 0
    assert store("get", "a", ELIZA_STATE_KEYS=f"old={OLD.hex()} new={NEW.hex()}").exit_code == 0


def test_the_last_key_is_written_with(key_file: Path) -> None:
    assert store("set", "b", "1", "--key-file", key_file).exit_code == 0

    assert store("get", "b", ELIZA_STATE_KEYS=f"new={NEW.hex()}").stdout == "1\n"
    result = store("get", "b", ELIZA_STATE_KEYS=f"old={OLD.hex()}")
    assert result.exit_code == 1
    assert "it was encrypted with key 'new', which was not given" in result.stderr


@pytest.mark.parametrize("command", [["get", "a"], ["set", "a", "1"]])
def test_without_a_key_it_is_said_what_to_give(command: list[str]) -> None:
    result = store(*command)

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "it is encrypted; give the keys with --key-file or in ELIZA_STATE_KEYS" in line


def test_what_needs_no_value_needs_no_key(key_file: Path) -> None:
    assert store("ttl", "a", "--set", "1h").exit_code == 0
    assert store("keys").stdout == "a\n"
    assert invoke("store", "archive", "a", *HOME, "--store", "archive:archive").exit_code == 0

    result = invoke("store", "get", "a", *HOME, "--store", "archive:archive", "--key-file", key_file)
    assert result.exit_code == 0


def test_a_value_in_plain_is_not_taken_for_an_encrypted_one(key_file: Path) -> None:
    store("set", "b", "1")

    result = store("get", "b", "--key-file", key_file)

    assert result.exit_code == 1
    assert "it was not written through aes256gcm, as it must be" in result.stderr


@pytest.mark.parametrize(
    "text",
    ["", "old", "old=", "=00", f"old={OLD.hex()[2:]}", f"old={'zz' * 32}", f"{OLD.hex()}", "old=hunter2"],
)
def test_a_malformed_key_is_told_without_showing_it(text: str, folder: Path) -> None:
    (folder / "keys.txt").write_text(text)

    result = store("get", "a", "--key-file", "keys.txt")

    assert result.exit_code == 2
    assert "ID=KEY" in result.stderr
    assert "hunter2" not in result.stderr
    assert OLD.hex()[2:] not in result.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"old={OLD.hex()} old={NEW.hex()}", "there are two keys of the id 'old' in ELIZA_STATE_KEYS"),
        (f"Old={OLD.hex()}", "a key's id is of lower-case letters"),
    ],
)
def test_ids_that_cannot_be_are_told(text: str, reason: str) -> None:
    result = store("get", "a", ELIZA_STATE_KEYS=text)

    assert result.exit_code == 2
    assert reason in result.stderr


def test_a_key_file_that_is_no_text_is_told(folder: Path) -> None:
    (folder / "keys.bin").write_bytes(OLD + b"\xff")

    result = store("get", "a", "--key-file", "keys.bin")

    assert result.stderr == "error: cannot read the key file 'keys.bin': it is not plain text\n"


def test_it_is_told_what_to_install(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("eliza_state.storage.wrappers.encryption", "eliza_serializers.key_ring"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    result = store("get", "a", "--key-file", key_file)

    assert result.exit_code == 1
    assert "pip install 'eliza-state[encryption]'" in result.stderr
