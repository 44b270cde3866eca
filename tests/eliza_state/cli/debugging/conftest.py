"""A store in the current folder to look into."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.eliza_state.cli.command import TRANSCRIPT, invoke


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in the current folder that holds the transcript."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jsonl").write_text(TRANSCRIPT, "utf-8")
    assert invoke("ingest", "chat.jsonl").exit_code == 0
