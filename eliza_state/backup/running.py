"""Running work that takes long in a thread, such that it can be given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from eliza_state.health.verifying import Progress, Told

T = TypeVar("T")


class _GivenUp(Exception):
    """Nobody waits for the outcome any more."""


async def in_thread(work: Callable[[Told], T], *, told: Told | None) -> T:
    """Run work that tells of its progress in a thread; if its caller is cancelled, it ends first."""
    is_stopped = threading.Event()

    def tell(progress: Progress) -> None:
        if is_stopped.is_set():
            raise _GivenUp
        if told is not None:
            told(progress)

    running = asyncio.ensure_future(asyncio.to_thread(work, tell))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        is_stopped.set()
        await asyncio.wait([running])
        raise
