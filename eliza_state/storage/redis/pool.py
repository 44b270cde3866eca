"""One Redis server, asked over a few connections, each question once.

redis-py's clients send a command again when its reply is lost (8.1: up to ten times by default); its
connections do not, so it is connections that are used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeAlias

from redis.asyncio import ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)

from eliza_state.errors import StoreError
from eliza_state.storage.time_limit import TimeLimits

Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command's name and its arguments."""

MAX_CONNECTIONS: Final = 32
"""How many connections to one server there are at most; who comes later waits for one."""

_SCANNED_AT_ONCE: Final = 1_000
_CODES: Final[dict[type[Exception], str]] = {
    ReadOnlyError: "READONLY",
    OutOfMemoryError: "OOM",
    AuthenticationError: "NOAUTH",
    NoPermissionError: "NOPERM",
    BusyLoadingError: "LOADING",
}
_ADVICE: Final = {
    "READONLY": "it is a replica, which takes no writes; connect to the primary",
    "OOM": "it has no memory left and may evict nothing; raise its maxmemory or choose an eviction policy",
    "NOAUTH": "it does not accept the credentials, or asks for some; give them in the URL",
    "ACL failure": "the user may not do that; grant the keys, the channel and the commands",
    "NOPERM": "the user may not do that; grant the keys, the channel and the commands",
    "LOADING": "it is still loading its data; try again in a while",
    "MISCONF": "it cannot save its data and so takes no writes; see its log",
    "CLUSTERDOWN": "the cluster does not serve all slots; see CLUSTER INFO",
}


class Unsent(StoreError):
    """The command never reached the server."""


class Unanswered(StoreError):
    """The command was sent and no answer came: it may or may not have been done."""


def refusal(error: Exception, *, where: str) -> StoreError:
    """Return the error for what a server answered, or for why it could not be asked."""
    text = str(error)
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")
    # Servers before 7 wrap what a script ran into in a text of their own.
    code = code or next((code for code in _ADVICE if code in text), "")
    return StoreError(f"{where} refuses: {_ADVICE[code]} ({text})" if code else f"{where}: {text}")


async def _sent(sending: Awaitable[None]) -> None:
    try:
        await sending
    except AttributeError as error:
        # In Python 3.12.1 `writelines` of a transport that was closed fails so, where others tell of it.
        raise RedisConnectionError("the connection was closed") from error


class Pool:
    """The connections to one server.

    `pool` is redis-py's; one that is not `owned` is not closed here. `where` names the server in errors.
    """

    def __init__(self, pool: ConnectionPool, *, where: str, owned: bool = True) -> None:
        self.where = where
        self._pool: Any = pool
        self._owned = owned
        self._limits = TimeLimits()
        self._turns = asyncio.Semaphore(min(MAX_CONNECTIONS, pool.max_connections))
        self._answered_at_s = 0.0
        self._is_closed = False

    async def exchange(self, commands: Sequence[Command], *, until_s: float) -> list[Any]:
        """Send commands together and return the answer to each; until a time of the event loop's clock.

        An answer may be `ResponseError` or `StoreError` (the server refuses), of the latter `Unsent` or
        `Unanswered`. No connection is used again on which an answer is outstanding.
        """
        answers: list[Any] = []
        is_sent = False
        try:
            if self._turns.locked():
                until_s = await self._wait_for_turn(until_s)
            else:
                await self._turns.acquire()
            try:
                with self._limits.until(until_s):
                    connection = await self._pool.get_connection()
                    try:
                        is_sent = True
                        await _sent(connection.send_packed_command(connection.pack_commands(commands)))
                        await self._receive(connection, len(commands), answers)
                    finally:
                        await self._release(connection)
            finally:
                self._turns.release()
        except TimeoutError:
            problem = f"{self.where} did not answer in time"
        except (RedisError, OSError) as error:
            problem = str(refusal(error, where=self.where))
        else:
            self._answered_at_s = asyncio.get_running_loop().time()
            return answers
        kind = Unanswered if is_sent else Unsent
        return answers + [kind(problem) for _ in range(len(commands) - len(answers))]

    async def _release(self, connection: Any) -> None:
        await self._pool.release(connection)
        if self._is_closed:  # since this one began to connect: it was not among those that were closed
            await connection.disconnect(nowait=True)

    async def _receive(self, connection: Any, count: int, answers: list[Any]) -> None:
        for _ in range(count):
            try:
                answers.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                answers.append(error)
            except (AuthenticationError, BusyLoadingError) as error:
                # Answers as well, but redis-py drops the connection with them, and what follows is lost.
                answers.append(refusal(error, where=self.where))
                raise
            except RedisError as error:
                # So redis-py tells of a primary under sentinels that has become a replica.
                if isinstance(error.__context__, ReadOnlyError):
                    answers.append(error.__context__)
                raise

    async def _wait_for_turn(self, until_s: float) -> float:
        """Wait for a connection and return until when to use it: a server that answers others has time."""
        loop = asyncio.get_running_loop()
        limit_s = until_s - loop.time()
        while True:
            try:
                with self._limits.until(until_s):
                    await self._turns.acquire()
            except TimeoutError:
                if self._answered_at_s + limit_s < until_s:
                    raise
                until_s = loop.time() + limit_s
            else:
                return max(until_s, self._answered_at_s + limit_s)

    def connection(self, *, limit_s: float) -> Connection:
        """Return a new connection outside of the others, to be opened and closed by who asks for it."""
        return Connection(self._pool.make_connection(), where=self.where, limit_s=limit_s)

    async def names(self, pattern: bytes, *, limit_s: float) -> set[bytes]:
        """Return the names on this server that match a glob pattern; raises `StoreError`.

        One connection sees it through: the cursor of a scan means nothing to the server that takes over
        after a failover, or to this one after a restart.
        """
        connection = self.connection(limit_s=limit_s)
        names: set[bytes] = set()
        cursor: bytes | int = 0
        try:
            await connection.open()
            while True:
                cursor, page = await connection.ask(
                    "SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE
                )
                names.update(page)
                if not int(cursor):
                    return names
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close the connections, where they are owned."""
        if self._owned:
            self._is_closed = True
            await self._pool.aclose()


class Connection:
    """A connection of its own, on which one question is asked at a time. Raises `StoreError`."""

    def __init__(self, connection: Any, *, where: str, limit_s: float) -> None:
        self._connection = connection
        self._where = where
        self._limit_s = limit_s
        self._limits = TimeLimits()

    async def open(self) -> None:
        """Connect."""
        await self._within_limit(self._connection.connect())

    async def send(self, *command: bytes | str | int) -> None:
        """Send a command whose answer `receive` gets."""
        await self._within_limit(_sent(self._connection.send_command(*command, check_health=False)))

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command and return its answer."""
        await self.send(*command)
        return await self._within_limit(self._connection.read_response(disable_decoding=True))

    async def receive(self) -> Any:
        """Return what comes next, `None` when that takes longer than the limit."""
        return await self._translated(
            self._connection.read_response(
                disable_decoding=True, timeout=self._limit_s, disconnect_on_error=False, push_request=True
            )
        )

    async def close(self) -> None:
        """Close the connection at once."""
        await self._connection.disconnect(nowait=True)

    async def _within_limit(self, awaitable: Any) -> Any:
        try:
            with self._limits.within(self._limit_s):
                return await self._translated(awaitable)
        except TimeoutError:
            raise StoreError(f"{self._where} did not answer in time") from None

    async def _translated(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (RedisError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise refusal(error, where=self._where) from error
