"""Compression: shorter where it pays, bounded where it is undone, and no damage passes."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage import Storage
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.kept import Kept, storage_over

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"In the beginning was the word. " * 100


class TestCompressedStorage(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with storage_over(Kept(clock=clock), Compression(threshold_bytes=0)) as storage:
            yield storage


def incompressible(size_bytes: int) -> bytes:
    return bytes(index * index * 2_654_435_761 >> 13 & 0xFF for index in range(size_bytes))


async def test_what_shrinks_is_stored_shorter() -> None:
    kept = Kept()
    storage = storage_over(kept, Compression())
    await storage.set("a", "word " * 1_000)

    assert kept.content("a").startswith(b"zstd:")
    assert 200 > len(kept.content("a"))
    assert "word " * 1_000 == await storage.get("a")


@pytest.mark.parametrize(("size_bytes", "shrinks"), [(511, False), (512, True), (513, True)])
def test_the_threshold_is_the_first_length_that_is_compressed(size_bytes: int, shrinks: bool) -> None:
    assert shrinks is (Compression().seal(b"a" * size_bytes, key="a") is not None)


def test_what_does_not_shrink_stays() -> None:
    assert None is Compression(threshold_bytes=0).seal(bytes(range(256)), key="a")


def test_nothing_is_stored_longer_than_it_was() -> None:
    compression = Compression(threshold_bytes=0)
    for size_bytes in range(200):
        content = b"a" * size_bytes
        sealed = compression.seal(content, key="a")

        assert sealed is None or len(b"zstd:" + sealed) < len(content)


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from([-5, 1, 3, 19, 22]))
def test_what_goes_in_comes_out(part: bytes, times: int, level: int) -> None:
    compression = Compression(threshold_bytes=0, level=level, max_bytes=16_000)
    sealed = compression.seal(part * times, key="a")

    assert sealed is None or part * times == compression.unseal(sealed, key="a")


async def test_what_was_stored_before_is_read() -> None:
    kept = Kept()
    await storage_over(kept).set("a", "word " * 1_000)

    assert "word " * 1_000 == await storage_over(kept, Compression()).get("a")


async def test_a_frame_in_a_frame_is_refused() -> None:
    kept = Kept()
    storage = storage_over(kept, Compression(threshold_bytes=0))
    await storage.set("a", "word " * 1_000)
    kept.plant("a", b"zstd:" + (Compression(threshold_bytes=0).seal(kept.content("a") * 9, key="a") or b""))

    with pytest.raises(DamagedValue, match="twice"):
        await storage.get("a")


def test_a_bomb_is_refused_before_it_takes_its_room() -> None:
    frame = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 19})
    bomb = b"".join(frame.compress(bytes(1_000_000)) for _ in range(64)) + frame.flush()
    compression = Compression(max_bytes=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedValue, match="more than 1000000 bytes"):
            compression.unseal(bomb, key="a")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 4_000_000 > peak_bytes


def test_a_frame_that_asks_for_more_memory_than_a_value_may_take_is_refused() -> None:
    frame = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    greedy = frame.compress(TEXT) + frame.flush()

    with pytest.raises(DamagedValue, match="memory"):
        Compression(max_bytes=1_000_000).unseal(greedy, key="a")


@pytest.mark.parametrize("level", [1, 3, 22])
def test_a_value_of_the_greatest_length_is_read_again(level: int) -> None:
    content = incompressible(1_000) * 1_000
    compression = Compression(max_bytes=len(content), level=level)
    sealed = compression.seal(content, key="a")

    assert sealed is not None
    assert content == compression.unseal(sealed, key="a")


def test_what_would_not_be_read_again_is_not_compressed() -> None:
    assert None is Compression(max_bytes=1_000).seal(b"a" * 1_001, key="a")


def test_content_that_is_cut_off_anywhere_is_refused() -> None:
    compression = Compression()
    sealed = compression.seal(TEXT, key="a") or b""
    for length in range(len(sealed)):
        with pytest.raises(DamagedValue):
            compression.unseal(sealed[:length], key="a")


def test_content_that_goes_on_is_refused() -> None:
    compression = Compression()
    sealed = compression.seal(TEXT, key="a") or b""

    with pytest.raises(DamagedValue, match="end where it should"):
        compression.unseal(sealed + b"more", key="a")


@given(st.data())
def test_a_flipped_bit_never_changes_a_value(data: Any) -> None:
    compression = Compression()
    sealed = bytearray(compression.seal(TEXT, key="a") or b"")
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    # One bit of a frame's header has no meaning: then the value is the same.
    try:
        unsealed = compression.unseal(bytes(sealed), key="a")
    except DamagedValue:
        return

    assert TEXT == unsealed


@pytest.mark.parametrize(
    "make",
    [
        lambda: Compression(level=23),
        lambda: Compression(threshold_bytes=-1),
        lambda: Compression(max_bytes=0),
    ],
)
def test_absurd_options_are_refused(make: Callable[[], Compression]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
