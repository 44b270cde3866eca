"""What a process imports: what its URLs name, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import environment

pytestmark = pytest.mark.once

DRIVERS = {"redis", "psycopg", "cryptography", "pymysql"}
TOOLS = {
    "eliza_state.debugger",
    "eliza_state.health",
    "eliza_state.backup",
    "eliza_state.synchronizer",
    "rich",
}
DATABASES = {"sqlalchemy", "sqlite3", "filelock", "backports.zstd", "eliza_state.journal.sql"}
STORAGES = {"eliza_state.storage.sql", "eliza_state.storage.layered", "eliza_state.storage.disk"}
SERVERS = {"sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql"}

IN_A_STORE = """
import asyncio

from eliza_modules.agent import AgentModule, AgentStarted
from eliza_state import StateManager


async def main() -> None:
    async with StateManager.open({url!r}, modules=[AgentModule()]) as manager:
        await manager.agent("eliza").dispatch(AgentStarted())


asyncio.run(main())
"""
IN_A_STORAGE = """
import asyncio

from eliza_state.storage.opening import open_backend

asyncio.run(open_backend({url!r}).close())
"""


def imported_by(script: str, folder: Path) -> set[str]:
    """Return the names of the modules that a process has imported once it has run a script."""
    script += "\nimport sys\nprint(*sys.modules)\n"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("script", "unused"),
    [
        ("import eliza_state", DRIVERS | TOOLS | DATABASES | STORAGES),
        (IN_A_STORE.format(url="memory://"), DRIVERS | TOOLS | DATABASES | STORAGES),
        (IN_A_STORE.format(url="sqlite:///state.db"), DRIVERS | TOOLS | SERVERS | STORAGES),
        (IN_A_STORAGE.format(url="sqlite:///keys.db"), DRIVERS | TOOLS | SERVERS),
        (IN_A_STORAGE.format(url="file:keys.json"), DRIVERS | TOOLS | {"eliza_state.storage.sql"}),
    ],
    ids=[
        "nothing open",
        "a store in memory",
        "a store in SQLite",
        "a storage in SQLite",
        "a storage in a file",
    ],
)
def test_only_what_is_needed_is_imported(script: str, unused: set[str], tmp_path: Path) -> None:
    imported = imported_by(script, tmp_path)

    assert "eliza_state" in imported
    assert not imported & unused
