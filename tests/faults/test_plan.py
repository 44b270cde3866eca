"""The same seed gives the same faults and the same operations."""

from __future__ import annotations

import itertools

from tests.faults.ledger import BLOCK, LANES, posting
from tests.faults.plan import Fault, faults


def first(seed: int, subject: str) -> list[Fault]:
    return list(itertools.islice(faults(seed, subject=subject, kinds=["kill", "pause"], pause_s=1), 50))


def test_the_same_seed_gives_the_same_faults() -> None:
    assert first(1, "store") == first(1, "store")


def test_another_seed_or_subject_gives_other_faults() -> None:
    assert first(1, "store") != first(2, "store")
    assert [fault.pause_s for fault in first(1, "store")] != [fault.pause_s for fault in first(1, "cache")]


def test_each_kind_of_fault_comes_before_any_comes_again() -> None:
    kinds = [fault.kind for fault in first(1, "store")]

    assert [{"kill", "pause"}] * 25 == [set(kinds[at : at + 2]) for at in range(0, 50, 2)]


def test_the_same_seed_gives_the_same_operations() -> None:
    assert [posting(1, 2, number) for number in range(50)] == [posting(1, 2, number) for number in range(50)]
    assert posting(1, 2, 3) != posting(2, 2, 3)


def test_half_of_the_lanes_share_their_conversations_with_other_workers() -> None:
    shared = [lane for lane in range(LANES) if posting(1, 0, lane).path == posting(1, 1, lane).path]

    assert LANES / 2 == len(shared)


def test_a_lane_goes_on_to_another_conversation_after_a_block() -> None:
    paths = [posting(1, 0, number).path for number in range(0, 2 * BLOCK * LANES, LANES)]

    assert [paths[0]] * BLOCK == paths[:BLOCK]
    assert paths[0] not in paths[BLOCK:]
