"""A block of records: what comes out is what went in, and what was changed is no block any more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.change import Record
from eliza_state.journal.archive.block import Block, Unreadable, checksum_of, pack, unpack
from eliza_state.journal.archive.ids import ids_of, may_hold
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.journal.conftest import ROOM, TALK

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.builds(
    Record,
    st.just(0),
    st.binary(min_size=1, max_size=40),
    st.sampled_from([TALK, TALK.child("message", "m/1:ä")]),
    st.integers(1, 10**12),
    TEXTS,
    st.integers(1, 9),
    st.binary(max_size=50),
    st.integers(0, 10**16),
    TEXTS,
    st.none() | TEXTS,
)


def numbered(records: list[Record]) -> list[Record]:
    return [record._replace(position=3 * number) for number, record in enumerate(records, 1)]


@given(st.lists(RECORDS, min_size=1, max_size=8), st.dictionaries(TEXTS, st.binary(max_size=30), max_size=3))
@settings(max_examples=examples(30))
def test_it_comes_out_as_it_went_in(records: list[Record], states: dict[str, bytes]) -> None:
    block = Block(TALK, numbered(records), states)

    assert block == unpack(pack(block, epoch="e"), epoch="e")


@pytest.fixture
def packed() -> bytes:
    records = [Record(number, b"k%d" % number, TALK, number, "said", 1, b"{}", 7, "w") for number in (1, 2)]
    return pack(Block(TALK, records), epoch="e")


def test_every_flipped_byte_shows(packed: bytes) -> None:
    for place in range(len(packed)):
        flipped = bytearray(packed)
        flipped[place] ^= 0x10
        with pytest.raises(Unreadable):
            unpack(bytes(flipped), epoch="e")


def test_every_cut_shows(packed: bytes) -> None:
    for length in range(len(packed)):
        with pytest.raises(Unreadable):
            unpack(packed[:length], epoch="e")
    with pytest.raises(Unreadable):
        unpack(packed + b"x", epoch="e")


def test_that_of_another_store_is_none(packed: bytes) -> None:
    with pytest.raises(Unreadable, match="another store"):
        unpack(packed, epoch="f")


def test_its_checksum_is_known(packed: bytes) -> None:
    assert checksum_of(packed) in packed


@pytest.mark.parametrize(("count", "width"), [(1, 2), (655, 2), (656, 3), (5_000, 3)])
def test_ids_that_are_there_may_be_there_and_few_others(count: int, width: int) -> None:
    records = [Record(n, b"%d" % n, TALK, n, "said", 1, b"", 0, "w") for n in range(count)]
    ids = ids_of(records)

    assert width * count == len(ids)
    assert all(may_hold(ids, count, TALK, record.key) for record in records)
    others = sum(may_hold(ids, count, path, b"%d" % n) for path in (ROOM, Path()) for n in range(1_000))
    assert others < 40
