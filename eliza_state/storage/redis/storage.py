"""A storage in Redis, Valkey or what speaks their language: one server, one under sentinels, a cluster.

>>> async with RedisStorage("redis://localhost:6379/0") as storage:
...     await storage.set("greeting", "hello", ttl_ms=60_000)

Needs Redis 6.2 or newer, or Valkey. What is stored is described in `eliza_state.storage.redis.entries`. How
durable it is, is the server's matter (`appendonly`, `appendfsync`), and replicas get it later.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakSet

from redis.asyncio import Redis, RedisCluster

from eliza_serializers import Serializer
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.storage.backend import Entry, Mark, Marks, Write, Written
from eliza_state.storage.cache import CacheBackend, Copy, OnChange
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.keys import split_key
from eliza_state.storage.redis.calls import (
    GRACE_MS,
    checked,
    copy_call,
    done,
    get,
    get_head,
    new_token,
    own_call,
    pages,
    rounds,
    settled,
)
from eliza_state.storage.redis.changes import RedisListener
from eliza_state.storage.redis.client import opener
from eliza_state.storage.redis.entries import Head, Names, copy_of, entry_of, foreign, head_of
from eliza_state.storage.redis.loops import PerLoop
from eliza_state.storage.redis.pool import Command, Unanswered
from eliza_state.storage.redis.scripts import REMOVE, TOUCH, WRITE, Script
from eliza_state.storage.redis.servers import Call, Servers
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Encoded

T = TypeVar("T")
V = TypeVar("V")

# The rest of the time is for looking what became of a write that got no answer.
_TIME_FOR_WRITING: Final = 0.75
_WAS_ALIVE: Final = 2


class RedisBackend(CacheBackend[bytes]):
    """Keep entries in Redis: its own, and copies of what lies in a layer below.

    A call waits `answer_within_ms` for the server's answer (a long one, for each page of its keys), then it
    raises `StoreError`. A write is sent once: when its answer is lost, what is stored is looked at, and what
    that does not decide raises `OutcomeUnknown`. Reads are repeated once on a broken connection.

    The server drops an entry `GRACE_MS` after its deadline, a copy when it is too old; a deadline counts by
    the clock of who reads. Every change but those to copies is published. Something else at a key, put there
    by others, raises `DamagedValue` where it is asked for; scans pass it over and removing removes it.
    Cluster: while slots are moved, a scan may miss keys in them or fail.
    """

    name = "redis"

    def __init__(
        self,
        source: str | Redis | RedisCluster,
        *,
        prefix: str = "eliza_state",
        answer_within_ms: float = 1_000,
        clock: Clock = now_us,
    ) -> None:
        super().__init__(clock=clock)
        if not 0 < answer_within_ms < math.inf:
            raise ValueError(f"a time limit is a positive number of milliseconds, got {answer_within_ms!r}")
        self._limit_s = answer_within_ms / 1_000
        self._names = Names(prefix)
        self._per_loop = PerLoop(opener(source, limit_s=self._limit_s), lambda servers: servers.close())
        self._listeners: WeakSet[RedisListener] = WeakSet()
        self._closed = False

    async def _servers(self) -> Servers:
        if self._closed:
            raise StoreError("the storage is closed; make a new one")
        return await self._per_loop.get()

    def _until_s(self) -> float:
        return asyncio.get_running_loop().time() + self._limit_s

    # reading

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        return await self._read(keys, get, entry_of)

    async def read_copies(self, keys: Sequence[str]) -> Mapping[str, Copy[bytes]]:
        return await self._read(keys, get, copy_of)

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        heads = await self._read(keys, get_head, head_of)
        return {key: head.mark for key, head in heads.items()}

    async def _read(
        self,
        keys: Sequence[str],
        command: Callable[[bytes], Command],
        parse: Callable[[str, bytes], T],
        *,
        skip_damaged: bool = False,
    ) -> dict[str, T]:
        servers = await self._servers()
        found: dict[str, T] = {}
        for page in pages(keys):
            names = [self._names.of(key) for key in page]
            answers = await servers.ask(names, [command(name) for name in names], until_s=self._until_s())
            for key, answer in zip(page, answers, strict=True):
                try:
                    if stored := checked(key, answer):
                        found[key] = parse(key, stored)
                except DamagedValue:
                    if not skip_damaged:
                        raise
        return found

    # writing

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        written: dict[int, Written] = {}
        for page in rounds([write.key for write in writes]):
            outcomes = await self._write([writes[at] for at in page])
            written.update(zip(page, outcomes, strict=True))
        return [written[at] for at in range(len(writes))]

    async def _write(self, writes: Sequence[Write[bytes]]) -> list[Written]:
        """Store entries of different keys."""
        servers = await self._servers()
        until_s = self._until_s()
        now_us = self.clock()
        tokens = [new_token() for _ in writes]
        calls = [
            own_call(write, self._names, token=token, now_us=now_us)
            for write, token in zip(writes, tokens, strict=True)
        ]
        sent_until_s = until_s - self._limit_s * (1 - _TIME_FOR_WRITING)
        answers = await servers.call(WRITE, calls, until_s=sent_until_s)
        if lost := [at for at, answer in enumerate(answers) if isinstance(answer, Unanswered)]:
            names = [calls[at].keys[0] for at in lost]
            heads = await servers.ask(names, [get_head(name) for name in names], until_s=until_s)
            for at, head in zip(lost, heads, strict=True):
                answers[at] = settled(writes[at], tokens[at], head, lost=answers[at])
        return [
            Written(version, bool(is_stored))
            for version, is_stored in map(done, (write.key for write in writes), answers)
        ]

    async def write_copies(
        self,
        writes: Sequence[Write[bytes]],
        *,
        max_age_ms: int,
        confirmed_at_ms: int | None = None,
        announce: bool = False,
    ) -> None:
        """Store copies, each with the version it has below, for `max_age_ms` at most.

        They were confirmed at `confirmed_at_ms`, by default just now. A tombstone stays for its time. A copy
        replaces one of the same version too: it was confirmed later. With `announce`, every listener is told
        of each key and version, whether or not the copy was stored. Where the server has no room, it drops
        the older entry that the copy would have replaced.
        """
        servers = await self._servers()
        for page in rounds([write.key for write in writes]):
            now_ms = self.now_ms
            calls = [
                copy_call(
                    writes[at],
                    self._names,
                    now_ms=now_ms,
                    confirmed_at_ms=now_ms if confirmed_at_ms is None else confirmed_at_ms,
                    max_age_ms=max_age_ms,
                    announce=announce,
                )
                for at in page
            ]
            answers = await servers.call(WRITE, calls, until_s=self._until_s())
            for at, answer in zip(page, answers, strict=True):
                done(writes[at].key, answer)

    # changing and removing

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        answers = await self._remove(keys, "past" if dead_only else "all")
        return sum(answer == _WAS_ALIVE for answer in answers.values())

    async def drop_copies(self, keys: Sequence[str]) -> None:
        await self._remove(keys, "copies")

    async def _remove(self, keys: Sequence[str], which: str) -> dict[str, int]:
        return await self._each(REMOVE, keys, self.now_ms, which, self._names.channel)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        answers = await self._each(TOUCH, keys, self.now_ms, GRACE_MS)
        if damaged := [key for key, answer in answers.items() if answer < 0]:
            raise foreign(damaged[0])
        return {key for key, answer in answers.items() if answer}

    async def _each(
        self, script: Script, keys: Sequence[str], *arguments: bytes | str | int
    ) -> dict[str, int]:
        """Run a script on keys and return its answer for each."""
        servers = await self._servers()
        found: dict[str, int] = {}
        by_name = {self._names.of(key): key for key in keys}
        for page in pages(list(by_name)):
            groups = servers.groups(page)
            calls = [Call(group, arguments) for group in groups]
            answers = await servers.call(script, calls, until_s=self._until_s())
            for group, answer in zip(groups, answers, strict=True):
                numbers = done(by_name[group[0]], answer)
                found.update(zip((by_name[name] for name in group), numbers, strict=True))
        return found

    # all keys

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        async for page in self._heads(space, prefix=prefix, nested=nested):
            yield [(key, head.mark) for key, head in page]

    async def scan_own(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        async for page in self._heads(space, prefix=prefix, nested=nested):
            yield [(key, head.mark) for key, head in page if head.is_home]

    async def _heads(
        self, space: str, *, prefix: str, nested: bool
    ) -> AsyncIterator[Sequence[tuple[str, Head]]]:
        keys = await self._keys(space, prefix=prefix, nested=nested)
        for page in pages(keys):
            heads = await self._read(page, get_head, head_of, skip_damaged=True)
            yield list(heads.items())

    async def _keys(self, space: str, *, prefix: str, nested: bool) -> list[str]:
        """Return the keys of a namespace. All names come first: SCAN repeats some."""
        servers = await self._servers()
        pattern = self._names.pattern(space, prefix=prefix, nested=nested)
        names: set[bytes] = set()
        try:
            # The keys of one namespace lie together.
            for pool in await servers.pools(self._names.of(f"{space}_") if space and not nested else None):
                names |= await pool.names(pattern, limit_s=self._limit_s)
        except StoreError:
            servers.distrust()
            raise
        keys = filter(None, map(self._names.full, names))
        head = space + prefix
        return [key for key in keys if key.startswith(head) and (nested or split_key(key)[0] == space)]

    async def clear(self, space: str) -> None:
        await self._remove(await self._keys(space, prefix="", nested=True), "all")

    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        """Remove what is past its deadline and was not dropped by the server itself; return those keys."""
        answers = await self._remove(await self.expired(limit=limit), "past")
        return [key for key, answer in answers.items() if answer]

    # others

    async def listen(self, on_change: OnChange, on_lost: Callable[[], None]) -> RedisListener:
        """Tell of every change from now on, as `RedisListener` does.

        Raises `StoreError` when that cannot begin now.
        """
        listener = RedisListener(
            await self._servers(), self._names, limit_s=self._limit_s, on_change=on_change, on_lost=on_lost
        )
        await listener.open()
        self._listeners.add(listener)
        return listener

    async def close(self) -> None:
        self._closed = True
        for listener in list(self._listeners):
            await listener.close()
        await self._per_loop.close()


class RedisStorage(Storage[V]):
    """Keep values in Redis or Valkey, shared by all who use the same server and `prefix`.

    `source` is a URL (`redis://`, `rediss://`, `unix://`, `redis+sentinel://host:port,…/service/db`,
    `redis+cluster://host:port,…`; see `eliza_state.storage.redis.client`), or a client of `redis.asyncio`,
    which stays the application's to close. `answer_within_ms` bounds the wait for the server's answer.
    `ttl_ms` is the default for what is set here; values are written as `Encoding` says. `close` closes the
    connections of the running event loop; those of another loop end with that one.
    """

    def __init__(
        self,
        source: str | Redis | RedisCluster,
        *,
        prefix: str = "eliza_state",
        value_type: Any = None,
        serializer: Serializer | str = "json",
        transforms: Sequence[Transform] = (),
        ttl_ms: float | None = None,
        answer_within_ms: float = 1_000,
        clock: Clock = now_us,
    ) -> None:
        encoding = Encoding[V](value_type=value_type, serializer=serializer, transforms=transforms)
        backend = RedisBackend(source, prefix=prefix, answer_within_ms=answer_within_ms, clock=clock)
        super().__init__(Encoded(backend, encoding), ttl_ms=ttl_ms)
