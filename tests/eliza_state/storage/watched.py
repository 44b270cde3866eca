"""Files whose writes are counted, made to wait and made to fail."""

from __future__ import annotations

import asyncio
import errno
import os
import threading

from eliza_state.files import Files, StrPath

PATIENCE_S = 30
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Watched(Files):
    """Files that count the writes, and make them wait or fail as they are told."""

    def __init__(self) -> None:
        self.replaced = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.error: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def replace(self, source: StrPath, target: StrPath) -> None:
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        super().replace(source, target)
        self.count += 1
        self.replaced.release()

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_S)

    async def until_replaced(self) -> None:
        assert await asyncio.to_thread(self.replaced.acquire, timeout=PATIENCE_S)
