"""A small store to make backups of, and ways to work on it in other processes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path as FilePath
from typing import Any

from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.chat import TALK, Said
from tests.forking.process import Process, run_program, start_program

WRITE = """
import asyncio, sys
from eliza_state.manager import StateManager
from tests.eliza_state.chat import OTHER, TALK, Said, modules

async def main():
    async with StateManager.open(sys.argv[1], modules=modules()) as manager:
        number = 0
        while True:
            number += 1
            change = await manager.dispatch(Said(user="ada", text=str(number) * 50), to=TALK)
            await manager.plugins["trader"].set("position", change.position)
            print(change.position, flush=True)

asyncio.run(main())
"""
"""Writes a record, then its position as a plugin's value, then says the position, for ever."""

STEP = """
import os, sys
from pathlib import Path
from eliza_state.backup.making import made
from eliza_state.backup.restoring import restored
from eliza_state.files import Files

class Killing:
    def __init__(self, left):
        self.left = left
    def step(self, *_):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), 9)

def killing(left):
    steps = Killing(left)
    class KillingFiles(Files):
        pass
    for name in ("create", "write", "sync", "close", "replace", "sync_folder", "remove", "make_folder"):
        def method(self, *arguments, _name=name, **options):
            steps.step()
            return getattr(Files, _name)(self, *arguments, **options)
        setattr(KillingFiles, name, method)
    return KillingFiles(), steps.step

def work(number, what, source, target):
    files, told = killing(number)
    if what == "backup":
        made(source, Path(f"{target}-{number}"), told, files=files)
    else:
        restored(Path(source), f"{target}-{number}/state.db", whole, replace=True, files=files)
    os._exit(0)

def whole(*_):
    pass  # nothing is killed: what a first run imports, those that follow have

what, source, target = sys.argv[1:]
if what == "backup":
    made(source, Path(f"{target}-0"), whole)
else:
    restored(Path(source), f"{target}-0/state.db", whole, replace=True)
number = 0
while True:
    number += 1
    child = os.fork()
    if not child:
        work(number, what, source, target)
    _, status = os.waitpid(child, 0)
    print(number, status, flush=True)
    if status != 9:
        break
"""
"""Makes backups, or restores, one for each step, and kills each at its step until one comes to its end."""


def url_of(folder: FilePath) -> str:
    """The store in a folder."""
    return f"sqlite:///{folder}/state.db?synchronous=NORMAL"


def make_folder(folder: FilePath) -> None:
    """Make a folder, if it is not there."""
    folder.mkdir(exist_ok=True)


async def say(folder: FilePath, count: int, *, plugin: bool = True) -> None:
    """Write records into the store in a folder, which is made if it is not there."""
    make_folder(folder)
    async with StateManager.open(url_of(folder), modules=chat.modules()) as manager:
        for number in range(count):
            change = await manager.dispatch(Said(user="ada", text=f"hello {number}"), to=TALK)
        if plugin:
            await manager.plugins["trader"].set("position", change.position)


async def told(folder: FilePath) -> tuple[int, Any]:
    """Return the position of the store in a folder, and the plugin's value."""
    async with StateManager.open(url_of(folder), modules=chat.modules()) as manager:
        state = await manager.at(TALK).state("talk")
        position = await manager.position()

        assert len(state.texts) == position
        return position, await manager.plugins["trader"].get("position")


@contextlib.contextmanager
def writing(folder: FilePath) -> Generator[Process]:
    """Let another process write, which has written when this begins; it is killed in the end."""
    with start_program(WRITE, url_of(folder)) as process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def killed_at_each_step(what: str, source: FilePath, target: FilePath) -> list[tuple[int, int]]:
    """Return the number of each step and the status of the process that was to be killed there."""
    done = run_program(STEP, what, source, target)
    assert not done.returncode, done.stderr
    steps = [line.split() for line in done.stdout.splitlines()]
    return [(int(number), int(status)) for number, status in steps]


def contents(folder: FilePath) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def names(folder: FilePath) -> list[str]:
    """Return what there is in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
