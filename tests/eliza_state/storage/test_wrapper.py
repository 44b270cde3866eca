"""Backends around backends keep every promise of what they are around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from eliza_serializers import SerializationError
from eliza_state.storage import Storage
from eliza_state.storage.backend import GONE, Entry, Mark, Marks, Write, Written
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.storage.wrapper import Encoded, Wrapper
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import BackendContract, StorageContract


class Waiting(Wrapper[Any]):
    """Let others run before and after everything."""

    def __init__(self, inner: MemoryBackend[Any]) -> None:
        super().__init__(inner)
        self.is_inline = False

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[Any]]:
        await asyncio.sleep(0)
        found = await super().read(keys)
        await asyncio.sleep(0)
        return found

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        await asyncio.sleep(0)
        return await super().look(keys)

    async def write(self, writes: Sequence[Write[Any]]) -> Sequence[Written]:
        await asyncio.sleep(0)
        written = await super().write(writes)
        await asyncio.sleep(0)
        return written

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        await asyncio.sleep(0)
        return await super().remove(keys, dead_only=dead_only)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        await asyncio.sleep(0)
        return await super().touch(keys)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        async for page in super().scan(space, prefix=prefix, nested=nested):
            await asyncio.sleep(0)
            yield page

    async def clear(self, space: str) -> None:
        await asyncio.sleep(0)
        await super().clear(space)


def in_memory(clock: ManualClock, encoding: Encoding[Any] | None = None) -> MemoryBackend[Any]:
    return MemoryBackend(Table(), encoding=encoding, clock=clock)


class TestEncoded(StorageContract, BackendContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with Storage(Encoded(in_memory(clock), Encoding())) as storage:
            yield storage


class TestWrapper(StorageContract, BackendContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with Storage(Wrapper(in_memory(clock, Encoding()))) as storage:
            yield storage


class TestWrapperThatWaits(StorageContract, BackendContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with Storage(Waiting(in_memory(clock, Encoding()))) as storage:
            yield storage


@pytest.fixture
def inner() -> MemoryBackend[bytes]:
    return MemoryBackend(Table(), encoding=None, clock=ManualClock())


@pytest.fixture
def encoded(inner: MemoryBackend[bytes]) -> Encoded[Any]:
    return Encoded(inner, Encoding())


async def test_a_backend_around_another_is_what_that_one_is(inner, encoded):
    assert ("memory", False, True) == (encoded.name, encoded.is_durable, encoded.is_inline)
    assert inner.clock is encoded.clock
    assert inner is encoded.inner


async def test_a_value_lies_in_the_inner_backend_as_bytes(inner, encoded):
    await encoded.write([Write("a", [1], 2**50, 7, version=9)])

    assert {"a": Entry(b"json:[1]", 9, 2**50, 7)} == await inner.read(["a"])
    assert {"a": Entry([1], 9, 2**50, 7)} == await encoded.read(["a"])


async def test_a_tombstone_stays_one(inner, encoded):
    await encoded.write([Write("a", GONE, 2**50, 7, version=9)])

    assert {"a": Entry(GONE, 9, 2**50, 7)} == await inner.read(["a"])
    assert {"a": Entry(GONE, 9, 2**50, 7)} == await encoded.read(["a"])
    assert Entry(GONE, 9, 2**50, 7) == encoded.at_hand("a")


async def test_what_is_at_hand_in_the_inner_one_is_at_hand(encoded):
    await encoded.write([Write("a", {"b": 1})])

    assert {"b": 1} == encoded.at_hand("a").value
    assert encoded.at_hand("b") is None


async def test_no_value_is_read_to_look_at_its_mark(inner, encoded):
    await inner.write([Write("a", b"damaged", version=3)])

    assert {"a": Mark(3)} == await encoded.look(["a"])


async def test_a_damaged_value_is_told_and_can_be_overwritten(inner, encoded):
    storage = Storage(encoded)
    await inner.write([Write("a", b"json:{")])

    with pytest.raises(DamagedValue, match="the value of 'a' cannot be read"):
        await storage.get("a")
    await storage.set("a", 1)

    assert 1 == await storage.get("a")


async def test_one_value_that_cannot_be_written_stores_none(inner, encoded):
    with pytest.raises(SerializationError):
        await encoded.write([Write("a", 1), Write("b", object())])

    assert {} == await inner.read(["a", "b"])


async def test_a_wrapper_has_at_hand_only_what_it_says(inner):
    await inner.write([Write("a", b"x")])

    assert Wrapper(inner).at_hand("a") is None
    assert {"a": b"x"} == {key: entry.value for key, entry in (await Wrapper(inner).read(["a"])).items()}


@pytest.mark.parametrize("call", ["flush", "close"])
async def test_flushing_and_closing_are_passed_on(inner, encoded, call):
    passed = []

    class Told(Wrapper[bytes]):
        async def flush(self):
            passed.append("flush")

        async def close(self):
            passed.append("close")

    await getattr(Encoded(Told(inner), Encoding()), call)()

    assert [call] == passed
