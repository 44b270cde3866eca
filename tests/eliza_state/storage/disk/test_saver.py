"""The thread that saves what has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eliza_state.storage.disk.saver import Saver

HOUR_MS = 3_600_000
PATIENCE_S = 30


class Disk:
    """What is changed, what is saved, and how often that shall fail."""

    def __init__(self) -> None:
        self.value = 0
        self.saved: list[int] = []
        self.failing = 0
        self.failures: list[tuple[str, int]] = []
        self.has_saved = threading.Event()

    def save(self, value: int) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("full")
        self.saved.append(value)
        self.has_saved.set()

    def failed(self, error: Exception, in_a_row: int) -> None:
        self.failures.append((str(error), in_a_row))


Make = Callable[..., Saver[int]]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def make(disk: Disk) -> Iterator[Make]:
    made: list[Saver[int]] = []

    def make_one(**options: Any) -> Saver[int]:
        options = {"snapshot": lambda: disk.value, "save": disk.save, "interval_ms": HOUR_MS, **options}
        made.append(Saver(failed=disk.failed, **options))
        return made[-1]

    yield make_one
    for saver in made:
        saver.end()


def change(saver: Saver[int], disk: Disk) -> None:
    with saver.lock:
        disk.value += 1
        saver.changed()


def test_a_request_saves_what_has_changed_once(make: Make, disk: Disk) -> None:
    saver = make()
    change(saver, disk)
    change(saver, disk)
    saver.request().result(PATIENCE_S)
    saver.request().result(PATIENCE_S)

    assert [2] == disk.saved
    assert saver.is_clean


def test_a_change_is_saved_after_the_interval(make: Make, disk: Disk) -> None:
    change(make(interval_ms=1), disk)

    assert disk.has_saved.wait(PATIENCE_S)


def test_a_failure_is_told_and_tried_again(make: Make, disk: Disk) -> None:
    saver = make(interval_ms=1)
    disk.failing = 2
    change(saver, disk)

    assert disk.has_saved.wait(PATIENCE_S)
    assert [("full", 1), ("full", 2)] == disk.failures


def test_the_pause_after_a_failure_grows_up_to_a_bound(make: Make, disk: Disk) -> None:
    saver = make(interval_ms=0)
    disk.failing = 1_000
    change(saver, disk)
    pauses_s: list[int] = []
    for _ in range(12):
        with pytest.raises(OSError, match="full"):
            saver.request().result(PATIENCE_S)
        assert saver.due_s is not None
        pauses_s.append(round(saver.due_s - time.monotonic()))

    assert [0, 0, 0, 1, 2, 3, 6, 13, 26, 30, 30, 30] == pauses_s


def test_those_who_wait_get_what_was_raised(make: Make, disk: Disk) -> None:
    saver = make()
    disk.failing = 1
    change(saver, disk)

    with pytest.raises(OSError, match="full"):
        saver.request().result(PATIENCE_S)
    assert not saver.is_clean
    saver.request().result(PATIENCE_S)
    assert [1] == disk.saved


def test_a_snapshot_that_fails_is_a_failure_like_others(make: Make, disk: Disk) -> None:
    saver = make(snapshot=lambda: 1 // 0)
    change(saver, disk)

    with pytest.raises(ZeroDivisionError):
        saver.request().result(PATIENCE_S)


def test_who_does_not_wait_any_more_is_in_nobodys_way(make: Make, disk: Disk) -> None:
    saver = make()
    change(saver, disk)
    saver.request().cancel()
    saver.request().result(PATIENCE_S)

    assert [1] == disk.saved


def test_ending_twice_does_nothing(make: Make) -> None:
    saver = make()
    saver.end()
    saver.end()

    assert saver.is_clean
