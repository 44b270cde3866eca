"""A cache in a layered store: its copies are used while they can be trusted, and repaired after an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeAlias

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Write
from eliza_state.storage.cache import CacheBackend, Copy
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.layered.breaker import Breaker
from eliza_state.storage.layered.layer import Layer, LayerStatus
from eliza_state.storage.layered.repairs import Repairs

Newest: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Write[bytes]]]]
"""Return copies of those of the keys that are alive at home."""

_REPAIR_PAUSE_S: Final = 0.25
_logger = logging.getLogger(__name__)


class CacheLayer(Layer[CacheBackend[bytes]]):
    """Read and write copies in a cache that may fail at any time without harm.

    A copy is used until it is `max_age_ms` old. A key whose copy could not be written is not read from the
    cache before it is repaired, which begins as soon as the cache answers again; `newest` says what is at
    home then.
    """

    def __init__(
        self,
        backend: CacheBackend[bytes],
        *,
        timeout_ms: float,
        breaker: Breaker,
        max_age_ms: int,
        newest: Newest,
    ) -> None:
        super().__init__(backend, role="cache", timeout_ms=timeout_ms, breaker=breaker)
        self.max_age_ms = max_age_ms
        self._newest = newest
        self._repairs = Repairs()
        self._repairing: asyncio.Task[None] | None = None

    def status(self, *, to_repair: int = 0) -> LayerStatus:
        """Return the figures so far."""
        return super().status(to_repair=self._repairs.count)

    async def usable(
        self, keys: Sequence[str], *, floor: Callable[[str], int], own_only: bool = False
    ) -> dict[str, Copy[bytes]] | None:
        """Return what the cache knows of keys, as far as it can be trusted; `None` when it does not answer.

        `floor` gives the version that a key is known to have reached. With `own_only` copies are left out.
        """
        asked = [key for key in keys if own_only or not self._repairs.concerns(key)]
        if not asked:
            return {}
        try:
            copies = await self.call(self.backend.read_copies(asked))
        except DamagedValue as error:
            _logger.warning("%s: %s; its copy is not used", self.name, error)
            self.distrust([error.key])
            rest = [key for key in asked if key != error.key]
            return await self.usable(rest, floor=floor, own_only=own_only) if rest != asked else None
        except StoreError as error:
            _logger.debug("%s is passed over: %s", self.name, error)
            return None
        now_ms = self.backend.now_ms
        found = {
            key: copy
            for key, copy in copies.items()
            if (copy.entry.is_live(now_ms) if copy.is_own else not own_only and self._is_fresh(copy, now_ms))
            and copy.entry.version >= floor(key)
        }
        self.count(hits=len(found), asked=len(keys))
        return found

    def _is_fresh(self, copy: Copy[bytes], now_ms: int) -> bool:
        age_ms = now_ms - copy.confirmed_at_ms
        # A copy past its deadline may live on at home, where it was touched; one from the future says that
        # some clock is wrong, and so nothing.
        if not -self.max_age_ms < age_ms < self.max_age_ms:
            return False
        return copy.entry.value is GONE or copy.entry.is_live(now_ms)

    async def tell(self, writes: Sequence[Write[bytes]]) -> None:
        """Write copies of what was stored at home and announce it; what cannot be told is repaired later."""
        keys = [write.key for write in writes]
        try:
            await self.call(self.backend.write_copies(writes, max_age_ms=self.max_age_ms, announce=True))
        except StoreError as error:
            _logger.debug("%s was not told of %d writes: %s", self.name, len(keys), error)
            self.distrust(keys)
        except BaseException:
            self.distrust(keys)
            raise

    async def promote(self, writes: Sequence[Write[bytes]]) -> None:
        """Write copies of what was read below, if the cache answers."""
        try:
            await self.call(self.backend.write_copies(writes, max_age_ms=self.max_age_ms))
        except StoreError as error:
            _logger.debug("%s took no copies: %s", self.name, error)

    def distrust(self, keys: Iterable[str], *, delay_ms: float = 0) -> None:
        """Use no copies of keys until they are repaired, which begins after a delay."""
        self._repairs.add(keys, delay_ms=delay_ms)
        loop = asyncio.get_running_loop()
        task = self._repairing
        if task is None or task.done() or task.get_loop() is not loop:
            self._repairing = loop.create_task(self._repair_in_time())

    async def _repair_in_time(self) -> None:
        while self._repairs:
            await asyncio.sleep(_REPAIR_PAUSE_S)
            try:
                await self.repair()
            except StoreError as error:
                _logger.debug("%s is repaired later: %s", self.name, error)

    async def repair(self) -> None:
        """Repair what can be repaired now. Raises `StoreError` when the cache or the home does not answer."""
        if self._repairs.concerns_all:
            await self.forget()
            self._repairs.done_with_all()
        while due := self._repairs.due():
            newest = await self._newest(list(due))
            if newest:
                await self.call(self.backend.write_copies(newest, max_age_ms=self.max_age_ms, announce=True))
            # No tombstones: the key may be the cache's own by now.
            alive = {write.key for write in newest}
            if gone := [key for key in due if key not in alive]:
                await self.call(self.backend.drop_copies(gone))
            self._repairs.done(due)

    async def forget(self) -> None:
        """Drop all copies; what is the cache's own stays. Raises `StoreError` when it does not answer."""
        async for page in self.backend.scan("", nested=True):
            await self.call(self.backend.drop_copies([key for key, _ in page]))

    async def close(self) -> None:
        """End the repairs and close the backend."""
        task = self._repairing
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])
        await self.backend.close()
