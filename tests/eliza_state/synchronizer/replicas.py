"""Replicas of a chat system in files, for tests to let drift apart and bring together."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path as FilePath
from typing import Any, TypeVar

import attrs

from eliza_state.change import Record
from eliza_state.debugger import Debugger
from eliza_state.health import Finding, verify
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.synchronizer import Merged, ReplicaLog
from eliza_state.synchronizer.exchange import check
from tests.eliza_state import chat
from tests.eliza_state.chat import OTHER, TALK, Said

T = TypeVar("T")

SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US


@attrs.define
class Clock:
    """A clock that stands until it is turned."""

    us: int = START_US

    def __call__(self) -> int:
        return self.us

    def turn(self, seconds: float) -> None:
        """Turn it forward, or back."""
        self.us += int(seconds * SECOND_US)


@attrs.define
class Replica:
    """A store in a file, opened by a new manager for each piece of work."""

    file: FilePath
    clock: Clock = attrs.Factory(Clock)

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.file}?synchronous=NORMAL"

    async def use(self, work: Callable[[StateManager], Coroutine[Any, Any, T]], **options: Any) -> T:
        """Open a manager, do something with it, and close it."""
        options = {"modules": chat.modules(), "clock": self.clock, **options}
        async with StateManager.open(self.url, **options) as manager:
            return await work(manager)

    async def say(self, *texts: str, user: str = "ada", to: Path = TALK, id: str | None = None) -> None:  # noqa: A002
        """Say something, a dispatch a text."""

        async def work(manager: StateManager) -> None:
            for text in texts:
                await manager.dispatch(Said(user=user, text=text), to=to, id=id)

        await self.use(work)

    async def erase(self, path: Path = TALK) -> None:
        """Erase all there is at a path."""
        await self.use(lambda manager: manager.erase(path))

    async def go_back(self, path: Path, position: int) -> None:
        """Give a scope back the state it had at a position, or at the last one."""

        async def work(manager: StateManager) -> None:
            at = min(position, await manager.position())
            if manager.journal.knows(path):
                await Debugger(manager).restore(position=at, path=path)

        await self.use(work)

    async def texts(self, path: Path = TALK, **options: Any) -> list[str]:
        """What was said in a conversation."""

        async def work(manager: StateManager) -> list[str]:
            return list((await manager.at(path).state("talk")).texts)

        return await self.use(work, **options)

    async def records(self) -> list[Record]:
        """All records."""
        return await self.use(lambda manager: manager.root.records(limit=None))

    async def states(self, **options: Any) -> Any:
        """All states, and all that went wrong on the way."""

        async def work(manager: StateManager) -> Any:
            paths = [*TALK.chain(), OTHER]
            states = {path: await manager.at(path).state() for path in paths}
            return states, [problem.message for problem in manager.problems]

        return await self.use(work, **options)

    async def damages(self) -> tuple[Finding, ...]:
        """What is damaged in the store."""
        return (await self.use(lambda manager: verify(manager, sample=None))).findings

    def log(self, **options: Any) -> ReplicaLog:
        """Open the log."""
        return ReplicaLog(self.url, **{"clock": self.clock, "create": True, **options})

    def run(self, statement: str) -> None:
        """Change the database, behind everybody's back."""
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(statement)

    def damage(self, position: int) -> None:
        """Damage the content of a record."""
        self.run(f"UPDATE record SET payload = x'7b7d' WHERE position = {position}")

    def copy_to(self, file: FilePath) -> None:
        """Copy the file, which nobody has open, over another one."""
        if self.file.exists():
            shutil.copy(self.file, file)


def bring(sender: Replica, receiver: Replica, **options: Any) -> Merged:
    """Give a replica what it lacks, in one direction."""
    with sender.log() as log, receiver.log(**options) as other:
        check(log.summary(), other.summary(), join=True)
        for batch in log.lacking(other.summary()):
            other.receive(batch)
        return other.merge()


def meet(first: Replica, second: Replica, **options: Any) -> None:
    """Make two replicas equal."""
    bring(first, second, **options)
    bring(second, first, **options)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own."""
    return asyncio.run(work)
