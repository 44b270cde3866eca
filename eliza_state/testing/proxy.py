"""A proxy between a client and its server that loses, delays, holds back and cuts on demand.

>>> async with FaultProxy("127.0.0.1", 6379) as proxy:
...     storage = await connect(f"redis://{proxy.address}")
...     proxy.drop_replies(1)
...     await storage.set("key", "value")  # the server has done it and nobody hears of it
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import struct
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, get_args

import attrs

Direction: TypeAlias = Literal["requests", "replies"]
"""`requests` go from the client to the server, `replies` back."""

_DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
_CHUNK_BYTES: Final = 1 << 16
_QUEUE_SIZE: Final = 256
_ABORT: Final = struct.pack("ii", 1, 0)
_CAN_SHARE_PORTS: Final = hasattr(socket, "SO_REUSEPORT")

# What arrived and when, by the loop's clock; nothing at the end, or the error that was the end.
_Arrivals: TypeAlias = "asyncio.Queue[tuple[float, bytes | OSError]]"


@attrs.define(eq=False)
class _Cut:
    after_bytes: int
    connections_left: float
    passed: dict[_Connection, int] = attrs.field(factory=dict)


@attrs.define(eq=False)
class _Line:
    """What all connections share: the faults that are on, and what has passed."""

    drops: float = 0
    dropped: int = 0
    is_held: bool = False
    delay_s: dict[Direction, float] = attrs.field(factory=lambda: dict.fromkeys(_DIRECTIONS, 0.0))
    cuts: dict[Direction, _Cut] = attrs.field(factory=dict)
    passed: dict[Direction, int] = attrs.field(factory=lambda: dict.fromkeys(_DIRECTIONS, 0))
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def heal(self) -> None:
        self.drops = 0
        self.is_held = False
        self.delay_s = dict.fromkeys(_DIRECTIONS, 0.0)
        self.cuts.clear()
        self.wake()

    def wake(self) -> None:
        """Let those who wait look again at what is on."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def wait(self, direction: Direction, since_s: float) -> None:
        """Wait until what arrived at that time may go on."""
        loop = asyncio.get_running_loop()
        while True:
            left_s = since_s + self.delay_s[direction] - loop.time()
            if left_s <= 0 and not self.is_held:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self.is_held else left_s):
                    await self.changed.wait()

    def admit(self, connection: _Connection, direction: Direction, size: int) -> int:
        """Return how many of the connection's next bytes pass; where not all do, it is cut behind them."""
        cut = self.cuts.get(direction)
        if cut is not None:
            passed = cut.passed.get(connection, 0)
            cut.passed[connection] = passed + size
            if passed + size > cut.after_bytes:
                size = cut.after_bytes - passed
                cut.connections_left -= 1
                if not cut.connections_left:
                    del self.cuts[direction]
        self.passed[direction] += size
        return size

    def drops_reply(self) -> bool:
        """Tell whether the reply that begins is dropped, and count it."""
        if not self.drops:
            return False
        self.drops -= 1
        self.dropped += 1
        return True


