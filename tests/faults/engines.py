"""The stores under test, with what can befall each: its engines.

An engine is entered in the event loop of whoever runs the faults. What befalls it is by subject, and of each
subject one thing happens at a time; every fault undoes itself before it ends, so after the last one the store
is whole and within reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Self, TypeAlias

import psycopg
from sqlalchemy import make_url

from eliza_state.testing import FaultProxy
from tests.faults.plan import Fault
from tests.servers import PostgresServer, RedisServer, obtain

Strike: TypeAlias = Callable[[Fault], Awaitable[None]]
"""Let a fault happen, and return once it is over and undone."""

PATIENCE_S: Final = 30.0


class Engine:
    """A store: where workers and whoever looks at it directly find it, and what can befall it.

    `snapshots` is the place of snapshots for `StateManager.open`, `layers` those of a layered store.
    """

    name = ""
    url = ""
    direct_url = ""
    snapshots: bool | list[str] = True
    layers: tuple[str, ...] = ()
    has_cache = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.strikes: dict[str, Mapping[str, Strike]] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Start what the store needs."""

    async def left_connections(self) -> list[str]:
        """Return what is still connected to the store a while after everybody has left."""
        return []


async def _eventually_none(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Return what is found, once that is nothing or patience has ended: servers notice an end late."""
    async with asyncio.timeout(PATIENCE_S) as time:
        while True:
            found = await look()
            if not found or asyncio.get_running_loop().time() > (time.when() or 0) - 1:
                return found
            await asyncio.sleep(0.05)


class Link:
    """A network between workers and a server, with the faults that it can have."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.strikes: Mapping[str, Strike] = {
            "lose replies": self.lose_replies,
            "cut replies": self.cut_replies,
            "cut requests": self.cut_requests,
            "stall": self.stall,
            "slow down": self.slow_down,
            "reset": self.reset,
            "refuse": self.refuse,
        }

    async def lose_replies(self, fault: Fault) -> None:
        """Let some requests be done without an answer; their connections break in the end."""
        self.proxy.drop_replies(1 + fault.choice % 4)
        async with self._healed():
            await asyncio.sleep(fault.length_s)
        self.proxy.reset()

    async def cut_replies(self, fault: Fault) -> None:
        """Break connections somewhere in an answer."""
        self.proxy.cut(after_bytes=fault.choice % 300, direction="replies", count=1 + fault.choice % 3)
        async with self._healed():
            await asyncio.sleep(fault.length_s)

    async def cut_requests(self, fault: Fault) -> None:
        """Break connections somewhere in a request."""
        self.proxy.cut(after_bytes=fault.choice % 600, direction="requests", count=1 + fault.choice % 3)
        async with self._healed():
            await asyncio.sleep(fault.length_s)

    async def stall(self, fault: Fault) -> None:
        """Hold everything back; it arrives later, whoever sent it may have been killed meanwhile."""
        self.proxy.black_hole()
        async with self._healed():
            await asyncio.sleep(fault.length_s)

    async def slow_down(self, fault: Fault) -> None:
        """Let everything take its time."""
        self.proxy.delay(ms=fault.choice % 30)
        async with self._healed():
            await asyncio.sleep(fault.length_s)

    async def reset(self, _fault: Fault) -> None:
        """Break all connections."""
        self.proxy.reset()

    async def refuse(self, fault: Fault) -> None:
        """Take no new connections, and break those there are."""
        self.proxy.refuse()
        self.proxy.reset()
        async with self._healed():
            await asyncio.sleep(fault.length_s)

    @contextlib.asynccontextmanager
    async def _healed(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.proxy.heal()


class Sqlite(Engine):
    """One file that all workers share; an outsider holds its lock now and then."""

    name = "sqlite"

    async def start(self) -> None:
        self.url = self.direct_url = f"sqlite:///{self.folder / 'state.db'}"
        self.layers = (f"sqlite:///{self.folder / 'keys.db'}",)
        self.strikes["store"] = {"lock": self._lock}

    async def _lock(self, fault: Fault) -> None:
        """Hold the write lock: for some time, or for longer than workers wait for it."""
        for name in ("state.db", "keys.db"):
            file = self.folder / name
            if await asyncio.to_thread(file.exists):
                await self._hold(file, fault.length_s)

    async def _hold(self, file: Path, length_s: float) -> None:
        connection = sqlite3.connect(file, isolation_level=None, timeout=0)
        with contextlib.closing(connection), contextlib.suppress(sqlite3.OperationalError):
            connection.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(length_s)


class Postgresql(Engine):
    """A server behind a network; it is killed and started again now and then."""

    name = "postgresql"

    async def start(self) -> None:
        self.server = self._stack.enter_context(obtain(PostgresServer))
        self.direct_url = self._stack.enter_context(self.server.database())
        socket = self.server.folder / ".s.PGSQL.5432"
        link = Link(await self._stack.enter_async_context(FaultProxy(socket)))
        self._proxy = link.proxy
        place = make_url(self.direct_url).set(host=link.proxy.host, port=link.proxy.port, query={})
        self.url = place.render_as_string(hide_password=False)
        self.layers = (self.url,)
        self.strikes["store"] = {**link.strikes, "restart": self._restart, "crash": self._crash}

    async def _restart(self, _fault: Fault) -> None:
        await asyncio.to_thread(self.server.restart)

    async def _crash(self, _fault: Fault) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)

    async def left_connections(self) -> list[str]:
        return await _eventually_none(self._connections)

    async def _connections(self) -> list[str]:
        place = make_url(self.direct_url).set(drivername="postgresql").render_as_string(hide_password=False)
        query = (
            "SELECT pid || ' ' || state || ' ' || left(query, 80) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with await psycopg.AsyncConnection.connect(place, autocommit=True) as connection:
            rows = await (await connection.execute(query)).fetchall()
        return [str(row[0]) for row in rows] + ["to the proxy"] * self._proxy.open_connections


class Cached(Engine):
    """Another engine with a cache of Valkey in front of what lies beside the journal."""

    has_cache = True

    def __init__(self, folder: Path, home: Engine) -> None:
        super().__init__(folder)
        self._home = home
        self.name = f"{home.name}+redis"

    async def start(self) -> None:
        home = await self._stack.enter_async_context(self._home)
        self._server = self._stack.enter_context(obtain(RedisServer))
        link = Link(await self._stack.enter_async_context(FaultProxy(*self._server.address)))
        self._proxy = link.proxy
        self.url, self.direct_url = home.url, home.direct_url
        cache = f"redis://{link.proxy.address}/0"
        self.layers = (cache, *home.layers)
        self.snapshots = list(self.layers)
        self.strikes = {**home.strikes, "cache": {**link.strikes, "restart": self._restart}}

    async def _restart(self, _fault: Fault) -> None:
        """Start the server again; it has lost everything."""
        await asyncio.to_thread(self._server.kill)
        await asyncio.to_thread(self._server.start)

    async def left_connections(self) -> list[str]:
        return await self._home.left_connections() + await _eventually_none(self._connections)

    async def _connections(self) -> list[str]:
        return ["to the cache's proxy"] * self._proxy.open_connections


ENGINES: Final[Mapping[str, Callable[[Path], Engine]]] = {
    "sqlite": Sqlite,
    "postgresql": Postgresql,
    "sqlite+redis": lambda folder: Cached(folder, Sqlite(folder)),
    "postgresql+redis": lambda folder: Cached(folder, Postgresql(folder)),
}
"""The engines by name, each made for an empty folder."""
