"""Options, rows as entries, and patience with what is in the way."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.storage.backend import GONE, Entry, Mark
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.sql.database import Lost, LostInCommit, Options, entry_of, mark_of, patiently

USUAL: dict[str, Any] = {
    "synchronous": "FULL",
    "read_only": False,
    "readers": None,
    "timeout_ms": 1_500,
    "sweep_interval_ms": None,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous", "OFF"),
        ("synchronous", "full"),
        ("timeout_ms", 0),
        ("timeout_ms", -1),
        ("timeout_ms", math.inf),
        ("readers", 0),
        ("sweep_interval_ms", 0),
        ("sweep_interval_ms", math.nan),
    ],
)
def test_an_option_that_makes_no_sense_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*{value!r}"):
        Options(**{**USUAL, name: value})


def test_what_is_read_only_is_not_swept() -> None:
    with pytest.raises(ValueError, match="leave sweep_interval_ms out"):
        Options(**{**USUAL, "read_only": True, "sweep_interval_ms": 1_000})


def test_the_time_limit_is_known_in_seconds() -> None:
    assert 1.5 == Options(**USUAL).timeout_s


# Rows


@pytest.mark.parametrize(
    ("columns", "entry"),
    [
        ((b"", 7, None, None), Entry(b"", 7)),
        ((b"x", 7, 20, 10), Entry(b"x", 7, 20, 10)),
        ((None, 7, 20, 10), Entry(GONE, 7, 20, 10)),
    ],
)
def test_a_row_is_an_entry(columns: tuple[Any, ...], entry: Entry[bytes]) -> None:
    assert entry == entry_of("key", *columns)
    assert entry.mark == mark_of("key", *columns[1:], columns[0] is None)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (("text", 7, None, None), "holds str, not bytes"),
        ((b"x", "7", None, None), "no whole number"),
        ((b"x", 7.5, None, None), "no whole number"),
        ((b"x", None, None, None), "no whole number"),
        ((b"x", 7, "soon", None), "no whole number"),
        ((b"x", 7, None, b"10"), "no whole number"),
        ((None, "7", None, None), "no whole number"),
    ],
)
def test_a_row_of_other_types_is_damaged(columns: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(DamagedValue, match=f"'a/key'.*{reason}"):
        entry_of("a/key", *columns)


def test_a_mark_is_true_to_its_kind() -> None:
    assert Mark(7, is_gone=True) == mark_of("key", 7, None, None, 1)


# Patience


class Obstacle:
    """What fails so often, and succeeds then."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def test_what_is_in_the_way_is_waited_out() -> None:
    obstacle = Obstacle(Busy("locked"), Lost("gone"), LostInCommit("gone"))

    assert ("done", 4) == (patiently(obstacle, timeout_s=30), obstacle.tries)


@pytest.mark.parametrize("kind", [Busy, Lost, LostInCommit])
def test_the_last_error_tells_how_long_it_was_tried(kind: type[StoreError]) -> None:
    obstacle = Obstacle(*[kind("in the way")] * 1_000)

    with pytest.raises(kind, match=r"^in the way; given up after 0.05 s$"):
        patiently(obstacle, timeout_s=0.05)
    assert obstacle.tries > 1


def test_the_time_may_have_begun_long_ago() -> None:
    obstacle = Obstacle(Busy("locked"), Busy("locked"))

    with pytest.raises(Busy):
        patiently(obstacle, timeout_s=30, since_s=time.monotonic() - 30)
    assert 1 == obstacle.tries


def test_other_errors_are_not_repeated() -> None:
    obstacle = Obstacle(StoreError("no such table"))

    with pytest.raises(StoreError, match=r"^no such table$"):
        patiently(obstacle, timeout_s=30)
    assert 1 == obstacle.tries
