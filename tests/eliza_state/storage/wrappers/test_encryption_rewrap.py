"""Changing keys: what is stored is sealed anew, while others go on writing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.disk.archive import ArchiveStorage
from eliza_state.storage.disk.file import FileStorage
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.storage.wrappers.encryption import Encryption, Rewrapped, rewrap
from eliza_state.storage.wrappers.limit import SizeLimit
from eliza_state.storage.wrappers.measured import measured
from eliza_state.storage.wrappers.sliding import sliding
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.kept import Kept, Meddling, storage_over
from tests.eliza_state.storage.wrappers.sealing import BOTH, NEW, OLD, sealed_by, values


async def test_rewrap_seals_with_the_current_key_what_is_not(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set_many({"a": 1, "b": 2})
    storage = sealed_by(kept, BOTH)
    await storage.set("c", 3)

    assert Rewrapped(2, 1, 0, 0, ()) == await rewrap(storage)
    assert {"a": 1, "b": 2, "c": 3} == await values(sealed_by(kept, {"new": NEW}))


async def test_rewrap_twice_does_nothing_more(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1)
    storage = sealed_by(kept, BOTH)
    await rewrap(storage)
    content = kept.content("a")

    assert Rewrapped(0, 1, 0, 0, ()) == await rewrap(storage)
    assert content == kept.content("a")


async def test_rewrap_goes_through_all_namespaces_below(kept: Kept) -> None:
    old = sealed_by(kept, {"old": OLD})
    for names in ((), ("a",), ("a", "b"), ("c",)):
        await old.namespace(*names).set("k", names)
    await rewrap(sealed_by(kept, BOTH))
    new = sealed_by(kept, {"new": NEW})

    assert ("a", "b") == await new.namespace("a", "b").get("k")
    assert ("c",) == await new.namespace("c").get("k")


async def test_rewrap_of_a_namespace_leaves_the_others(kept: Kept) -> None:
    old = sealed_by(kept, {"old": OLD})
    await old.namespace("a").set("k", 1)
    await old.namespace("b").set("k", 2)

    assert 1 == (await rewrap(sealed_by(kept, BOTH).namespace("a"))).rewrapped
    assert kept.content("b/k").startswith(b"aes256gcm:old:")


async def test_rewrap_seals_plain_values_where_they_are_accepted(kept: Kept) -> None:
    await storage_over(kept, Compression()).set_many({"a": 1, "b": "x" * 1_000})
    storage = storage_over(kept, Compression(), Encryption(BOTH, accept_plain=True))

    assert 2 == (await rewrap(storage)).rewrapped
    assert {"a": 1, "b": "x" * 1_000} == await values(storage_over(kept, Compression(), Encryption(BOTH)))


async def test_rewrap_undoes_and_does_what_is_around_the_encryption(kept: Kept) -> None:
    await storage_over(kept, Encryption({"old": OLD}), Compression(threshold_bytes=0)).set("a", 1)
    storage = storage_over(kept, Encryption(BOTH), Compression(threshold_bytes=0))

    assert 1 == (await rewrap(storage)).rewrapped
    assert Rewrapped(0, 1, 0, 0, ()) == await rewrap(storage)


async def test_rewrap_keeps_times(kept: Kept, clock: ManualClock) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1, ttl_ms=60_000)
    clock.advance(ms=10_000)
    storage = sealed_by(kept, BOTH)
    before = await storage.mark("a")
    await rewrap(storage)
    after = await storage.mark("a")

    assert before is not None
    assert after is not None
    assert before[1:] == after[1:]
    assert before.version < after.version


@pytest.mark.parametrize("kind", [FileStorage, ArchiveStorage])
async def test_keys_are_changed_on_disk(tmp_path: Path, kind: Callable[..., Storage[Any]]) -> None:
    folder = tmp_path / "kept"
    async with kind(folder, transforms=[Encryption({"old": OLD})]) as storage:
        await storage.set_many({f"k{index}": index for index in range(150)}, ttl_ms=600_000)
    async with kind(folder, transforms=[Encryption(BOTH)]) as storage:
        report = await rewrap(storage)
    async with kind(folder, transforms=[Encryption({"new": NEW})]) as storage:
        found = await values(storage)

    assert Rewrapped(150, 0, 0, 0, ()) == report
    assert {f"k{index}": index for index in range(150)} == found


async def test_rewrap_leaves_what_is_past_its_deadline(kept: Kept, clock: ManualClock) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1, ttl_ms=10)
    clock.advance(ms=10)

    assert Rewrapped(0, 0, 0, 0, ()) == await rewrap(sealed_by(kept, BOTH))


async def test_rewrap_reports_what_cannot_be_read_and_leaves_it(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set_many({"a": 1, "b": 2})
    await sealed_by(kept, {"lost": b"l" * 32}).set("c", 3)
    kept.plant("d", b"json:4")
    before = {key: kept.content(key) for key in ("c", "d")}
    report = await rewrap(sealed_by(kept, BOTH))

    assert (2, 2, {"c", "d"}) == (report.rewrapped, report.failed, {error.key for error in report.failures})
    assert before == {key: kept.content(key) for key in ("c", "d")}


async def test_rewrap_names_a_hundred_failures_and_counts_the_others(kept: Kept) -> None:
    await sealed_by(kept, {"lost": b"l" * 32}).set_many({f"k{index}": index for index in range(250)})
    report = await rewrap(sealed_by(kept, BOTH))

    assert (250, 100) == (report.failed, len(report.failures))


async def test_rewrap_reports_what_is_too_large_by_now(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", "x" * 1_000)
    report = await rewrap(storage_over(kept, Encryption(BOTH), SizeLimit(100)))

    assert ["a"] == [error.key for error in report.failures]
    assert "x" * 1_000 == await sealed_by(kept, {"old": OLD}).get("a")


async def test_rewrap_finds_the_encryption_through_what_is_around_it(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1)

    assert 1 == (await rewrap(sliding(measured(sealed_by(kept, BOTH))))).rewrapped


@pytest.mark.parametrize("make", [MemoryStorage, lambda: storage_over(Kept(), Compression())])
async def test_a_storage_without_encryption_cannot_be_rewrapped(make: Callable[[], Storage[Any]]) -> None:
    with pytest.raises(ValueError, match="Encryption"):
        await rewrap(make())


async def test_a_value_written_meanwhile_is_not_overwritten(kept: Kept) -> None:
    old = sealed_by(kept, {"old": OLD})
    await old.set("a", "before")
    storage = storage_over(Meddling(kept, lambda: old.set("a", "after")), Encryption(BOTH))

    assert Rewrapped(1, 0, 0, 0, ()) == await rewrap(storage)
    assert "after" == await sealed_by(kept, {"new": NEW}).get("a")


async def test_a_touch_meanwhile_is_not_undone(kept: Kept, clock: ManualClock) -> None:
    old = sealed_by(kept, {"old": OLD})
    await old.set("a", 1, ttl_ms=1_000)
    clock.advance(ms=400)
    storage = storage_over(Meddling(kept, lambda: old.touch("a")), Encryption(BOTH))

    assert Rewrapped(1, 0, 0, 0, ()) == await rewrap(storage)
    assert clock() // 1_000 + 1_000 == (await storage.mark("a") or pytest.fail("missing")).deadline_ms


async def test_a_key_removed_meanwhile_does_not_come_back(kept: Kept) -> None:
    old = sealed_by(kept, {"old": OLD})
    await old.set("a", "before")
    storage = storage_over(Meddling(kept, lambda: old.delete("a")), Encryption(BOTH))
    await rewrap(storage)

    assert not await old.has("a")


async def test_a_key_that_another_program_writes_each_time_is_reported(kept: Kept) -> None:
    old = sealed_by(kept, {"old": OLD})
    await old.set("a", "before")
    storage = storage_over(Meddling(kept, lambda: old.set("a", "after"), times=99), Encryption(BOTH))

    assert Rewrapped(0, 0, 1, 0, ()) == await rewrap(storage)
    assert "after" == await old.get("a")


async def test_no_update_is_lost_while_keys_change(kept: Kept) -> None:
    keys = [f"k{index}" for index in range(40)]
    await sealed_by(kept, {"old": OLD}).set_many(dict.fromkeys(keys, 0))
    storage = sealed_by(kept, BOTH)

    async def count(writer: Storage[Any]) -> None:
        for turn in range(100):
            await writer.update(keys[turn % len(keys)], lambda value: value + 1)
            await asyncio.sleep(0)

    writers = [storage, sealed_by(kept, BOTH, current="old"), storage]
    await asyncio.gather(*map(count, writers), *(rewrap(storage) for _ in range(3)))
    await rewrap(storage)

    assert 300 == sum((await values(sealed_by(kept, {"new": NEW}))).values())
