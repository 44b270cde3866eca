"""Wake-ups from PostgreSQL: each append notifies a channel of its schema, on which a connection listens.

What is told is the last position and who has written up to there, `"42 <writer>"`. It is told when the
append's transaction is committed, and not at all if it is not
(https://www.postgresql.org/docs/current/sql-notify.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
import socket
import threading
from collections.abc import Generator
from typing import Any, Final

import psycopg
from sqlalchemy import URL

from eliza_state.errors import StoreError
from eliza_state.feed.wake import Listener, Wake
from eliza_state.journal.databases.connecting import BoundedConnection, answer_within_ms, engine_of
from eliza_state.journal.databases.names import channel_of
from eliza_state.servers import Translation, in_store, schema_of

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0


class PostgresqlWake(Wake):
    """Tell of the commits of others, by a thread with a connection of its own.

    `writer` is who writes in this process, which is not told. A connection that has been silent for as long
    as an answer may take (`answer_within_ms` in the URL) is asked for a sign of life. A new one is tried for
    ever, at most five seconds apart.
    """

    def __init__(self, url: URL, *, writer: str) -> None:
        self.name = f"LISTEN in the schema {schema_of(url)!r}"
        self._url = url
        self._writer = f"eliza_state {writer}"
        self._answer_within_s = answer_within_ms(url) / 1_000
        self._translation = Translation(url)
        self._thread: threading.Thread | None = None

    async def open(self, listener: Listener) -> None:
        self._stopped = threading.Event()
        self._stop, self._stopping = socket.socketpair()
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._thread = threading.Thread(target=self._work, name="eliza-state-feed", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopped.set()
        self._stop.close()  # the thread, which waits at the other end, finds it readable
        await asyncio.to_thread(thread.join)
        self._stopping.close()

    # In the thread

    def _work(self) -> None:
        pause_s, is_failing = _FIRST_PAUSE_S, False
        with contextlib.suppress(RuntimeError):  # the event loop was closed, and the manager was not
            while not self._stopped.is_set():
                try:
                    with self._connected() as connection:
                        pause_s, is_failing = _FIRST_PAUSE_S, False
                        self._loop.call_soon_threadsafe(self._listener.heard, None)
                        self._hear(connection)
                except _Cut:
                    pass
                except StoreError as error:
                    if not is_failing:
                        self._loop.call_soon_threadsafe(self._listener.interrupted, error)
                    is_failing = True
                self._stopped.wait(random.uniform(pause_s / 2, pause_s))  # noqa: S311  # no secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @contextlib.contextmanager
    def _connected(self) -> Generator[BoundedConnection]:
        """Listen on a new connection. Raises `StoreError`, and `_Cut` for one that is lost later."""
        engine = engine_of(
            in_store(self._url),
            name=f"{self._writer} feed",
            read_only=True,
            lock_timeout_s=0,
            answer_within_s=self._answer_within_s,
            connections=1,
        )
        try:
            with self._translation("listen"), engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                try:
                    driver.execute(f'LISTEN "{channel_of(schema_of(self._url))}"')
                    yield driver
                except psycopg.Error as error:
                    connection.invalidate()
                    raise _Cut from error
        finally:
            engine.dispose()

    def _hear(self, connection: BoundedConnection) -> None:
        """Tell what the connection is told, until this is stopped."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stopping, selectors.EVENT_READ)
            selector.register(connection.fileno(), selectors.EVENT_READ)
            while True:
                is_silent = not selector.select(self._answer_within_s)
                if self._stopped.is_set():
                    return
                if is_silent:
                    connection.execute("SELECT 1")
                self._tell(connection)

    def _tell(self, connection: BoundedConnection) -> None:
        """Tell the last position of what has arrived from others."""
        last = 0
        for notice in connection.notifies(timeout=0):
            position, _, writer = notice.payload.partition(" ")
            if writer != self._writer and position.isdecimal():
                last = max(last, int(position))
        if last:
            self._loop.call_soon_threadsafe(self._listener.heard, last)


class _Cut(Exception):
    """The connection was lost: an answer, not an error; if there is no new one, that is told."""
