"""Storages in memory that keep bytes, as those on disks and servers do, to look at and to damage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from eliza_state.clock import Clock, now_us
from eliza_state.storage import Storage
from eliza_state.storage.backend import Backend, Write, Written
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.storage.wrapper import Encoded, Wrapper


class Kept(MemoryBackend[bytes]):
    """A backend of bytes in memory."""

    def __init__(self, *, clock: Clock = now_us) -> None:
        super().__init__(Table(), encoding=None, clock=clock)

    def content(self, key: str) -> bytes:
        """What is stored under a key."""
        return self._slots[key].entry.live_value

    def plant(self, key: str, content: bytes) -> None:
        """Store bytes past all that is around."""
        self.put([Write(key, content)])


def storage_over(kept: Backend[bytes], *transforms: Transform, **options: Any) -> Storage[Any]:
    """Return a storage that keeps what goes through the transforms."""
    return Storage(Encoded(kept, Encoding(transforms=transforms)), **options)


class Meddling(Wrapper[Any]):
    """A backend where somebody else does something between a reading and the next writing."""

    def __init__(
        self, inner: Backend[Any], meddle: Callable[[], Awaitable[object]], *, times: int = 1
    ) -> None:
        super().__init__(inner)
        self._meddle = meddle
        self._times = times

    async def write(self, writes: Sequence[Write[Any]]) -> Sequence[Written]:
        if self._times:
            self._times -= 1
            await self._meddle()
        return await self.inner.write(writes)
