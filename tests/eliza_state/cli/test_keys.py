"""Keys to the secrets of a store, from the environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from eliza_modules.workspace import WorkspaceModule
from eliza_serializers.sealing import SecretKeys
from eliza_state.portal import SyncStateManager
from tests.eliza_state.cli.command import invoke

KEY = bytes(range(32))
WORD = "open-sesame"
LINE = json.dumps(
    {
        "type": "tool_server_installed",
        "agent": "eliza",
        "user": "ada",
        "payload": {"name": "maps", "config": {"key": {"_type": "Secret", "data": WORD}}},
    }
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("state.db*"))


@pytest.mark.parametrize("kind", ["variable", "file"])
def test_what_is_taken_in_is_sealed(folder: Path, kind: str) -> None:
    text = f"2025={KEY.hex()}"
    (folder / "keys.txt").write_text(text)
    given = {"ELIZA_STATE_KEYS": text} if kind == "variable" else {"ELIZA_STATE_KEY_FILE": "keys.txt"}
    result = invoke("ingest", "-", "--source", "tools", text=LINE, **given)

    assert result.exit_code == 0, result.output
    assert WORD.encode() not in stored(folder)
    with SyncStateManager.open(
        "sqlite:///state.db", modules=[WorkspaceModule()], secret_keys=SecretKeys({"2025": KEY})
    ) as manager:
        state = manager.agent("eliza").user("ada").state(WorkspaceModule)
    assert state.tool_servers["maps"]["key"].reveal() == WORD


def test_without_keys_it_is_stored_in_plain(folder: Path) -> None:
    invoke("ingest", "-", "--source", "tools", text=LINE)

    assert WORD.encode() in stored(folder)


def test_a_malformed_key_is_told_and_not_shown() -> None:
    result = invoke("show", ELIZA_STATE_KEYS="2025=abc123")

    assert result.exit_code == 2
    assert "key 1 in ELIZA_STATE_KEYS is to be ID=KEY" in result.stderr
    assert "abc123" not in result.stderr


def test_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("eliza_serializers.sealing", "eliza_serializers.key_ring"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    result = invoke("ingest", "-", "--source", "tools", text=LINE, ELIZA_STATE_KEYS=f"2025={KEY.hex()}")

    assert result.exit_code == 1
    assert "pip install 'eliza-state[encryption]'" in result.stderr
