"""`SqlStorage` as a whole: what is kept, under which keys, and when it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from eliza_serializers import SerializationError
from eliza_state.errors import StoreError
from eliza_state.storage.backend import Entry
from eliza_state.storage.errors import DamagedValue, InvalidKey, StaleValue
from eliza_state.storage.keys import MAX_NAME_BYTES
from eliza_state.storage.wrappers.compression import Compression
from tests.eliza_state.storage.sql.support import OpenStorage, backend_of, ended, started

KEYS = [
    "plain",
    "two words",
    "a/b",
    "a%2Fb",
    "../../etc/passwd",
    "nul\0in the middle",
    "\0",
    "line\nbreak\ttab",
    "'; DROP TABLE eliza_state_kv; --",
    '"quoted"',
    "back\\slash",
    "%(row_name)s",
    "?",
    "NULL",
    "{a,b}",
    "😀 emoji 👩‍👩‍👧",
    "e\u0301",
    "é",
    "\U0010ffff",
    "x" * MAX_NAME_BYTES,
    "😀" * (MAX_NAME_BYTES // 4),
]


async def test_any_key_is_kept_as_it_is(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    values = {key: number for number, key in enumerate(KEYS)}
    await storage.set_many(values)
    for key in KEYS:
        await storage.update(key, lambda value: value + 100)

    expected = {key: value + 100 for key, value in values.items()}
    assert expected == await storage.get_many(KEYS)
    assert expected == {key: await storage.get(key) for key in KEYS}
    assert expected == dict([pair async for pair in storage.entries()])
    assert len(KEYS) == await storage.delete_many(KEYS)
    assert [] == [key async for key in storage.keys()]


@pytest.mark.parametrize("key", ["", "x" * 10_240, "😀" * 129, "\ud800", None, 7, b"key"])
async def test_what_is_no_key_is_refused(open_storage: OpenStorage, url: str, key: Any) -> None:
    storage = await open_storage(url)
    await storage.set("key", 1)
    for operation in (storage.get, storage.has, storage.delete, storage.touch, storage.entry):
        with pytest.raises(InvalidKey):
            await operation(key)
    with pytest.raises(InvalidKey):
        await storage.set(key, 1)

    assert 1 == await storage.get("key")


async def test_namespaces_are_kept_apart_whatever_they_are_called(
    open_storage: OpenStorage, url: str
) -> None:
    storage = await open_storage(url)
    spaces = [storage, *(storage.namespace(key) for key in KEYS), storage.namespace("a", "b")]
    for number, space in enumerate(spaces):
        await space.set("key", number)
    await storage.namespace("a").clear()

    found = [await space.get("key") for space in spaces]
    assert [*range(len(KEYS) + 1), None] == found


@pytest.mark.parametrize("value", [None, 0, "", False, {}, "\0", "x" * 1_000_000, b"\x00\xff", [1, (2,)]])
async def test_a_value_comes_back_as_it_was(open_storage: OpenStorage, url: str, value: Any) -> None:
    storage = await open_storage(url)
    await storage.set("key", value)
    missing = object()

    found = await storage.get("key", missing)
    assert (type(value), value) == (type(found), found)


# Opened again


async def test_contents_outlive_the_storage(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    await storage.set_many({"a": [1], "gone": 2})
    version = await storage.set("lives", {"n": 1}, ttl_ms=1_000_000)
    before = await storage.entry("lives")
    await storage.delete("gone")
    await storage.close()

    again = await open_storage(url)
    assert {"a": [1], "lives": {"n": 1}} == dict([pair async for pair in again.entries()])
    assert before == await again.entry("lives")
    assert version < await again.set("lives", 2, expected_version=version)


async def test_close_twice_and_use_after(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    await storage.set("key", 1)
    await storage.close()
    await storage.close()

    for operation in (storage.get("key"), storage.set("key", 2), storage.has("key"), storage.clear()):
        with pytest.raises(StoreError, match="the storage is closed; make a new one"):
            await operation


WRITE = """
import asyncio, sys
from eliza_state.storage.sql import SqlStorage

async def main():
    async with SqlStorage(sys.argv[1], timeout_ms=60_000) as storage:
        for number in range(20):
            await storage.set_many({f"{number} {each}": [number, each] for each in range(5)})
        print(await storage.set("last", "written"))

