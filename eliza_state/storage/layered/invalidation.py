"""Hear of what other processes write, and forget the copies in memory that this makes stale."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from eliza_state.errors import StoreError
from eliza_state.storage.cache import CacheBackend, Listener
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.front import Front
from eliza_state.storage.layered.loading import Loads
from eliza_state.storage.layered.tasks import Tasks

_RETRY_S: Final = 1.0
_logger = logging.getLogger(__name__)


class Invalidation:
    """Listen to a shared cache for as long as its owner lives, in whichever event loop that is used.

    What is announced with a higher version than the copy in memory has, drops the copy, and keeps an older
    one that is being read from being held. When something may have been missed, all copies go, and those in
    the cache itself, which is the `layer` unless it is the home, are used no more: others may have failed to
    tell it what they wrote.
    """

    def __init__(
        self,
        source: CacheBackend[bytes],
        *,
        front: Front[Any],
        loads: Loads[Any],
        tasks: Tasks,
        layer: CacheLayer | None,
    ) -> None:
        self._source = source
        self._layer = layer
        self._front = front
        self._loads = loads
        self._tasks = tasks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Listener | None = None

    def ensure(self) -> None:
        """Begin to listen in the running event loop, unless that is done."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._listener = None
            self._front.forget()
            self._tasks.spawn(self._listen())

    async def _listen(self) -> None:
        try:
            await self._begin()
            await asyncio.get_running_loop().create_future()
        finally:
            # The event loop ends, and nobody listens before there is another one.
            self._front.forget()

    async def _begin(self) -> None:
        caught_up = self._front.forget  # what was written before the first word could be heard
        while self._listener is None:
            try:
                self._listener = await self._source.listen(self._changed, self._lost)
            except StoreError as error:
                _logger.debug("cannot listen to %s yet: %s", self._source.name, error)
                caught_up = self._lost
                await asyncio.sleep(_RETRY_S)
        caught_up()

    def _lost(self) -> None:
        self._front.forget()
        if self._layer is not None:
            self._layer.distrust_older()

    def _changed(self, key: str, version: int) -> None:
        self._front.drop(key, below=version)
        self._loads.reached(key, version)

    async def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None and self._loop is asyncio.get_running_loop():
            await listener.close()
