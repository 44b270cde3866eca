"""The rule that every backend follows, and what a backend has without overriding it."""

from __future__ import annotations

import pytest

from eliza_state.storage import MemoryStorage
from eliza_state.storage.backend import (
    GONE,
    Backend,
    Entry,
    Mark,
    Write,
    Written,
    deadline_of,
    next_version,
    outcome_of,
)
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.testing import ManualClock

NOW_US = 1_000_000
ALIVE = Mark(500, deadline_ms=1_001, ttl_ms=10)
STAYS = Mark(500)
PAST = Mark(500, deadline_ms=1_000, ttl_ms=10)
DELETED = Mark(500, deadline_ms=2_000, ttl_ms=10, is_gone=True)
AHEAD = Mark(NOW_US + 7)


@pytest.mark.parametrize(
    ("stored", "version"),
    [(None, NOW_US), (STAYS, NOW_US), (PAST, NOW_US), (DELETED, NOW_US), (AHEAD, NOW_US + 8)],
)
def test_a_plain_write_is_stored_under_a_higher_version(stored, version):
    assert Written(version, is_stored=True) == outcome_of(Write("a", 1), stored, now_us=NOW_US)


@pytest.mark.parametrize(
    ("stored", "expected", "outcome"),
    [
        (None, 0, Written(NOW_US, is_stored=True)),
        (None, 500, Written(0, is_stored=False)),
        (ALIVE, 500, Written(NOW_US, is_stored=True)),
        (ALIVE, 499, Written(500, is_stored=False)),
        (ALIVE, 0, Written(500, is_stored=False)),
        (STAYS, 500, Written(NOW_US, is_stored=True)),
        (PAST, 0, Written(NOW_US, is_stored=True)),
        (PAST, 500, Written(0, is_stored=False)),
        (DELETED, 0, Written(NOW_US, is_stored=True)),
        (DELETED, 500, Written(0, is_stored=False)),
        (AHEAD, NOW_US + 7, Written(NOW_US + 8, is_stored=True)),
        (ALIVE, -1, Written(500, is_stored=False)),
    ],
)
def test_a_write_that_expects_a_version_is_stored_over_that_one_only(stored, expected, outcome):
    assert outcome == outcome_of(Write("a", 1, expected=expected), stored, now_us=NOW_US)


@pytest.mark.parametrize("stored", [ALIVE, STAYS, PAST, DELETED])
@pytest.mark.parametrize(("version", "is_stored"), [(499, False), (500, False), (501, True)])
def test_a_copy_is_stored_over_a_lower_version_only_dead_or_alive(stored, version, is_stored):
    outcome = outcome_of(Write("a", 1, version=version), stored, now_us=NOW_US)

    assert Written(max(500, version), is_stored) == outcome


def test_a_copy_of_a_missing_key_keeps_its_version():
    assert Written(1, is_stored=True) == outcome_of(Write("a", 1, version=1), None, now_us=NOW_US)


def test_the_version_of_a_copy_goes_before_an_expectation():
    outcome = outcome_of(Write("a", 1, expected=0, version=501), STAYS, now_us=NOW_US)

    assert Written(501, is_stored=True) == outcome


@pytest.mark.parametrize("stored", [None, ALIVE, STAYS])
def test_an_entry_gets_the_deadline_of_its_write(stored):
    assert 7_000 == deadline_of(Write("a", 1, 7_000, 10), stored)


@pytest.mark.parametrize("stored", [ALIVE, STAYS])
def test_a_write_that_keeps_the_deadline_leaves_that_of_what_is_stored(stored):
    write = Write("a", 1, 7_000, 10, expected=500, keeps_deadline=True)

    assert stored.deadline_ms == deadline_of(write, stored)


@pytest.mark.parametrize(
    ("write", "stored"),
    [
        (Write("a", 1, keeps_deadline=True), STAYS),
        (Write("a", 1, expected=0, keeps_deadline=True), PAST),
        (Write("a", 1, expected=500, keeps_deadline=True), None),
    ],
)
def test_only_the_deadline_of_an_expected_version_can_be_kept(write, stored):
    with pytest.raises(AssertionError, match="only"):
        deadline_of(write, stored)


@pytest.mark.parametrize(("stored", "version"), [(0, 10), (9, 10), (10, 11), (99, 100)])
def test_versions_follow_the_clock_and_never_go_back(stored, version):
    assert version == next_version(stored, now_us=10)


@pytest.mark.parametrize(
    ("deadline_ms", "value", "is_live", "is_past"),
    [
        (None, 1, True, False),
        (1_001, 1, True, False),
        (1_000, 1, False, True),
        (999, 1, False, True),
        (1_001, GONE, False, False),
        (1_000, GONE, False, True),
    ],
)
def test_a_key_lives_until_its_deadline(deadline_ms, value, is_live, is_past):
    entry = Entry(value, 1, deadline_ms, deadline_ms)

    assert (is_live, is_live) == (entry.is_live(1_000), entry.mark.is_live(1_000))
    assert is_past == entry.mark.is_past(1_000)


def test_a_mark_is_an_entry_without_its_value():
    assert Mark(1, 2, 3) == Entry("a", 1, 2, 3).mark
    assert Mark(1, 2, 3, is_gone=True) == Entry(GONE, 1, 2, 3).mark


def test_gone_shows_itself():
    assert "GONE" == repr(GONE)


# what a backend need not write itself


class Plain(MemoryBackend):
    """A backend in memory with only what every backend must have."""

    at_hand = Backend.at_hand
    look = Backend.look
    expired = Backend.expired

    async def read(self, keys):
        return {key: self._slots[key].entry for key in keys if key in self._slots}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def plain(clock):
    return Plain(Table(), encoding=None, clock=clock)


async def test_nothing_is_at_hand_unless_a_backend_says_so(plain):
    await plain.write([Write("a", 1)])

    assert plain.at_hand("a") is None


async def test_looking_reads_unless_there_is_something_cheaper(plain):
    await plain.write([Write("a", 1, version=7), Write("b", GONE, 2**50, 1, version=8)])

    assert {"a": Mark(7), "b": Mark(8, 2**50, 1, is_gone=True)} == await plain.look(["a", "b", "c"])


async def test_the_expired_are_found_by_a_scan_unless_there_is_something_cheaper(plain, clock):
    now_ms = clock() // 1_000
    await plain.write([Write(f"{number}", 1, now_ms + number % 2, 1) for number in range(3_000)])

    assert {f"{number}" for number in range(0, 3_000, 2)} == set(await plain.expired())
    assert 700 == len(await plain.expired(limit=700))


async def test_flushing_does_nothing_where_nothing_is_held_back(plain):
    assert await plain.flush() is None


async def test_a_backend_tells_the_time_in_milliseconds(plain, clock):
    clock.set(1_999)

    assert 1 == plain.now_ms
    assert clock is MemoryStorage(clock=clock).backend.clock
