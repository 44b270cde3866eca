"""Synchronising two states that come without a log, field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import attrs

from eliza_state.debugger.state_paths import MISSING
from eliza_state.errors import StateError
from eliza_state.synchronizer.conflicts import Disagreement, shown
from eliza_state.synchronizer.strategies import Choice, LastWrite, Side, Strategy, both, canonical
from eliza_state.synchronizer.vector_clock import Order
from eliza_state.synchronizer.versioned import Versioned, fields_of, with_fields

S = TypeVar("S")

_NONE: Final[Mapping[str, Strategy]] = MappingProxyType({})
_LAST_WRITE: Final = LastWrite()


@attrs.frozen
class Synced(Generic[S]):
    """What two states became, and what was lost or left to be settled on the way."""

    result: Versioned[S]
    conflicts: tuple[Disagreement, ...] = ()


def sync(
    local: Versioned[S],
    remote: Versioned[S],
    *,
    strategies: Mapping[str, Strategy] = _NONE,
    module: Any = None,
    base: S | None = None,
) -> Synced[S]:
    """Return what two replicas of a state are to become; both come to the same.

    Of each field, a value is taken that was written in the knowledge of the other. Where there is none such,
    the field's strategy merges the two, `LastWrite` if none is declared, and what that loses is reported as
    a conflict. Where the states are concurrent and the `module` has a function
    `merge(base, local, remote)`, that makes the whole of it: `base` is what both come from, or `None`.
    Nothing is changed in place. Associative, commutative and idempotent if the strategies, or the module's
    function, are.
    Raises `StateError` for states of different types, a strategy for no field, or for values it is not for.
    """
    ours, theirs = fields_of(local.state), fields_of(remote.state)
    if type(local.state) is not type(remote.state):
        raise StateError(f"two states of one type are merged, got {type(local.state)}, {type(remote.state)}")
    if unknown := strategies.keys() - ours.keys() - theirs.keys():
        raise StateError(f"there are strategies for fields that no state has: {sorted(unknown)}")
    merge = getattr(module, "merge", None)
    if merge is not None and local.clock.compare(remote.clock) is Order.CONCURRENT:
        return _merged_by(merge, local, remote, base)
    fields: dict[str, Any] = {}
    writes = {}
    conflicts: list[Disagreement] = []
    for name in dict.fromkeys([*ours, *theirs]):
        here = Side(ours.get(name, MISSING), local.writes.get(name, ()), local)
        there = Side(theirs.get(name, MISSING), remote.writes.get(name, ()), remote)
        chosen = _choose(here, there, strategies.get(name, _LAST_WRITE))
        if chosen.value is not MISSING:
            fields[name], writes[name] = chosen.value, chosen.writes
        if chosen.why:
            conflicts.append(_disagreement(name, here.value, there.value, chosen.value, chosen.why))
    state = with_fields(local.state, fields)
    return Synced(Versioned(state, local.clock.join(remote.clock), writes), tuple(conflicts))


def _choose(local: Side, remote: Side, strategy: Strategy) -> Choice:
    if local.writes == remote.writes:
        return _same(local, remote)
    is_local_seen = remote.whole.has_seen(local.writes)
    is_remote_seen = local.whole.has_seen(remote.writes)
    if is_local_seen and is_remote_seen and MISSING in (local.value, remote.value):
        return Choice(MISSING, ())  # the key was there on both sides, and was removed from one
    if is_local_seen and not is_remote_seen:
        return Choice(remote.value, remote.writes)
    if is_remote_seen and not is_local_seen:
        return Choice(local.value, local.writes)
    return strategy.merge(local, remote)


def _same(local: Side, remote: Side) -> Choice:
    """Of values with the same writes, which are equal unless one was changed behind the clock's back."""
    if local.value is remote.value or local.value == remote.value:
        return Choice(local.value, local.writes)
    present = [side.value for side in (local, remote) if side.value is not MISSING]
    why = "the clocks are equal and the values are not: one was changed without its clock"
    return Choice(max(present, key=canonical), local.writes, why)


def _merged_by(
    merge: Callable[[Any, Any, Any], Any], local: Versioned[S], remote: Versioned[S], base: S | None
) -> Synced[S]:
    state = merge(base, local.state, remote.state)
    fields, ours, theirs = fields_of(state), fields_of(local.state), fields_of(remote.state)
    writes = {
        name: both(
            Side(None, local.writes.get(name, ()), local), Side(None, remote.writes.get(name, ()), remote)
        )
        for name in fields
    }
    why = "merged by the module"
    conflicts = [
        _disagreement(name, ours.get(name, MISSING), theirs.get(name, MISSING), value, why)
        for name, value in fields.items()
        if ours.get(name, MISSING) != theirs.get(name, MISSING)
    ]
    return Synced(Versioned(state, local.clock.join(remote.clock), writes), tuple(conflicts))


def _disagreement(place: str, local: Any, remote: Any, chosen: Any, why: str) -> Disagreement:
    return Disagreement(place=place, local=shown(local), remote=shown(remote), chosen=shown(chosen), why=why)
