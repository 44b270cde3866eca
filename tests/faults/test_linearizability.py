"""The checker takes histories that are known to be good, and none that is known to be bad."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from tests.faults.linearizability import ABSENT, Operation, Register, check


def get(called: float, returned: float, value: Any, version: int | None = None) -> Operation:
    return Operation(kind="get", called_s=called, returned_s=returned, value=value, version=version)


def put(called: float, returned: float, value: Any, version: int, expected: int | None = None) -> Operation:
    return Operation(
        kind="set", called_s=called, returned_s=returned, value=value, version=version, expected=expected
    )


def refused(called: float, returned: float, expected: int, found: int) -> Operation:
    return Operation(
        kind="set",
        called_s=called,
        returned_s=returned,
        value="refused",
        expected=expected,
        version=found,
        outcome="refused",
    )


def lost(called: float, value: Any, expected: int | None = None) -> Operation:
    return Operation(kind="set", called_s=called, value=value, expected=expected, outcome="unknown")


def delete(
    called: float, returned: float, *, existed: bool | None = None, expected: int | None = None
) -> Any:
    return Operation(kind="delete", called_s=called, returned_s=returned, existed=existed, expected=expected)


LOST_DELETE = Operation(kind="delete", called_s=2, outcome="unknown")

GOOD = {
    "nothing": [],
    "nobody wrote": [get(0, 1, None, 0)],
    "one after the other": [put(0, 1, "a", 5, 0), get(2, 3, "a", 5), put(4, 5, "b", 7, 5), get(6, 7, "b", 7)],
    "a read beside a write sees the old value": [put(0, 1, "a", 5), put(2, 9, "b", 7), get(3, 4, "a", 5)],
    "a read beside a write sees the new value": [put(0, 1, "a", 5), put(2, 9, "b", 7), get(3, 4, "b", 7)],
    "writes beside each other in the order of their versions": [
        put(0, 9, "b", 7),
        put(1, 8, "a", 5),
        get(10, 11, "b", 7),
    ],
    "one of two that compare is refused": [
        put(0, 1, "a", 5, 0),
        put(2, 5, "b", 7, 5),
        refused(3, 6, expected=5, found=7),
    ],
    "one that was refused was first": [put(0, 9, "a", 5), refused(1, 8, expected=3, found=0)],
    "a lost write that happened": [put(0, 1, "a", 5), lost(2, "b"), get(3, 4, "b", 8)],
    "a lost write that did not happen": [put(0, 1, "a", 5), lost(2, "b", 5), get(3, 4, "a", 5)],
    "a lost write that happened late": [lost(0, "b"), put(1, 2, "a", 5), get(3, 4, "a"), get(5, 6, "b")],
    "a lost write whose version a refusal tells": [
        lost(0, "b", 0),
        refused(1, 2, 4, found=9),
        get(3, 4, "b", 9),
    ],
    "a lost deletion that happened": [put(0, 1, "a", 5), LOST_DELETE, get(3, 4, None, 0)],
    "a lost deletion that did not happen": [put(0, 1, "a", 5), LOST_DELETE, get(3, 4, "a", 5)],
    "made again after a deletion": [
        put(0, 1, "a", 5, 0),
        delete(2, 3, expected=5),
        put(4, 5, "b", 9, 0),
        get(6, 7, "b", 9),
    ],
    "a deletion of nothing": [delete(0, 1, existed=False), get(2, 3, None, 0)],
    "a deletion beside a write": [put(0, 9, "a", 5), delete(1, 8, existed=True), get(10, 11, None)],
}

BAD = {
    "a read of what nobody wrote": [get(0, 1, "a", 5)],
    "a stale read": [put(0, 1, "a", 5), put(2, 3, "b", 7), get(4, 5, "a", 5)],
    "a lost update": [put(0, 1, "a", 5, 0), put(2, 5, "b", 7, 5), put(3, 6, "c", 8, 5)],
    "reads that go back": [put(0, 1, "a", 5), put(2, 9, "b", 7), get(3, 4, "b", 7), get(5, 6, "a", 5)],
    "a version that goes back": [put(0, 1, "a", 5), put(2, 3, "b", 4)],
    "another version than was told": [put(0, 1, "a", 5), get(2, 3, "a", 6)],
    "refused though it fits": [put(0, 1, "a", 5), refused(2, 3, expected=5, found=5)],
    "refused for a version that nobody wrote": [put(0, 1, "a", 5), refused(2, 3, expected=4, found=6)],
    "an acknowledged write that is gone": [put(0, 1, "a", 5), get(2, 3, None, 0)],
    "a lost write before its call": [put(0, 1, "a", 5), get(2, 3, "b"), lost(4, "b")],
    "a lost comparison that did not fit": [put(0, 1, "a", 5), lost(2, "b", 4), get(3, 4, "b")],
    "a lost write that happened twice": [
        lost(0, "b"),
        get(1, 2, "b"),
        put(3, 4, "a", 9),
        get(5, 6, "b"),
    ],
    "two deletions of one value": [put(0, 1, "a", 5), delete(2, 5, existed=True), delete(3, 6, existed=True)],
    "a deletion undone": [put(0, 1, "a", 5), delete(2, 3, existed=True), get(4, 5, "a", 5)],
    "a deletion that saw nothing": [put(0, 1, "a", 5), delete(2, 3, existed=False)],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_is_linearizable(history: list[Operation]) -> None:
    assert check(history).is_linearizable is True


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_a_bad_history_is_not_linearizable(history: list[Operation]) -> None:
    assert check(history).is_linearizable is False


def test_the_order_of_the_notes_does_not_matter() -> None:
    assert all(check(reversed(history)).is_linearizable for history in GOOD.values())


def test_what_does_not_fit_is_told() -> None:
    stale = get(4, 5, "a", 5)
    verdict = check([put(0, 1, "a", 5), put(2, 3, "b", 7), stale])

    assert (verdict.state, verdict.blocked) == (Register("b", 7), (stale,))


def test_a_history_that_takes_too_long_is_left_undecided() -> None:
    history = [lost(0, str(number)) for number in range(12)]

    assert check([*history, get(1, 2, "none of them")], max_states=100).is_linearizable is None


def simulated(dice: random.Random, *, clients: int, size: int) -> list[Operation]:
    """Return a history of a true register: each operation takes place at a moment between call and return."""
    state, history = ABSENT, []
    free_s = [0.0] * clients
    seen: list[int | None] = [0] * clients
    for number, moment_s in enumerate(sorted(dice.uniform(0, size) for _ in range(size))):
        client = dice.randrange(clients)
        if free_s[client] > moment_s:
            continue
        called_s = dice.uniform(max(free_s[client], moment_s - 3), moment_s)
        free_s[client] = returned_s = moment_s + dice.uniform(0, 3)
        expected = seen[client] or 0
        if dice.random() < 0.4:
            history.append(get(called_s, returned_s, state.value, state.version))
            seen[client] = state.version
        elif expected != state.version:
            history.append(refused(called_s, returned_s, expected, state.version or 0))
        else:
            operation = put(called_s, returned_s, f"{number}", number + 1, expected)
            state = Register(operation.value, operation.version)
            is_lost = dice.random() < 0.2
            history.append(lost(called_s, operation.value, expected) if is_lost else operation)
    return history


@pytest.mark.parametrize("seed", range(20))
def test_what_a_true_register_has_answered_is_linearizable(seed: int) -> None:
    history = simulated(random.Random(seed), clients=5, size=120)

    assert check(history).is_linearizable


@pytest.mark.parametrize("seed", range(20))
def test_an_answer_that_is_moved_into_the_past_of_its_write_is_found(seed: int) -> None:
    dice = random.Random(seed)
    history = simulated(dice, clients=5, size=120)
    reads = [at for at, each in enumerate(history) if each.kind == "get" and each.value is not None]
    at = dice.choice(reads)
    read = history[at]
    written = next(each for each in history if each.kind == "set" and each.value == read.value)
    early = get(written.called_s - 2, math.nextafter(written.called_s, 0), read.value, read.version)

    assert check([*history[:at], early, *history[at + 1 :]]).is_linearizable is False
