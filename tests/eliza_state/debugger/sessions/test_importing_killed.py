"""An import that is killed goes on where it was."""

from __future__ import annotations

import time
from pathlib import Path as FilePath

from eliza_state.debugger import Debugger
from eliza_state.errors import StoreError
from eliza_state.journal.source import JournalSource
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.eliza_state.chat import TALK, Said, modules
from tests.eliza_state.conftest import Open
from tests.forking.process import start_program

SCRIPT = """
import asyncio, sys
from eliza_state.debugger import Debugger
from eliza_state.debugger.sessions import importing
from eliza_state.manager import StateManager
from tests.eliza_state.chat import modules

importing.BATCH = 10

async def main():
    async with StateManager.open(sys.argv[1], modules=modules()) as manager:
        await Debugger(manager).import_session(sys.argv[2])

asyncio.run(main())
"""
RECORDS = 3_000


async def test_it_goes_on_after_a_kill(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened()
    await manager.dispatch_all([(Said(user="ada", text=str(number)), TALK) for number in range(RECORDS)])
    session, url = tmp_path / "session.jsonl", f"sqlite:///{tmp_path}/target.db"
    await Debugger(manager).export_session(session)

    kill_an_import(url, tmp_path / "target.db", session)
    stored = head(url, tmp_path / "target.db")
    async with StateManager.open(url, modules=modules()) as target:
        told = await Debugger(target).import_session(session)

        assert 0 < stored == told.present
        assert stored % 10 == 0
        assert RECORDS == told.present + told.records
        assert await manager.at(TALK).state("talk") == await target.at(TALK).state("talk")


def kill_an_import(url: str, file: FilePath, session: FilePath) -> None:
    """Start an import, and kill it once it has stored something."""
    with start_program(SCRIPT, url, session) as child:
        deadline = time.monotonic() + 60
        while head(url, file) < 50 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        child.kill()


def head(url: str, file: FilePath) -> int:
    """How many records a store holds that another process may just be making."""
    if not file.exists():
        return 0
    try:
        journal = JournalSource(url=url, read_only=True, clock=lambda: 0).journal()
    except StoreError:  # it has no tables yet
        return 0
    try:
        return journal.head() if journal.knows(Path()) else 0
    finally:
        journal.close()
