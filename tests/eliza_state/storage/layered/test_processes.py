"""Writers in processes that are killed: what they were told is stored, is at home."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.eliza_state.storage.layered.site import Site, closing
from tests.forking.process import Process, start_program

WRITERS = 3
LIVES = 2
"""How many times each writer is started."""
ACKNOWLEDGED = 15
"""After how many writes a writer is killed, at the earliest."""

# Prints what was acknowledged: the key, the value and the version.
WRITER = """
import asyncio, itertools, json, sys
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.redis import RedisBackend
from eliza_state.storage.sql import SqlBackend

async def write(redis_url, home_url, name, first):
    cache = RedisBackend(redis_url, answer_within_ms=30_000)
    home = SqlBackend(home_url, synchronous="NORMAL", timeout_ms=30_000)
    store = LayeredStore(cache, home, timeouts_ms={"redis": 30_000, "sql": 30_000})
    for number in itertools.count(int(first)):
        for key in (name, "shared"):
            version = await store.set(key, [name, number])
            print(json.dumps([key, [name, number], version]), flush=True)
        counted = await store.update("counter", lambda value: value + 1, default=0)
        print(json.dumps(["counter", counted, 0]), flush=True)

asyncio.run(write(*sys.argv[1:]))
"""


@attrs.define
class Acknowledged:
    """What the writers were told."""

    newest: dict[str, tuple[int, Any]] = attrs.field(factory=dict)
    counted: list[int] = attrs.field(factory=list)

    def add(self, key: str, value: Any, version: int) -> None:
        if key == "counter":
            self.counted.append(value)
        elif version > self.newest.get(key, (0, None))[0]:
            self.newest[key] = version, value


@contextlib.contextmanager
def writer(site: Site, name: str, *, first: int) -> Iterator[Process]:
    with start_program(WRITER, site.redis_url, site.home_url, name, first) as process:
        yield process
        process.kill()


def live_and_die(site: Site, name: str, dice: random.Random) -> list[tuple[str, Any, int]]:
    """Let a writer write, kill it in the middle of something, start it again; return what it was told."""
    told: list[tuple[str, Any, int]] = []
    for _ in range(LIVES):
        with writer(site, name, first=len(told)) as process:
            lines = [process.stdout.readline() for _ in range(ACKNOWLEDGED + dice.randrange(10))]
            process.kill()
            # What stands in the pipe it was told as well, but for a line that was cut off.
            lines += [line for line in process.stdout if line.endswith("\n")]
            told += map(json.loads, lines)
    return told


@pytest.fixture
async def site(redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with closing(Site(redis_url, f"sqlite:///{tmp_path}/state.db")) as site:
        yield site


async def test_what_killed_writers_were_told_is_at_home(site: Site) -> None:
    watching = site.store()
    names = [f"writer {number}" for number in range(WRITERS)]
    told = await asyncio.gather(
        *(asyncio.to_thread(live_and_die, site, name, random.Random(name)) for name in names)
    )
    acknowledged = Acknowledged()
    for one in itertools.chain(*told):
        acknowledged.add(*one)
    counted = await watching.get("counter", consistency="home")
    home, warm = site.quiet(), site.store()
    found = {key: await home.entry(key) for key in (*names, "shared")}
    cached = {key: await warm.entry(key) for key in found}

    for entries in (found, cached):
        for key, entry in entries.items():
            version, value = acknowledged.newest[key]
            assert entry is not None
            assert entry.version >= version, "what was acknowledged is there, or what came after it"
            assert entry.version > version or entry.value == value
    assert len(set(acknowledged.counted)) == len(acknowledged.counted)
    # Some were counted whose acknowledgement was cut off.
    assert 0 <= counted - len(acknowledged.counted) <= WRITERS * LIVES
