"""Folders with a store to look into."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import TRANSCRIPT, invoke


@pytest.fixture(scope="session")
def original_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transcript, and a store that took it in: both to be copied."""
    folder = tmp_path_factory.mktemp("transcript")
    (folder / "chat.jsonl").write_text(TRANSCRIPT, "utf-8")
    taken = invoke("ingest", folder / "chat.jsonl", "--store", f"sqlite:///{folder}/state.db")
    assert taken.exit_code == 0
    return folder


@pytest.fixture
def filled_folder(original_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder, which is the current one: `chat.jsonl`, and `state.db` that took it in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original_folder, tmp_path, dirs_exist_ok=True)
    return tmp_path
