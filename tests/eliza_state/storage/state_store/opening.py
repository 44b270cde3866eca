"""States in files and tables, and what is found there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore

HOUR_MS = 3_600_000
KEYS = ["a", "a/b", "a%2Fb", "run:abc-123", "ü" * 256, " ", "\x00\n", "💥", "a ", "A"]

Open = Callable[..., StateStore]


def in_table(flush_interval_ms: float = HOUR_MS) -> StatePersistence:
    return StatePersistence(enabled=True, type="database", flush_interval_ms=flush_interval_ms)


def rows_of(path: FilePath) -> dict[str, str]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT state_key, value FROM core_state").fetchall())
    finally:
        connection.close()


def entries_of(path: FilePath) -> dict[str, Any]:
    return dict(json.loads(path.read_text())["entries"])
