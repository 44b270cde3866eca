"""What tests of storages in Redis share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

PATIENT_MS: Final = 30_000
"""For tests of anything else than time limits: a busy machine must not look like a server that is gone."""


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait in bounded time for what a server tells nobody."""
    async with asyncio.timeout(PATIENT_MS / 1_000):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
