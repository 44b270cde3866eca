"""Growth that is suspected, and growth that is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eliza_state.health import LeakDetector, Suspect


def found(value: Callable[[int], float], *, kind: str = "receivers", steps: int = 61) -> tuple[Suspect, ...]:
    detector = LeakDetector(window_s=600)
    suspects: tuple[Suspect, ...] = ()
    for step in range(steps):
        suspects = detector.observe(step * 10.0, {(kind, "teller"): value(step)})
    return suspects


def test_what_grows_all_the_time_is_suspected_by_name():
    (suspect,) = found(lambda step: 10 + step)

    assert (suspect.kind, suspect.subject) == ("receivers", "teller")
    assert (suspect.before, suspect.now) == (10, 70)
    assert str(suspect) == "receivers: teller grew from 10 to 70 connections in 600 s"


@pytest.mark.parametrize(
    "value",
    [
        lambda step: 70,
        lambda step: 10 + step if step < 30 else 40,
        lambda step: 10 + step % 20 * 10,
        lambda step: 10 + step / 4,
        lambda step: 10_000 + step,
        lambda step: 1_000 - step,
    ],
    ids=["still", "a bound", "up and down", "a little", "in proportion", "less"],
)
def test_what_does_not_is_not(value: Callable[[int], float]):
    assert not found(value)


def test_nothing_is_suspected_before_the_window_has_passed():
    assert not found(lambda step: 10 + step * 10, steps=60)


def test_what_is_gone_is_forgotten():
    detector = LeakDetector(window_s=600)
    for step in range(61):
        detector.observe(step * 10.0, {("receivers", "teller"): step * 10})

    assert not detector.observe(610.0, {})
    assert not detector.observe(620.0, {("receivers", "teller"): 10_000})


def test_looks_in_quick_succession_keep_the_window():
    detector = LeakDetector(window_s=60)
    suspects: tuple[Suspect, ...] = ()
    for step in range(6_100):
        suspects = detector.observe(step / 100, {("receivers", "teller"): step})

    assert len(suspects) == 1
    assert suspects[0].window_s == pytest.approx(60, abs=6)


def test_a_window_is_positive():
    with pytest.raises(ValueError, match="positive"):
        LeakDetector(window_s=0)