asyncio.run(main())
"""


async def test_another_process_finds_what_this_one_wrote_and_the_other_way(
    open_storage: OpenStorage, url: str
) -> None:
    storage = await open_storage(url)
    await storage.set("last", "here")
    version = int(await ended(started(WRITE, url)))

    assert 101 == len([key async for key in storage.keys()])
    assert Entry("written", version) == await storage.entry("last")


RACE = """
import asyncio, sys
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.sql import SqlStorage

async def main():
    won = 0
    async with SqlStorage(sys.argv[1], timeout_ms=60_000) as storage:
        print("open", flush=True)
        sys.stdin.readline()
        for number in range(40):
            try:
                await storage.set(f"{number}", sys.argv[2], expected_version=0)
                won += 1
            except StaleValue:
                pass
        print(won)

asyncio.run(main())
"""


async def test_of_two_processes_that_create_a_key_one_wins(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    racers = [started(RACE, url, name) for name in ("one", "another")]
    for racer in racers:
        assert "open\n" == await asyncio.to_thread(racer.stdout.readline)
    won = [int(said) for said in await asyncio.gather(*map(ended, racers))]

    winners = [value async for value in storage.values()]
    assert won == [winners.count("one"), winners.count("another")]
    assert 40 == sum(won)


# Options


@attrs.frozen
class Point:
    x: int
    y: int


async def test_values_may_be_of_one_type(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url, value_type=Point)
    await storage.set("key", Point(1, 2))

    assert Point(1, 2) == await storage.get("key")
    with pytest.raises(SerializationError):
        await storage.set("key", object())
    assert Point(1, 2) == await storage.get("key")


async def test_what_was_written_otherwise_is_damaged_and_stays(open_storage: OpenStorage, url: str) -> None:
    compressed = await open_storage(url, transforms=[Compression()])
    plain, packed = await open_storage(url), await open_storage(url, serializer="msgpack")
    await compressed.set("compressed", "x" * 10_000)
    await packed.set("packed", [1])

    with pytest.raises(DamagedValue, match="'compressed'"):
        await plain.get("compressed")
    assert [1] == await plain.get("packed")
    assert "x" * 10_000 == await compressed.get("compressed")


async def test_the_storage_s_time_to_live_holds_unless_said_otherwise(
    open_storage: OpenStorage, url: str
) -> None:
    at_us = [1_700_000_000_000_000]
    storage = await open_storage(url, ttl_ms=1_000, clock=lambda: at_us[0])
    await storage.set("default", 1)
    await storage.set("longer", 2, ttl_ms=5_000)
    await storage.set("for ever", 3, ttl_ms=None)
    at_us[0] += 1_000_000

    assert {"longer", "for ever"} == await storage.has_many(["default", "longer", "for ever"])
    assert [None, 2, 3] == [await storage.get(key) for key in ("default", "longer", "for ever")]


async def test_a_key_that_is_touched_lives_on(open_storage: OpenStorage, url: str) -> None:
    at_us = [1_700_000_000_000_000]
    storage = await open_storage(url, ttl_ms=1_000, clock=lambda: at_us[0])
    version = await storage.set("key", 1)
    at_us[0] += 900_000

    assert await storage.touch("key")
    at_us[0] += 900_000
    mark = await storage.mark("key")
    assert mark is not None
    assert (version, at_us[0] // 1_000 + 100) == (mark.version, mark.deadline_ms)


async def test_a_deleted_version_is_remembered_against_late_writers(
    open_storage: OpenStorage, url: str
) -> None:
    storage = await open_storage(url)
    version = await storage.set("key", 1)
    await storage.delete("key", expected_version=version)

    with pytest.raises(StaleValue):
        await storage.set("key", 2, expected_version=version)
    assert await storage.set("key", 3, expected_version=0) > version


async def test_it_shows_what_it_is(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)

    assert "<SqlStorage sql/'a'>" == repr(storage.namespace("a"))
    assert (True, url.startswith("sqlite")) == (storage.backend.is_durable, storage.backend.is_inline)
    assert not backend_of(storage).is_archive
