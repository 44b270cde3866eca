"""The processes of a run: started, killed, stopped for a while, started again, and never left behind."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from tests.faults.engines import Strike
from tests.faults.forked import Forked
from tests.faults.plan import Fault

PATIENCE_S: Final = 90.0


class Stuck(Exception):
    """A process did not answer in time, or ended by itself."""


class Member:
    """One process of a crew, over all its lives, which run a module; `argument` returns that of a life."""

    def __init__(self, name: str, folder: Path, module: str, argument: Callable[[int], str]) -> None:
        self.name = name
        self.folder = folder
        self.lives = 0
        self._module = module
        self._argument = argument
        self._process: Forked | None = None

    @property
    def pid(self) -> int:
        """The number of the process of this life."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Begin the next life."""
        errors = self.folder / f"{self.name}.{self.lives}.errors"
        self._process = await Forked.start(self._module, self._argument(self.lives), errors=errors)
        self.lives += 1

    async def kill(self) -> None:
        """End it at once, as the kernel would."""
        process, self._process = self._process, None
        if process is not None:
            await process.kill()

    def stop(self, *, is_stopped: bool) -> None:
        """Let it stand still, or go on."""
        if self._process is not None:
            self._process.send(signal.SIGSTOP if is_stopped else signal.SIGCONT)

    async def hear(self) -> str:
        """Return its next line; raises `Stuck`, with where it is, when none comes."""
        assert self._process is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self._process.line()
        except TimeoutError:
            raise Stuck(f"{self.name} has said nothing for {PATIENCE_S} s:\n{await self._where()}") from None
        if not line.endswith(b"\n"):
            raise Stuck(f"{self.name} has ended:\n{self._errors()}")
        return line.decode().rstrip("\n")

    def tell(self, line: str) -> None:
        """Write a line to it."""
        assert self._process is not None
        self._process.tell(line)

    def tell_no_more(self) -> None:
        """End its input."""
        assert self._process is not None
        self._process.tell_no_more()

    async def ask(self, line: str) -> Any:
        """Write a line to it and return what it answers, from JSON."""
        self.tell(line)
        return json.loads(await self.hear())

    async def end(self) -> None:
        """Wait until it has ended by itself; raises `Stuck`."""
        assert self._process is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                ended = await self._process.wait()
        except TimeoutError:
            raise Stuck(f"{self.name} does not end:\n{await self._where()}") from None
        self._process = None
        if ended:
            raise Stuck(f"{self.name} ended with {ended}:\n{self._errors()}")

    async def _where(self) -> str:
        """Return what it has written to standard error, with where each of its threads stands at last."""
        assert self._process is not None
        self._process.send(signal.SIGUSR1)  # see `tests.faults.commands`
        await asyncio.sleep(1)
        return self._errors()

    def _errors(self) -> str:
        file = self.folder / f"{self.name}.{self.lives - 1}.errors"
        return file.read_text(errors="replace")[-6_000:]

    def complaints(self) -> list[str]:
        """Return what standard error of any life tells of errors that nobody caught."""
        found: list[str] = []
        for file in sorted(self.folder.glob(f"{self.name}.*.errors")):
            text = file.read_text(errors="replace")
            if "Traceback" in text or "never retrieved" in text or "was never awaited" in text:
                found.append(f"{file.name}: {text[-3_000:]}")
        return found


@attrs.define
class Crew:
    """All processes of a run; the first one is never killed, so that its memory can be watched."""

    members: list[Member]
    killed: int = 0

    async def __aenter__(self) -> Crew:
        for member in self.members:
            await member.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in self.members:
            member.stop(is_stopped=False)
            await member.kill()

    async def ready(self) -> None:
        """Wait until the first process is at work, and so the others are about to be."""
        assert await self.members[0].hear() == "ready"

    async def rest(self) -> None:
        """Bring the processes to rest: what they have begun is over, and they begin nothing more."""
        for member in self.members:
            member.tell("rest")
        for member in self.members:
            while await member.hear() != "rested":
                pass

    @property
    def strikes(self) -> dict[str, Strike]:
        """What can befall a process."""
        return {"kill": self._kill, "kill twice": self._kill_twice, "pause": self._pause}

    def _mortal(self, fault: Fault) -> Member:
        return self.members[1 + fault.choice % (len(self.members) - 1)]

    async def _kill(self, fault: Fault) -> None:
        member = self._mortal(fault)
        await member.kill()
        self.killed += 1
        await member.start()

    async def _kill_twice(self, fault: Fault) -> None:
        """Kill a process, and the next one while it is starting."""
        await self._kill(fault)
        await asyncio.sleep(fault.length_s)
        await self._kill(fault)

    async def _pause(self, fault: Fault) -> None:
        """Let a process stand still wherever it is, with whatever lock it holds."""
        member = self.members[fault.choice % len(self.members)]
        member.stop(is_stopped=True)
        try:
            await asyncio.sleep(fault.length_s)
        finally:
            member.stop(is_stopped=False)
