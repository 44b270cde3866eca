"""Bounds on what is written: refused whole, wherever the bound stands among the transforms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from eliza_state.storage import Storage
from eliza_state.storage.errors import ValueTooLarge
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.kept import Kept, storage_over


class TestLimitedStorage(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with storage_over(Kept(clock=clock), SizeLimit(1_000_000_000)) as storage:
            yield storage


@pytest.mark.parametrize("length", [0, 93])
async def test_what_is_within_the_bound_is_stored_as_it_is(length: int) -> None:
    kept = Kept()
    storage = storage_over(kept, SizeLimit(100))
    await storage.set("a", "x" * length)

    assert b'json:"%b"' % (b"x" * length) == kept.content("a")
    assert "x" * length == await storage.get("a")


async def test_what_is_above_the_bound_is_refused_with_its_key_and_size() -> None:
    storage = storage_over(Kept(), SizeLimit(100))
    with pytest.raises(ValueTooLarge) as caught:
        await storage.namespace("room").set("a", "x" * 94)

    assert ("room/a", 101, 100) == (caught.value.key, caught.value.size_bytes, caught.value.max_bytes)


async def test_what_is_refused_changes_nothing() -> None:
    storage = storage_over(Kept(), SizeLimit(100))
    await storage.set("a", 1)
    with pytest.raises(ValueTooLarge):
        await storage.set_many({"b": 2, "a": "x" * 200})

    assert {"a": 1} == {key: value async for key, value in storage.entries()}


async def test_it_measures_what_the_transforms_before_it_made() -> None:
    after = storage_over(Kept(), Compression(threshold_bytes=0), SizeLimit(100))
    before = storage_over(Kept(), SizeLimit(100), Compression(threshold_bytes=0))
    await after.set("a", "x" * 1_000)
    with pytest.raises(ValueTooLarge):
        await before.set("a", "x" * 1_000)

    assert "x" * 1_000 == await after.get("a")


async def test_one_may_stand_before_and_one_after() -> None:
    storage = storage_over(Kept(), SizeLimit(2_000), Compression(threshold_bytes=0), SizeLimit(100))
    await storage.set("a", "x" * 1_000)
    with pytest.raises(ValueTooLarge, match="2000"):
        await storage.set("a", "x" * 2_000)

    assert "x" * 1_000 == await storage.get("a")


async def test_what_is_stored_already_is_read_whatever_it_takes() -> None:
    kept = Kept()
    await storage_over(kept).set("a", "x" * 1_000)

    assert "x" * 1_000 == await storage_over(kept, SizeLimit(100)).get("a")


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_a_bound_is_at_least_one(max_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SizeLimit(max_bytes)
