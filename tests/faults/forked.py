"""Processes that run a module of this package, and answer it line by line, beside an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Final, Self

import attrs

from tests.forking.process import ROOT, forked, sources
from tests.forking.request import Request

_PROGRAM: Final = """
import importlib, sys, warnings
warnings.simplefilter("error")
importlib.import_module(sys.argv[1]).run(sys.argv[2])
"""
_LINE_BYTES: Final = 1 << 26


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
        request = Request(_PROGRAM, False, [module, argument], str(ROOT), {**os.environ, **sources()})
        pid = forked(request, theirs)
        for file in theirs:
            os.close(file)
        output, hearing = await _reader(our_output)
        end, waiting = await _reader(our_end)
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
