"""One entry of an archive as a file."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.disk.archive_entry import (
    START_BYTES,
    Header,
    LaterFormat,
    Unreadable,
    check_level,
    compress,
    decompress,
    pack,
    place_of,
    read_header,
    read_whole,
)
from eliza_state.storage.errors import InvalidKey

CONTENT = b"a value " * 20


def packed(content: bytes = CONTENT, *, key: str = "a", version: int = 1) -> bytes:
    stored = compress(content, level=3)
    header = Header(key, version, size_bytes=len(content), stored_bytes=len(stored), deadline_ms=5)
    return pack(header, stored)


def start_of(file: bytes, limit: int) -> bytes:
    return file[:limit]


def unpacked(file: bytes) -> tuple[Header, bytes]:
    header, stored = read_whole(partial(start_of, file))
    return header, decompress(header, stored)


@given(st.binary(max_size=300), st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_what_is_packed_is_unpacked(content: bytes, key: str) -> None:
    header, found = unpacked(packed(content, key=key))

    assert (key, 1, 5, content) == (header.key, header.version, header.deadline_ms, found)


@pytest.mark.parametrize("size", [0, START_BYTES - 200, START_BYTES, 3 * START_BYTES, 1_000_000])
def test_any_length_is_read_whole(size: int) -> None:
    content = bytes(number * 7 % 251 ^ number >> 8 & 255 for number in range(size))

    assert content == unpacked(packed(content))[1]


@pytest.mark.parametrize("bit", [1, 128])
def test_no_changed_bit_passes(bit: int) -> None:
    file = packed()
    for place in range(len(file)):
        changed = bytearray(file)
        changed[place] ^= bit
        with pytest.raises((Unreadable, LaterFormat)):
            unpacked(bytes(changed))


def test_no_file_that_was_cut_short_passes() -> None:
    file = packed()
    for size in range(len(file)):
        for torn in (file[:size], file[:size].ljust(len(file), b"\0")):
            with pytest.raises(Unreadable):
                unpacked(torn)


@pytest.mark.parametrize("size", [100, 3 * START_BYTES])
def test_what_follows_the_end_is_noticed(size: int) -> None:
    file = packed(bytes(number * 7 % 251 for number in range(size)))

    with pytest.raises(Unreadable, match="more than its"):
        unpacked(file + b"x")


def test_a_header_is_read_from_the_start_alone() -> None:
    file = packed(bytes(number * 7 % 251 for number in range(100_000)), version=7)

    assert 7 == read_header(file[:START_BYTES])[0].version


def test_a_file_that_is_replaced_between_two_readings_is_read_anew() -> None:
    long = [
        packed(bytes(number * 13 % 251 ^ number >> 8 & 255 for number in range(n))) for n in (9_000, 99_000)
    ]
    files = iter([*long, long[1]])

    header, _ = read_whole(lambda limit: next(files)[:limit])

    assert 99_000 == header.size_bytes


def test_a_later_format_is_told_from_damage() -> None:
    file = bytearray(packed())
    file[8] = 2

    with pytest.raises(LaterFormat, match="format 2, later than 1"):
        unpacked(bytes(file))


def test_no_more_is_decompressed_than_the_header_says() -> None:
    stored = compress(bytes(500), level=3)
    header = Header("a", 1, size_bytes=10, stored_bytes=len(stored))

    with pytest.raises(Unreadable, match="does not have the 10 bytes"):
        decompress(header, stored)


def test_a_key_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(InvalidKey, match="at most 2048 bytes"):
        packed(key="k" * START_BYTES)


def test_the_place_of_a_key_is_its_digest() -> None:
    assert ("27", "c35e6e9373877f29e562464e46497e") == place_of("a")


@pytest.mark.parametrize("level", [-1_000_000, 23])
def test_a_level_is_one_of_zstandard(level: int) -> None:
    with pytest.raises(ValueError, match="a level from"):
        check_level(level)
