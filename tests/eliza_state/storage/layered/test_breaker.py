from __future__ import annotations

import pytest

from eliza_state.storage.layered.breaker import Breaker


class Seconds:
    """A clock that never goes back, turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def breaker(seconds: Seconds) -> Breaker:
    return Breaker(failures=2, pause_ms=1_000, monotonic=seconds)


def fail(breaker: Breaker) -> None:
    assert breaker.permits
    breaker.begin()
    breaker.failed()


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker)
    breaker.begin()
    breaker.succeeded()
    fail(breaker)
    is_closed = breaker.is_closed
    fail(breaker)

    assert is_closed
    assert not breaker.is_closed
    assert not breaker.permits


def test_one_call_is_let_through_after_the_pause(breaker: Breaker, seconds: Seconds) -> None:
    fail(breaker)
    fail(breaker)
    seconds.now_s += 1
    first = breaker.permits
    breaker.begin()

    assert first
    assert not breaker.permits


def test_the_call_that_is_let_through_closes_it(breaker: Breaker, seconds: Seconds) -> None:
    fail(breaker)
    fail(breaker)
    seconds.now_s += 1
    breaker.begin()

    breaker.succeeded()
    assert breaker.is_closed


def test_the_pause_doubles_while_tries_fail_and_starts_anew_afterwards(
    breaker: Breaker, seconds: Seconds
) -> None:
    fail(breaker)
    fail(breaker)
    seconds.now_s += 1
    fail(breaker)
    seconds.now_s += 1
    too_early = breaker.permits
    seconds.now_s += 1
    breaker.begin()
    breaker.succeeded()
    fail(breaker)
    fail(breaker)
    seconds.now_s += 1

    assert not too_early
    assert breaker.permits


def test_a_try_that_was_given_up_says_nothing(breaker: Breaker, seconds: Seconds) -> None:
    fail(breaker)
    fail(breaker)
    seconds.now_s += 1
    breaker.begin()
    breaker.abandoned()

    assert breaker.permits
    assert not breaker.is_closed


@pytest.mark.parametrize("options", [{"failures": 0}, {"pause_ms": 0}])
def test_bounds_are_positive(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Breaker(**options)
