"""A cache in a layered store: its copies are used while they can be trusted, and repaired after an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from eliza_state.errors import StoreError
from eliza_state.problems import Problem
from eliza_state.storage.backend import GONE, Backend, Entry, Write
from eliza_state.storage.cache import CacheBackend, Copy
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.layered.breaker import Breaker
from eliza_state.storage.layered.layer import Layer, LayerStatus
from eliza_state.storage.layered.repairs import Repairs
from eliza_state.storage.storage import TOMBSTONE_MS

_REPAIR_PAUSE_S: Final = 0.25
_logger = logging.getLogger(__name__)


class CacheLayer(Layer[CacheBackend[bytes]]):
    """Read and write copies in a cache that may fail at any time without harm.

    A copy is used until it is `max_age_ms` old. A key whose copy could not be written is not read from the
    cache before it is repaired with what `home` says then, which begins as soon as the cache answers again.
    `keeps_own` says that keys may live in the cache and nowhere below; they are read whatever their copies.
    While it is left alone, whether it answers again is tried by nobody who waits for copies: only for keys
    that may live nowhere else.
    """

    def __init__(
        self,
        backend: CacheBackend[bytes],
        *,
        timeout_ms: float,
        breaker: Breaker,
        max_age_ms: int,
        keeps_own: bool,
        home: Layer[Backend[bytes]],
    ) -> None:
        problems = home.problems
        super().__init__(backend, role="cache", timeout_ms=timeout_ms, breaker=breaker, problems=problems)
        self.max_age_ms = max_age_ms
        self.keeps_own = keeps_own
        self._home = home
        self._repairs = Repairs()
        self._repairing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._trusted_from_ms = 0

    def status(self) -> LayerStatus:
        """Return the figures so far."""
        return attrs.evolve(super().status(), to_repair=self._repairs.count)

    async def usable(
        self, keys: Sequence[str], *, trusts: Callable[[str], bool], floor: Callable[[str], int]
    ) -> dict[str, Copy[bytes]] | None:
        """Return what the cache knows of keys; `None` when it does not tell all that only it may know.

        Copies are left out that are too old, to be repaired, of a key that `trusts` says no to, or below the
        version that a key is known to have reached, its `floor`.
        """
        asked = [key for key in keys if self.keeps_own or (trusts(key) and not self._repairs.concerns(key))]
        if not asked:
            return {}
        self._repair_soon()
        if self._is_left_alone(asked):
            return None
        try:
            copies = await self.call(self.backend.read_copies(asked))
        except DamagedValue as error:
            _logger.warning("%s: %s; its copy is not used", self.name, error)
            self.distrust([error.key])
            if self.keeps_own or error.key not in asked:
                return None
            rest = [key for key in asked if key != error.key]
            return await self.usable(rest, trusts=trusts, floor=floor)
        except StoreError as error:
            _logger.debug("%s is passed over: %s", self.name, error)
            return None
        now_ms = self.backend.now_ms
        found = {
            key: copy
            for key, copy in copies.items()
            if copy.entry.version >= floor(key)
            and (copy.entry.is_live(now_ms) if copy.is_own else trusts(key) and self._is_fresh(key, copy))
        }
        self.count(hits=len(found), asked=len(keys))
        return found

    def _is_fresh(self, key: str, copy: Copy[bytes]) -> bool:
        now_ms = self.backend.now_ms
        age_ms = now_ms - copy.confirmed_at_ms
        # A copy past its deadline may live on at home, where it was touched; one from the future says that
        # some clock is wrong, and so nothing.
        if not -self.max_age_ms < age_ms < self.max_age_ms or copy.confirmed_at_ms < self._trusted_from_ms:
            return False
        if self._repairs.concerns(key):
            return False
        return copy.entry.value is GONE or copy.entry.is_live(now_ms)

    def _is_left_alone(self, keys: Sequence[str]) -> bool:
        """Tell whether to do without the cache for now, and see to it that it is asked again in time."""
        if self.breaker.is_closed or self.keeps_own:
            return False
        self._skipped += 1
        loop = asyncio.get_running_loop()
        task = self._asking
        is_asked = task is not None and not task.done() and task.get_loop() is loop
        if self.breaker.permits and not is_asked and not self._is_closed:
            self._asking = loop.create_task(self._ask(keys))
        return True

    async def _ask(self, keys: Sequence[str]) -> None:
        try:
            await self.call(self.backend.read_copies(keys))
        except (StoreError, DamagedValue) as error:
            _logger.debug("%s was asked whether it answers again: %s", self.name, error)

    async def tell(self, writes: Sequence[Write[bytes]]) -> None:
        """Write copies of what was stored at home and announce it; what cannot be told is repaired later."""
        keys = [write.key for write in writes]
        if self._is_left_alone(keys):
            self.distrust(keys)
            return
        try:
            await self.call(self.backend.write_copies(writes, max_age_ms=self.max_age_ms, announce=True))
        except StoreError as error:
            _logger.debug("%s was not told of %d writes: %s", self.name, len(keys), error)
            self.distrust(keys)

    async def promote(self, writes: Sequence[Write[bytes]], *, confirmed_at_ms: int) -> None:
        """Write copies of what was read below, if the cache answers; they were confirmed at that time."""
        try:
            await self.call(
                self.backend.write_copies(writes, max_age_ms=self.max_age_ms, confirmed_at_ms=confirmed_at_ms)
            )
        except StoreError as error:
            _logger.debug("%s took no copies: %s", self.name, error)

    # repairing

    def distrust(self, keys: Iterable[str], *, delay_ms: float = 0) -> None:
        """Use no copies of keys until they are repaired, which begins after a delay."""
        self._repairs.add(keys, delay_ms=delay_ms)
        self._repair_soon()

    def distrust_older(self) -> None:
        """Use no copies that were confirmed before now: others may have failed to tell what they wrote."""
        self._trusted_from_ms = self.backend.now_ms

    def _repair_soon(self) -> None:
        if not self._repairs or self._is_closed:
            return
        loop = asyncio.get_running_loop()
        task = self._repairing
        if task is None or task.done() or task.get_loop() is not loop:
            self._repairing = loop.create_task(self._repair_in_time())

    async def _repair_in_time(self) -> None:
        while self._repairs:
            await asyncio.sleep(_REPAIR_PAUSE_S)
            if not self.breaker.permits:
                continue  # the home is not asked in vain
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
            try:
                await self._repair(list(due))
            except DamagedValue as error:
                # Something of somebody else's lies at one key: the others do not wait for it.
                self._repairs.add([error.key], delay_ms=TOMBSTONE_MS)
            else:
                self._repairs.done(due)

    async def _repair(self, keys: Sequence[str]) -> None:
        """Write what the home holds of keys, tombstones too: a late promotion must not undo a deletion."""
        confirmed_at_ms = self.backend.now_ms
        entries = await self._home.call(self._home.backend.read(keys))
        now_ms = self.backend.now_ms
        copies: dict[str, Write[bytes]] = {}
        for key, entry in entries.items():
            if entry.is_live(now_ms):
                copies[key] = copy_of(key, entry)
            elif entry.value is GONE:
                copies[key] = Write(key, GONE, now_ms + TOMBSTONE_MS, TOMBSTONE_MS, version=entry.version)
        if copies:
            await self.call(
                self.backend.write_copies(
                    list(copies.values()),
                    max_age_ms=self.max_age_ms,
                    confirmed_at_ms=confirmed_at_ms,
                    announce=True,
                )
            )
        if absent := [key for key in keys if key not in copies]:
            await self.call(self.backend.drop_copies(absent))

    async def forget(self) -> None:
        """Drop all copies; what is the cache's own stays. Raises `StoreError` when it does not answer."""
        async for page in self.backend.scan("", nested=True):
            await self.call(self.backend.drop_copies([key for key, _ in page]))

    async def close(self) -> None:
        """Try once to repair what can be repaired, say how much is left, and close the backend."""
        self._is_closed = True
        for task in (self._repairing, self._asking):
            if task is not None and task.get_loop() is asyncio.get_running_loop():
                task.cancel()
                await asyncio.wait([task])
        if self._repairs:
            await self._repair_at_last()
        await self.backend.close()

    async def _repair_at_last(self) -> None:
        error: Exception | None = None
        try:
            # However many keys there are, closing waits no longer than one call of the home may take.
            async with asyncio.timeout(self._home.timeout_s):
                await self.repair()
        except (StoreError, TimeoutError) as failed:
            error = failed
        if self._repairs:
            left = "all" if self._repairs.concerns_all else str(self._repairs.count)
            message = (
                f"{self.name}: {left} of its copies could not be repaired; others read them until they age"
            )
            self.problems.report(Problem("layer", message, error=error))


def copy_of(key: str, entry: Entry[bytes]) -> Write[bytes]:
    """Return the write that copies an entry."""
    return Write(key, entry.value, entry.deadline_ms, entry.ttl_ms, version=entry.version)
