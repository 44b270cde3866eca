"""Storages for the commands on them."""

from __future__ import annotations

from pathlib import Path

import pytest

PATIENT = "answer_within_ms=30000"
"""For a busy machine, which must not look like a server that is gone."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("ELIZA_STATE_KEYS", "ELIZA_STATE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(params=["sqlite", "file", "archive", "redis", "layers"])
def urls(request: pytest.FixtureRequest) -> list[str]:
    """The `--store` options of a storage of each kind, in which there is nothing yet."""
    if request.param in ("redis", "layers"):
        redis = f"{request.getfixturevalue('redis_url')}?prefix=test&{PATIENT}"
        found = [redis] if request.param == "redis" else [redis, "sqlite:///home.db", "archive:archive"]
    else:
        found = [
            {"sqlite": "state.db", "file": "file:state.json", "archive": "archive:archive"}[request.param]
        ]
    return [word for url in found for word in ("--store", url)]
