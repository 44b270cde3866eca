"""Tell on the channel of a schema how far the journal has come, while nobody waits for that.

A transaction that notifies takes a lock of the whole server when it commits, and holds it until its flush is
done: told in the transaction of an append, the appends of all journals there would wait for each other. So it
is told after the commit, for many appends at a time, in a transaction that waits for no disk; it is sent on a
connection of its own, and the answer is looked at later.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.pq import ExecStatus
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from eliza_state.journal.databases.connecting import is_cut

_QUIET_S: Final = 0.002
_AT_LEAST_EACH_S: Final = 0.02
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0
_CLOSE_WITHIN_S: Final = 1.0
_TELL: Final = b"SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"


class Notices:
    """What is to be told of one journal by who writes it.

    `connect` gives a connection that is kept; `channel` is where, and `writer` who tells. One thread at a
    time uses it. A position is told once there was no other for 2 ms, and 20 ms after the first one at the
    latest. What fails is tried again for ever, at most five seconds apart.
    """

    def __init__(
        self, connect: Callable[[], Connection], *, channel: str, writer: str, answer_within_s: float
    ) -> None:
        self._connect = connect
        self._channel, self._writer = channel.encode(), writer
        self._answer_within_s = answer_within_s
        self._connection: Connection | None = None
        self._position = self._told = 0
        self._due_at = self._latest_at = 0.0
        self._sent_at: float | None = None
        self._pause_s = 0.0

    def note(self, position: int) -> None:
        """Have it told that the journal has come to a position; nothing is sent in here."""
        now = time.monotonic()
        if self._position == self._told:
            self._latest_at = now + max(self._pause_s, _AT_LEAST_EACH_S)
        self._position = max(position, self._position)
        self._due_at = min(now + max(self._pause_s, _QUIET_S), self._latest_at)

    def tell(self) -> float | None:
        """Send what is due; return in how many seconds to come again, `None`: after the next position."""
        try:
            return self._tell()
        except (psycopg.Error, SQLAlchemyError):
            self._lose()
            return self._pause_s

    def _tell(self) -> float | None:
        now = time.monotonic()
        if self._sent_at is not None and not self._is_answered():
            if now > self._sent_at + self._answer_within_s:
                raise psycopg.OperationalError("the server does not answer")
            return _AT_LEAST_EACH_S
        if self._position == self._told:
            return None
        if now < self._due_at:
            return self._due_at - now
        self._send()
        return _QUIET_S

    def _send(self) -> None:
        if self._connection is not None and is_cut(_driver(self._connection)):
            self._drop()
        if self._connection is None:
            self._connection = self._connect()
        told = f"{self._position} {self._writer}"
        _driver(self._connection).pgconn.send_query_params(_TELL, [self._channel, told.encode()])
        self._told, self._sent_at = self._position, time.monotonic()

    def _is_answered(self) -> bool:
        """Take the answer to the last notice, if it is there. Raises `psycopg.Error` where that failed."""
        assert self._connection is not None
        wire = _driver(self._connection).pgconn
        wire.consume_input()
        if wire.is_busy():
            return False
        while (result := wire.get_result()) is not None:
            if result.status != ExecStatus.TUPLES_OK:
                raise psycopg.OperationalError(wire.get_error_message())
        self._sent_at, self._pause_s = None, 0.0
        return True

    def _lose(self) -> None:
        """Give the connection up, and have what was not told for sure told again, after a pause."""
        self._drop()
        self._told, self._sent_at = 0, None
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._due_at = self._latest_at = time.monotonic() + self._pause_s

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def close(self) -> None:
        """Tell what is left, as far as the server answers soon, and give the connection up."""
        with contextlib.suppress(psycopg.Error, SQLAlchemyError):
            if self._wait() and self._position != self._told:
                self._send()
                self._wait()
        self._drop()

    def _wait(self) -> bool:
        """Wait a moment for the answer to what was sent, and tell whether there is none to come any more."""
        ends_at = time.monotonic() + _CLOSE_WITHIN_S
        with selectors.DefaultSelector() as selector:
            if self._sent_at is not None and self._connection is not None:
                selector.register(_driver(self._connection).fileno(), selectors.EVENT_READ)
            while self._sent_at is not None and not self._is_answered():
                if not selector.select(max(ends_at - time.monotonic(), 0)):
                    return False
        return True


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver: Any = connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]
