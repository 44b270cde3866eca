"""A storage in a SQL database: SQLite, PostgreSQL, MySQL, MariaDB.

>>> async with SqlStorage("sqlite:///state.db") as storage:
...     await storage.set("greeting", "hello")
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Engine, Executable

from eliza_serializers import Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.sqlite import Synchronous
from eliza_state.storage.backend import Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.expiry import check_ttl
from eliza_state.storage.sql.batch import Batch
from eliza_state.storage.sql.database import Options, Session, mark_of, patiently
from eliza_state.storage.sql.opening import open_database
from eliza_state.storage.sql.scan import scans_of
from eliza_state.storage.sql.server import READERS
from eliza_state.storage.sql.writer import Writer
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Encoded

T = TypeVar("T")
V = TypeVar("V")

# A transaction that sweeps holds up those that write.
_SWEPT_AT_ONCE: Final = 1_000


class SqlBackend(Backend[bytes]):
    """Keep entries in a table of a SQL database, which several processes may share.

    It belongs to no event loop: one may come after the other. Opening connects and creates the table if it
    is not there, and blocks meanwhile. For the parameters see `SqlStorage`.
    """

    name = "sql"

    def __init__(
        self,
        url: str | URL | Engine,
        *,
        table: str = "eliza_state_kv",
        synchronous: Synchronous = "FULL",
        read_only: bool = False,
        readers: int | None = None,
        timeout_ms: int = 5_000,
        sweep_interval_ms: float | None = None,
        clock: Clock = now_us,
    ) -> None:
        super().__init__(clock=clock)
        options = Options(
            synchronous=synchronous,
            read_only=read_only,
            readers=readers,
            timeout_ms=timeout_ms,
            sweep_interval_ms=sweep_interval_ms,
        )
        self._database = open_database(url, table, options)
        self.is_inline = self._database.is_inline
        self.is_durable = self._database.is_durable
        self._read_only = read_only
        self._timeout_s = options.timeout_s
        self._is_closed = False
        self._threads = ThreadPoolExecutor(readers or READERS, thread_name_prefix="eliza-storage-reader")
        self._writer = Writer(
            self._database,
            clock=clock,
            timeout_s=options.timeout_s,
            on_end=self._threads.shutdown,
            on_idle=None if sweep_interval_ms is None else self._sweep_some,
            interval_s=None if sweep_interval_ms is None else sweep_interval_ms / 1_000,
        )

    # Reading

    def at_hand(self, key: str) -> Entry[bytes] | None:
        return self._database.at_hand(key) if self.is_inline and not self._is_closed else None

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        if self.is_inline and not self._is_closed:
            return self._database.read(keys)
        return await self._in_thread(self._database.read, keys)

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        if self.is_inline and not self._is_closed:
            return self._database.look(keys)
        return await self._in_thread(self._database.look, keys)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        for scan in scans_of(self._database.statements, space, prefix=prefix, nested=nested):
            while scan.parameters is not None:
                rows = await self._fetch(scan.statement, scan.parameters)
                page = [(space + name, mark_of(space + name, *mark)) for space, name, *mark in rows]
                scan.go_on(page)
                if page:
                    yield page

    async def expired(self, *, limit: int = 10_000) -> list[str]:
        parameters = {"now_ms": self.now_ms, "limit": limit}
        rows = await self._fetch(self._database.statements.expired, parameters)
        return [space + name for space, name in rows]

    async def _fetch(self, statement: Executable, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        if not self.is_inline:
            return await self._in_thread(self._database.fetch, statement, parameters)
        await asyncio.sleep(0)  # others take turns with a long scan
        self._check_open()
        return self._database.fetch(statement, parameters)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        self._check_open()
        # The wait for a thread counts: while there is no connection, a thousand readers end as soon as one.
        attempts = partial(
            patiently,
            partial(function, *arguments),
            timeout_s=self._timeout_s,
            since_s=time.monotonic(),
        )
        return await asyncio.get_running_loop().run_in_executor(self._threads, attempts)

    # Writing

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        self._check_writable()
        return await self._writer.put(writes)

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        def act(batch: Batch) -> int:
            return sum(batch.remove(key, dead_only=dead_only) for key in keys)

        return await self._change(keys, act)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        def act(batch: Batch) -> set[str]:
            return {key for key in keys if batch.touch(key)}

        return await self._change(keys, act)

    async def _change(self, keys: Sequence[str], act: Callable[[Batch], T]) -> T:
        self._check_writable()
        return await self._writer.write(keys, act)

    async def clear(self, space: str) -> None:
        self._check_writable()
        await self._writer.alone(lambda session: session.clear(space))

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        self._check_writable()
        swept: list[str] = []
        while (left := min(_SWEPT_AT_ONCE, limit - len(swept))) > 0:
            some = await self._writer.alone(partial(self._swept, limit=left))
            swept += some
            if len(some) < left:
                break
        return swept

    def _swept(self, session: Session, *, limit: int) -> list[str]:
        return session.sweep(self.now_ms, limit=limit)

    def _sweep_some(self, session: Session) -> bool:
        return len(self._swept(session, limit=_SWEPT_AT_ONCE)) == _SWEPT_AT_ONCE

    async def expunge(self) -> bool:
        self._check_writable()
        return await self._in_thread(self._database.expunge)

    async def free_bytes(self) -> int:
        return await self._in_thread(self._database.free_bytes)

    async def give_back(self, *, max_bytes: int) -> int:
        self._check_writable()
        return await self._in_thread(partial(self._database.give_back, max_bytes=max_bytes))

    async def close(self) -> None:
        self._is_closed = True
        await self._writer.close()

    def _check_writable(self) -> None:
        self._check_open()
        if self._read_only:
            raise StoreError("the storage was opened to be read only; open it again to write")

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the storage is closed; make a new one")


class SqlStorage(Storage[V]):
    """Keep values in a table of a SQL database: SQLite, PostgreSQL (psycopg), MySQL or MariaDB.

    `url` is what SQLAlchemy takes; `sqlite://` is a database in memory, gone with the storage. An engine is
    the application's, which closes it. The `table` is created if it is not there. `value_type`, `serializer`
    and `transforms` say how values become bytes (`eliza_state.storage.encoding`), `ttl_ms` how long they
    live unless said otherwise.

    With `sweep_interval_ms`, what is past its deadline is removed that often, by a thread; without it, by
    `sweep()` only. A lock that somebody else holds (`Busy`) and a lost connection are waited out for
    `timeout_ms`; on an engine of the application's, the server decides how long it waits for a lock.
    In SQLite, `synchronous` is `FULL` (what is acknowledged survives a power cut) or `NORMAL` (a killed
    process). On a server, up to `readers` threads read at once (4 unless said otherwise). With `read_only`
    nothing is created or written, and what would write raises `StoreError`.

    Where the connection was lost while a write was committed, it is found out whether that was done; what
    cannot be found out raises `OutcomeUnknown`. Any other error means that nothing was stored. PostgreSQL
    tells it of what has removed keys, or made new ones under a condition; else versions tell it, but for keys
    that others have written since, and for new ones that are not there: others may have removed them.

    Opening connects, and blocks meanwhile. It raises `StoreError` for a database that cannot be used and for
    a table of other columns, `ValueError` for options that do not fit the database.
    """

    def __init__(  # noqa: PLR0913  # all but the first have defaults, and few are ever given
        self,
        url: str | URL | Engine,
        *,
        table: str = "eliza_state_kv",
        value_type: Any = None,
        serializer: Serializer | str = "json",
        transforms: Sequence[Transform] = (),
        ttl_ms: float | None = None,
        sweep_interval_ms: float | None = None,
        synchronous: Synchronous = "FULL",
        read_only: bool = False,
        readers: int | None = None,
        timeout_ms: int = 5_000,
        clock: Clock = now_us,
    ) -> None:
        check_ttl(ttl_ms)  # before there is a database to close
        encoding = Encoding[V](value_type=value_type, serializer=serializer, transforms=transforms)
        backend = SqlBackend(
            url,
            table=table,
            synchronous=synchronous,
            read_only=read_only,
            readers=readers,
            timeout_ms=timeout_ms,
            sweep_interval_ms=sweep_interval_ms,
            clock=clock,
        )
        super().__init__(Encoded(backend, encoding), ttl_ms=ttl_ms)
