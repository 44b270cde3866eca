"""Wake-ups through Redis or Valkey: each process publishes how far it has written, and all listen.

For stores whose database tells nobody, or not on other machines. What is published is `"42 <key>"`, the last
position and a name for who has written up to there, on a channel of the journal. It is published after the
commit: of a process that is killed in between the others hear when they look of themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from functools import partial
from typing import Final

from eliza_state.change import Change
from eliza_state.errors import StoreError
from eliza_state.feed.wake import Listener, Wake
from eliza_state.storage.redis.changes import RedisListener
from eliza_state.storage.redis.client import Opener, opener
from eliza_state.storage.redis.entries import Names
from eliza_state.storage.redis.servers import Servers

LIMIT_S: Final = 2.0
"""How long Redis may take to answer, and be silent before it is asked for a sign of life, in seconds."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0


class RedisChannel:
    """What a journal's processes say to each other through Redis.

    `epoch` names the journal, `writer` who writes in this process. Raises `ValueError` for a URL that names
    no Redis, without repeating what may be a password.
    """

    def __init__(self, url: str, *, epoch: str, writer: str) -> None:
        self.names = Names(f"eliza_state.feed.{epoch}")
        self.writer = writer
        self._open: Opener = opener(url, limit_s=LIMIT_S)
        self._servers: Servers | None = None

    @property
    def servers(self) -> Servers:
        """The servers, as talked to from the running event loop."""
        if self._servers is None:
            self._servers = self._open()
        return self._servers

    async def close(self) -> None:
        """Close the connections; they are made anew when they are needed."""
        servers, self._servers = self._servers, None
        if servers is not None:
            await servers.close()


class RedisWake(Wake):
    """Tell of what others publish."""

    def __init__(self, channel: RedisChannel) -> None:
        self.name = "what is published in Redis"
        self._channel = channel
        self._task: asyncio.Task[None] | None = None
        self._hearing: RedisListener | None = None
        self._is_lost = False

    async def open(self, listener: Listener) -> None:
        self._task = asyncio.create_task(self._begin(listener))

    async def _begin(self, listener: Listener) -> None:
        pause_s, is_failing = _FIRST_PAUSE_S, False
        hearing = RedisListener(
            self._channel.servers,
            self._channel.names,
            limit_s=LIMIT_S,
            on_change=partial(self._heard, listener),
            on_lost=partial(self._lost, listener),
        )
        while True:
            try:
                await hearing.open()
                break
            except StoreError as error:
                if not is_failing:
                    listener.interrupted(error)
                is_failing = True
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._hearing = hearing
        self._is_lost = False
        listener.heard(None)

    def _heard(self, listener: Listener, writer: str, position: int) -> None:
        if writer != self._channel.writer:
            listener.heard(position)

    def _lost(self, listener: Listener) -> None:
        """Take in that the connection was lost, or, the next time, that there is a new one."""
        self._is_lost = not self._is_lost
        if self._is_lost:
            listener.interrupted(StoreError("the connection to Redis was lost"))
        else:
            listener.heard(None)

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.close()


class RedisAnnouncer:
    """Publish how far this process has written, the last position at a time; nobody waits for it.

    What could not be published is tried again, at most five seconds apart, until `close`.
    """

    def __init__(self, channel: RedisChannel) -> None:
        self._channel = channel
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._last = self._sent = 0
        self.error: StoreError | None = None
        """Why what was to be published last is not, yet."""

    def hear(self, change: Change) -> None:
        """Announce the position of a change that this process has committed."""
        if change.origin == "local" and change.position:
            self.announce(change.position)

    def announce(self, position: int) -> None:
        """Tell the others soon."""
        self._last = max(self._last, position)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._publish())

    async def _publish(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._sent < self._last:
            is_last = self._closing.is_set()
            position = self._last
            self.error = await self._failure(position)
            if self.error is None:
                self._sent = position
                pause_s = _FIRST_PAUSE_S
            elif is_last:
                return
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._closing.wait()
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _failure(self, position: int) -> StoreError | None:
        """Publish a position; return why that failed, if it did."""
        until_s = asyncio.get_running_loop().time() + LIMIT_S
        names, servers = self._channel.names, self._channel.servers
        message = b"%d %b" % (position, names.of(self._channel.writer))
        try:
            # Any node of a cluster passes it on to all others, and another one may answer the next time.
            pool = random.choice(await servers.pools())  # noqa: S311  # spreads load, keeps no secret
        except StoreError as error:
            return error
        (answer,) = await pool.exchange([("PUBLISH", names.channel, message)], until_s=until_s)
        if not isinstance(answer, Exception):
            return None
        servers.distrust()
        return StoreError(str(answer))

    async def close(self) -> None:
        """Publish what is to be published yet, if that succeeds at once, and close the connections."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._channel.close()
