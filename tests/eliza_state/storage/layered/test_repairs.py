from __future__ import annotations

from eliza_state.storage.layered.doubts import Doubts
from eliza_state.storage.layered.repairs import Repairs
from tests.eliza_state.storage.layered.test_breaker import Seconds


def test_a_key_is_distrusted_until_it_is_repaired() -> None:
    repairs = Repairs()
    repairs.add(["a", "b"])
    repairs.done({key: at for key, at in repairs.due().items() if key == "a"})

    assert not repairs.concerns("a")
    assert repairs.concerns("b")
    assert repairs.count == 1


def test_a_key_that_was_distrusted_again_meanwhile_stays() -> None:
    seconds = Seconds()
    repairs = Repairs(monotonic=seconds)
    repairs.add(["a"])
    due = repairs.due()
    seconds.now_s += 1
    repairs.add(["a"])
    repairs.done(due)

    assert repairs.concerns("a")


def test_a_key_may_be_held_back() -> None:
    seconds = Seconds()
    repairs = Repairs(monotonic=seconds)
    repairs.add(["a"], delay_ms=1_000)
    early = repairs.due()
    seconds.now_s += 1

    assert not early
    assert list(repairs.due()) == ["a"]


def test_past_its_bound_everything_is_distrusted() -> None:
    repairs = Repairs(max_keys=2)
    repairs.add(["a", "b", "c"])

    assert repairs.concerns("z")
    assert repairs.concerns_all
    assert repairs.count == -1
    repairs.done_with_all()
    assert not repairs


def test_a_doubt_ends_by_itself() -> None:
    seconds = Seconds()
    doubts = Doubts(lasting_ms=1_000, monotonic=seconds)
    doubts.add(["a"])
    doubted = "a" in doubts
    seconds.now_s += 1
    gone = "a" not in doubts
    doubts.add(["b"])

    assert doubted
    assert gone
    assert "a" not in doubts
    assert "b" in doubts
