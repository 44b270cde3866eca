"""Whether a history of one key could have happened one operation at a time (Herlihy & Wing 1990).

The search is that of Wing & Gong (1993) with the memory of Lowe (2017): operations are taken one by one, each
one that was called before any other left over had returned, and a set of operations that led to a state is
looked at once. The model is a register with versions, as in `eliza_state.storage.Storage`.

An operation without an answer (its process was killed, its time was up, the connection was lost) may have
happened or not, at any time after it was called: it need not be taken, and nothing waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

import attrs

MAX_STATES: Final = 200_000
"""How many sets of operations with their states are looked at before a history is left undecided."""


@attrs.frozen(kw_only=True)
class Operation:
    """One operation on the key, from the call to the return; times in seconds.

    `value` is what a `set` writes, another one each time, or what a `get` saw (`None`: no such key).
    `expected` is the version that a `set` or a `delete` compares with (`None`: with none); somebody was told
    it before, by another operation of the history. `version` is the
    one that a `get` saw, or that a `set` got; where it was `refused`, the one that was found (0: no such
    key). `None` where nobody was told. `existed` is what a `delete` without `expected` answered.
    """

    kind: Literal["get", "set", "delete"]
    called_s: float
    returned_s: float = math.inf
    value: Any = None
    expected: int | None = None
    version: int | None = None
    existed: bool | None = None
    outcome: Literal["done", "refused", "unknown"] = "done"
    client: str = ""


class Register(NamedTuple):
    """What is under the key: a value and its version, `None` while nobody was told it; version 0: nothing."""

    value: Any = None
    version: int | None = 0


ABSENT: Final = Register()


@attrs.frozen
class Verdict:
    """What came of a search: an order (`True`), none (`False`), or an end of patience (`None`).

    `blocked` are the operations that could not be taken after the longest order found, which ended in
    `state`.
    """

    is_linearizable: bool | None
    state: Register = ABSENT
    blocked: tuple[Operation, ...] = ()


def step(state: Register, operation: Operation) -> Register | None:
    """Return the state after an operation; `None` where it cannot take place in this state.

    One with an unknown outcome takes place only where it changes something: else it may as well be left out.
    """
    if operation.kind == "get":
        return _bound(state, operation.version) if state.value == operation.value else None
    if operation.outcome == "refused":
        return _refused(state, operation)
    if operation.expected is not None and operation.expected != state.version:
        return None
    if operation.kind == "set":
        return _set(state, operation)
    if operation.outcome == "unknown":
        return None if state.value is None else ABSENT
    if operation.existed is not None and operation.existed != (state.value is not None):
        return None
    return ABSENT


def _bound(state: Register, version: int | None) -> Register | None:
    """Return the state whose version is known to be that one; `None` where it is another one."""
    if version is None or version == state.version:
        return state
    return Register(state.value, version) if state.version is None and version else None


def _refused(state: Register, operation: Operation) -> Register | None:
    return None if operation.version == operation.expected else _bound(state, operation.version)


def _set(state: Register, operation: Operation) -> Register | None:
    version = operation.version
    if version is not None and state.version is not None and version <= state.version:
        return None
    return Register(operation.value, version)


def check(operations: Iterable[Operation], *, max_states: int = MAX_STATES) -> Verdict:
    """Tell whether there is an order of the operations in which each one could have answered as it did."""
    history = sorted(operations, key=lambda operation: operation.called_s)
    required = sum(1 << at for at, each in enumerate(history) if each.returned_s < math.inf)
    stack = [(0, ABSENT)]
    seen: set[tuple[int, Register]] = set()
    longest = (0, ABSENT)
    while stack:
        done, state = stack.pop()
        if not required & ~done:
            return Verdict(is_linearizable=True)
        if len(seen) > max_states:
            return Verdict(None, state, _blocked(history, longest[0]))
        if (done, state) in seen:
            continue
        seen.add((done, state))
        longest = max(longest, (done, state), key=lambda found: (found[0] & required).bit_count())
        stack += _successors(history, done, state)
    return Verdict(False, longest[1], _blocked(history, longest[0]))


def _successors(history: Sequence[Operation], done: int, state: Register) -> list[tuple[int, Register]]:
    found: list[tuple[int, Register]] = []
    for at in _next(history, done):
        operation = history[at]
        after = step(state, operation)
        if after is None:
            continue
        if operation.returned_s < math.inf and (after == state or operation.kind == "get"):
            # It leaves the value as it is, so whatever could follow can follow it: no other choice is better.
            return [(done | 1 << at, after)]
        found.append((done | 1 << at, after))
    found.reverse()  # the one called first is tried first
    return found


def _next(history: Sequence[Operation], done: int) -> Iterator[int]:
    """Yield the operations left over that were called before any other one of these had returned."""
    first_return_s = math.inf
    at = (~done & (done + 1)).bit_length() - 1
    for at in range(at, len(history)):  # noqa: B020
        if done >> at & 1:
            continue
        if history[at].called_s > first_return_s:
            return
        yield at
        first_return_s = min(first_return_s, history[at].returned_s)


def _blocked(history: Sequence[Operation], done: int) -> tuple[Operation, ...]:
    return tuple(history[at] for at in _next(history, done))
