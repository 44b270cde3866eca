from __future__ import annotations

from typing import Any

import pytest

from eliza_state.storage.backend import GONE, Entry
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.layered.front import Front
from eliza_state.storage.table import Table


def make(*, max_age_ms: int | None = 1_000, share: bool = False, **bounds: int) -> Front[Any]:
    return Front(Table(**bounds), encoding=Encoding(), max_age_ms=max_age_ms, share=share)


def hold(front: Front[Any], key: str, value: Any, *, version: int = 1, at_ms: int = 0, **times: int) -> None:
    content = GONE if value is GONE else Encoding[Any]().encode(value, key=key)
    entry = Entry(content, version, times.get("deadline_ms"), times.get("ttl_ms"))
    front.hold(key, entry, value, confirmed_at_ms=at_ms, now_ms=at_ms)


def value_of(front: Front[Any], key: str, *, now_ms: int = 0) -> Any:
    entry = front.get(key, now_ms=now_ms)
    return None if entry is None else entry.value


def test_a_copy_never_replaces_a_newer_one() -> None:
    front = make()
    hold(front, "a", "new", version=2)
    hold(front, "a", "old", version=1)

    assert value_of(front, "a") == "new"


def test_a_tombstone_is_a_copy() -> None:
    front = make()
    hold(front, "a", "old", version=1)
    hold(front, "a", GONE, version=2)
    hold(front, "a", "old", version=1)

    assert value_of(front, "a") is GONE


def test_a_copy_is_given_out_until_it_is_too_old_or_past_its_deadline() -> None:
    front = make()
    hold(front, "a", 1, at_ms=100)
    hold(front, "b", 2, at_ms=100, deadline_ms=150, ttl_ms=50)

    assert (value_of(front, "a", now_ms=149), value_of(front, "b", now_ms=149)) == (1, 2)
    assert (value_of(front, "a", now_ms=1_099), value_of(front, "b", now_ms=150)) == (1, None)
    assert value_of(front, "a", now_ms=1_100) is None


def test_when_the_clock_is_turned_back_all_copies_go() -> None:
    front = make()
    hold(front, "a", 1, at_ms=1_000)
    generation = front.generation

    assert value_of(front, "a", now_ms=999) is None
    assert front.generation > generation


@pytest.mark.parametrize(("share", "same"), [(False, False), (True, True)])
def test_readers_of_what_could_change_get_their_own_unless_they_share(share: bool, same: bool) -> None:
    front = make(share=share)
    hold(front, "a", {"x": [1]})
    first, second = value_of(front, "a"), value_of(front, "a")

    assert first == second == {"x": [1]}
    assert (first is second) is same


def test_the_least_recently_read_goes_first() -> None:
    front = make(max_entries=2)
    hold(front, "a", 1)
    hold(front, "b", 2)
    value_of(front, "a")
    hold(front, "c", 3)

    assert [value_of(front, key) for key in "abc"] == [1, None, 3]


def test_only_an_older_copy_is_dropped_by_an_announcement() -> None:
    front = make()
    hold(front, "a", 1, version=5)
    front.drop("a", below=5)
    kept = value_of(front, "a")
    front.drop("a", below=6)

    assert kept == 1
    assert value_of(front, "a") is None