class _Connection:
    """A client's end and a server's, and in each direction a queue of what may not pass yet."""

    def __init__(self, line: _Line, client: socket.socket, server: socket.socket) -> None:
        self._line = line
        self._server = server
        self._ends: dict[Direction, tuple[socket.socket, socket.socket]] = {
            "requests": (client, server),
            "replies": (server, client),
        }
        self._replies_next = True  # what a server sends unasked in the beginning is a reply, too
        self._drops_reply = False

    async def serve(self, target: Any) -> None:
        """Connect to the server and pass on until both have ended, or one of them fails, or a cut comes."""
        try:
            await asyncio.get_running_loop().sock_connect(self._server, target)
            async with asyncio.TaskGroup() as group:
                for direction in _DIRECTIONS:
                    arrivals: _Arrivals = asyncio.Queue(_QUEUE_SIZE)
                    group.create_task(self._take(direction, arrivals))
                    group.create_task(self._pass(direction, arrivals))
        except* EOFError:
            pass
        except* OSError:
            self.abort()

    def abort(self) -> None:
        """Let `close` reset both ends instead of ending them."""
        for end in self._ends["requests"]:
            _set(end, socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def close(self) -> None:
        for end in self._ends["requests"]:
            end.close()

    async def _take(self, direction: Direction, arrivals: _Arrivals) -> None:
        loop = asyncio.get_running_loop()
        source, _ = self._ends[direction]
        while True:
            try:
                data = await loop.sock_recv(source, _CHUNK_BYTES)
            except OSError as error:  # told on the other side, in its turn
                await arrivals.put((loop.time(), error))
                return
            if data and direction == "replies" and self._is_dropped():
                continue
            await arrivals.put((loop.time(), data))
            if not data:
                return

    def _is_dropped(self) -> bool:
        if self._replies_next:
            self._replies_next = False
            self._drops_reply = self._line.drops_reply()
        return self._drops_reply

    async def _pass(self, direction: Direction, arrivals: _Arrivals) -> None:
        loop = asyncio.get_running_loop()
        _, target = self._ends[direction]
        while True:
            since_s, data = await arrivals.get()
            await self._line.wait(direction, since_s)
            if isinstance(data, OSError):
                raise data
            if not data:
                with contextlib.suppress(OSError):  # it has gone already
                    target.shutdown(socket.SHUT_WR)
                return
            if direction == "requests":
                self._replies_next = True
            size = self._line.admit(self, direction, len(data))
            await loop.sock_sendall(target, data[:size])
            if size < len(data):
                raise EOFError


class FaultProxy:
    """Stand between clients and a server on this machine, and be what a network can be.

    `FaultProxy("127.0.0.1", 6379)` passes on to a port, `FaultProxy("/run/redis.sock")` to a unix socket.
    While it is entered it listens at `address`, a free port of the loopback interface. It can be entered
    again, in another event loop as well: at another port, with the faults and the counters that it had.

    Faults are switched on at any time, work on new connections and on those there are, add up, and last
    until `heal`. Methods belong to the thread of the event loop. Where the server cannot be reached, its
    clients are reset.
    """

    def __init__(self, target: str | os.PathLike[str], port: int | None = None) -> None:
        """Name the server; raises `ValueError` for a host without a port."""
        if port is None and os.sep not in os.fspath(target):
            raise ValueError(f"expected a host and its port, or the path of a unix socket, got {target!r}")
        self._target: Any = os.fspath(target) if port is None else (os.fspath(target), port)
        self._line = _Line()
        self._refuses = False
        self._socket: socket.socket | None = None
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self.host: Final = "127.0.0.1"
        self.port = 0
        self.connections = 0

    @property
    def address(self) -> str:
        """Where clients connect to, as `host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections there are; `connections` counts all that there were."""
        return len(self._open)

    @property
    def request_bytes(self) -> int:
        """How many bytes were passed on to the server."""
        return self._line.passed["requests"]

    @property
    def reply_bytes(self) -> int:
        """How many bytes were passed on to clients."""
        return self._line.passed["replies"]

    @property
    def dropped_replies(self) -> int:
        """How many replies were dropped."""
        return self._line.dropped

    async def __aenter__(self) -> Self:
        if self._socket is not None:
            raise RuntimeError("the proxy is running already; leave it before it is entered again")
        self._loop = asyncio.get_running_loop()
        self._line.wake()
        self._socket = self._bind(0)
        self.port = self._socket.getsockname()[1]
        if not self._refuses:
            self._listen(self._socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._socket is not None
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        ending = tuple(self._open)
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    def drop_replies(self, count: int | None = None) -> None:
        """Let requests reach the server and discard its next replies: so many, or all until `heal`.

        A reply is all that the server sends until the client sends something again, so requests in a pipeline
        have one. It passes whole or is dropped whole, the one that has begun as well. The connection stays.
        """
        self._line.drops = _number("replies", count)

    def black_hole(self) -> None:
        """Take connections and pass nothing on, in neither direction; not that a side has gone, either.

        As in a network that has fallen apart, what was sent waits and arrives after `heal`, in its order.
        """
        self._line.is_held = True

    def delay(self, *, ms: float, direction: Direction | None = None) -> None:
        """Let everything arrive so much later, in both directions or in one."""
        if ms < 0:
            raise ValueError(f"expected a delay of at least 0 ms, got {ms!r}")
        for each in _DIRECTIONS if direction is None else (_checked(direction),):
            self._line.delay_s[each] = ms / 1_000
        self._line.wake()

    def cut(self, *, after_bytes: int, direction: Direction, count: int | None = None) -> None:
        """Let so many more bytes of a connection pass in a direction; the next one closes it at both ends.

        So after 0 bytes of replies the first request is done and its client hears the connection end. Each
        connection has its own bytes; after `count` of them, or on `heal`, no more are cut.
        """
        if after_bytes < 0:
            raise ValueError(f"expected a number of bytes, got {after_bytes!r}")
        self._line.cuts[_checked(direction)] = _Cut(after_bytes, _number("connections", count))

    def reset(self) -> None:
        """Break all connections there are, with a reset (RST), and lose what is under way in them.

        A unix socket knows no reset: the server there sees the connection end.
        """
        for task, connection in self._open.items():
            connection.abort()
            task.cancel()

    def refuse(self) -> None:
        """Refuse new connections, as a server that is not running; those there are stay."""
        if not self._refuses and self._socket is not None:
            self._loop.remove_reader(self._socket)
            # Bound and not listening, it refuses, and nobody else gets the port: not even between these two.
            refusing = self._bind(self.port) if _CAN_SHARE_PORTS else None
            self._socket.close()
            self._socket = refusing or self._bind(self.port)
        self._refuses = True

    def heal(self) -> None:
        """Switch every fault off; what was held back arrives now."""
        if self._refuses and self._socket is not None:
            self._listen(self._socket)
        self._refuses = False
        self._line.heal()

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if _CAN_SHARE_PORTS:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((self.host, port))
        return bound

    def _listen(self, bound: socket.socket) -> None:
        bound.listen()
        self._loop.add_reader(bound, self._accept, bound)

    def _accept(self, listening: socket.socket) -> None:
        try:
            client, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has gone already
            return
        is_unix = isinstance(self._target, str)
        family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        for end in (client,) if is_unix else (client, server):
            _set(end, socket.IPPROTO_TCP, socket.TCP_NODELAY, struct.pack("i", 1))
        for end in (client, server):
            end.setblocking(False)
        connection = _Connection(self._line, client, server)
        task = self._loop.create_task(connection.serve(self._target))
        self._open[task] = connection
        self.connections += 1
        task.add_done_callback(lambda ended: self._open.pop(ended).close())


def _set(end: socket.socket, level: int, option: int, value: bytes) -> None:
    with contextlib.suppress(OSError):  # macOS refuses where the other side has gone already
        end.setsockopt(level, option, value)


def _checked(direction: Direction) -> Direction:
    if direction not in _DIRECTIONS:
        raise ValueError(f"expected 'requests' or 'replies', got {direction!r}")
    return direction


def _number(of: str, count: int | None) -> float:
    if count is not None and count < 1:
        raise ValueError(f"expected a number of {of} of at least 1, got {count!r}")
    return math.inf if count is None else count
