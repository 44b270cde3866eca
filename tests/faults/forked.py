"""Processes that are forked off the nursery, which is started when the first is asked for."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

import attrs

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = ("tests.faults.worker", "tests.faults.keys_worker", "tests.faults.puppet")
"""What processes may run: modules with `run(argument)`."""
_FOR_SERVERS: Final = (
    "eliza_state.feed.postgresql",
    "eliza_state.journal.databases.claims",
    "eliza_state.storage.redis",
)
"""What those import only when they need it."""
_LINE_BYTES: Final = 1 << 26


@functools.cache
def _nursery() -> socket.socket:
    """Start the nursery, which lives as long as this process."""
    ours, theirs = socket.socketpair()
    program = [sys.executable, "-W", "error", "-m", "tests.faults.nursery"]
    nursery = subprocess.Popen(
        [*program, str(theirs.fileno()), *MODULES, *_FOR_SERVERS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C is for the tests, which then end it
    )
    theirs.close()
    atexit.register(nursery.wait)
    atexit.register(ours.close)
    return ours


async def _reader(file: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    pipe = os.fdopen(file, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    return reader, transport


@attrs.define(eq=False)
class Forked:
    """A process that runs a module, with lines to it and from it."""

    pid: int
    _input: int | None
    _output: asyncio.StreamReader
    _end: asyncio.StreamReader
    _transports: tuple[asyncio.BaseTransport, ...]

    @classmethod
    async def start(cls, module: str, argument: str, *, errors: Path) -> Self:
        """Return when it runs; what it writes to standard error goes to the file."""
        (their_input, our_input), (our_output, their_output), (our_end, their_end) = (
            os.pipe() for _ in range(3)
        )
        theirs = [their_input, their_output, os.open(errors, os.O_WRONLY | os.O_CREAT), their_end]
        socket.send_fds(_nursery(), [json.dumps([module, argument]).encode()], theirs)
        for file in theirs:
            os.close(file)
        output, hearing = await _reader(our_output)
        end, waiting = await _reader(our_end)
        pid = int(await output.readline())
        return cls(pid, our_input, output, end, (hearing, waiting))

    async def line(self) -> bytes:
        """Return its next line; without its end, what it wrote last."""
        return await self._output.readline()

    def tell(self, line: str) -> None:
        """Write a line to it; nothing happens where it has ended."""
        assert self._input is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(self._input, f"{line}\n".encode())

    def tell_no_more(self) -> None:
        """End its input; twice does nothing."""
        if self._input is not None:
            os.close(self._input)
            self._input = None

    async def wait(self) -> int:
        """Wait until it has ended, and return with what: a number below 0 is that of a signal."""
        ended = int(await self._end.read())
        self.tell_no_more()
        for transport in self._transports:
            transport.close()
        return ended

    def send(self, number: int) -> None:
        """Send it a signal, and whoever it has started; nothing happens where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def kill(self) -> None:
        """End it at once, as the kernel would."""
        self.send(signal.SIGKILL)
        await self.wait()
