"""Hear of changes that others make: messages that Redis publishes, on a connection that is watched."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, Final

from eliza_state.errors import StoreError
from eliza_state.storage.cache import OnChange
from eliza_state.storage.redis.entries import Names
from eliza_state.storage.redis.pool import Connection
from eliza_state.storage.redis.servers import Servers

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0
_logger = logging.getLogger(__name__)


class RedisListener:
    """Tell of every change that is published, from `open` until `close`, in the event loop that opened it.

    The connection is asked for a sign of life when it has been silent for `limit_s`, and given up when it
    gives none for as long again. Then, and when there is a new one, `on_lost` is called: what was published
    in between is gone. New connections are tried for ever, at most five seconds apart. A callback that
    raises is logged.
    """

    def __init__(
        self,
        servers: Servers,
        names: Names,
        *,
        limit_s: float,
        on_change: OnChange,
        on_lost: Callable[[], None],
    ) -> None:
        self._servers = servers
        self._names = names
        self._limit_s = limit_s
        self._on_change = on_change
        self._on_lost = on_lost
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen. Raises `StoreError` when that is not possible now; then nothing goes on."""
        connection = await self._subscribed()
        self._task = asyncio.create_task(self._listen(connection))
        try:
            await asyncio.sleep(0)
        except BaseException:
            await self.close()
            # A task that was cancelled before it began, as when its loop ends, has not closed it.
            await connection.close()
            raise

    async def close(self) -> None:
        """Stop listening; nothing is told any more. Twice does nothing."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

    async def _subscribed(self) -> Connection:
        pool = random.choice(await self._servers.pools())  # noqa: S311  # spreads listeners, keeps no secret
        connection = pool.connection(limit_s=self._limit_s)
        try:
            await connection.open()
            await connection.send("SUBSCRIBE", self._names.channel)
            if await connection.receive() is None:
                raise StoreError(f"{pool.where} did not answer in time")
        except BaseException:
            self._servers.distrust()
            await connection.close()
            raise
        return connection

    async def _listen(self, connection: Connection) -> None:
        try:
            while True:
                try:
                    await self._receive(connection)
                except StoreError as error:
                    _logger.debug("listening was interrupted: %s", error)
                await connection.close()
                self._tell(self._on_lost)
                connection = await self._reconnected()
                self._tell(self._on_lost)
        finally:
            await connection.close()

    async def _receive(self, connection: Connection) -> None:
        while True:
            message = await connection.receive()
            if message is None:
                await connection.send("PING")
                message = await connection.receive()
            if message is None:
                raise StoreError("the connection gave no sign of life")
            self._hear(message)

    async def _reconnected(self) -> Connection:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._subscribed()
            except StoreError as error:
                _logger.debug("cannot listen yet: %s", error)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _hear(self, message: Any) -> None:
        if not isinstance(message, list) or message[0] != b"message":
            return
        version, _, name = message[2].partition(b" ")
        key = self._names.full(name)
        if key is not None and version.isdigit():
            self._tell(self._on_change, key, int(version))

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:  # a caller's bug must not end the listening of others
            _logger.exception("a listener to changes in Redis failed")
