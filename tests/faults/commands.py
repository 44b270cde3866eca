"""How a process of the harness is told what to do, and answers: a line each way."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Final

ORPHANED: Final = 3
"""What a process ends with when nobody is left to tell it anything."""


class _Short(logging.Formatter):
    """Leave tracebacks out: those on standard error are of errors that nobody has caught."""

    def formatException(self, ei: object) -> str:  # noqa: N802  # the name of the standard library
        return ""


def log_shortly() -> None:
    """Let what the package reports go to standard error, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Short())
    logging.getLogger("eliza_state").addHandler(handler)


class Commands:
    """The lines on this process's input; the process ends where they do, whatever it is doing."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        faulthandler.register(signal.SIGUSR1)  # whoever waits in vain learns where each thread stands
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    async def next(self) -> str:
        """Wait for the next line."""
        return await self._lines.get()

    def _listen(self) -> None:
        for line in _lines():
            try:
                self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
            except RuntimeError:  # the loop has been closed: it is over already
                return
        os._exit(ORPHANED)


def _lines() -> Iterator[str]:
    # Not through `sys.stdin`, whose lock a thread would hold while the interpreter ends.
    rest = b""
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode() for line in lines)


def answer(line: str) -> None:
    """Write a line to whoever started this process; blocks until there is room for it."""
    os.write(1, line.encode() + b"\n")
