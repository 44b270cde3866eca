"""How the field of a state is merged where two replicas wrote it without knowing of each other.

| Strategy    | The value is                                       | Known as (Shapiro et al., 2011)   |
|-------------|----------------------------------------------------|-----------------------------------|
| `LastWrite` | that of the latest write                           | last-writer-wins register         |
| `Union`     | what is in either set                              | grow-only set                     |
| `Keyed`     | what is under either id; the later where both have | grow-only map of such registers   |
| `Counters`  | the higher count of each writer                    | grow-only counter                 |
| `KeepBoth`  | all values, until somebody writes one              | multi-value register              |

Each is associative, commutative and idempotent as long as the values only grow: sets by elements, mappings by
ids, counts upwards, and what is under an id by its time. What was removed on one side alone comes back; where
that must not be, keep what was removed as a set of its own, or keep a log.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import attrs

from eliza_state.codec import SERIALIZER
from eliza_state.collections import Entities, Map, Set
from eliza_state.errors import StateError
from eliza_state.synchronizer.versioned import Versioned, Write


class Side(NamedTuple):
    """A field as one of the two replicas has it: the value, the writes that it is made of, the whole."""

    value: Any
    writes: tuple[Write, ...]
    whole: Versioned[Any]


class Choice(NamedTuple):
    """What a strategy made of two values; with `why`, unless nothing of either is lost."""

    value: Any
    writes: tuple[Write, ...]
    why: str = ""


class Strategy(abc.ABC):
    """Merge two values of one field that were written concurrently."""

    @abc.abstractmethod
    def merge(self, local: Side, remote: Side) -> Choice:
        """Return the value to take; raises `StateError` for values that it is not made for."""


@attrs.frozen
class LastWrite(Strategy):
    """Take the value of the later write; of two at one time, that of the writer whose name is the greater."""

    def merge(self, local: Side, remote: Side) -> Choice:
        latest = max(local, remote, key=lambda side: (max(side.writes), canonical(side.value)))
        write = max(latest.writes)
        return Choice(latest.value, (write,), f"the last write, by {write.writer!r}")


@attrs.frozen
class Union(Strategy):
    """Take the elements of both sets."""

    def merge(self, local: Side, remote: Side) -> Choice:
        kind = _kind((Set, set, frozenset), local, remote)
        elements = sorted({*local.value, *remote.value}, key=canonical)
        return Choice(kind(elements), both(local, remote))


@attrs.frozen
class Keyed(Strategy):
    """Take what is under either id of a mapping or of entities.

    Where both have another value under one id, the one is taken whose field `at` is the greater, and of equal
    ones, or without `at`, the one that is the greater as JSON. So `at` rises with each change; without it
    what is under an id does not change. Entities come in the order of `at`, then of their ids as JSON.
    """

    at: str | None = None

    def merge(self, local: Side, remote: Side) -> Choice:
        kind = _kind((Entities, Map, dict), local, remote)
        ours, theirs = _by_id(local.value), _by_id(remote.value)
        merged, lost = dict(ours), []
        for key, value in theirs.items():
            if key in ours and ours[key] != value:
                lost.append(key)
                value = max(ours[key], value, key=self._order)  # noqa: PLW2901  # the one that is taken
            merged[key] = value
        why = f"each id's later value, of {sorted(lost, key=canonical)!r}" if lost else ""
        return Choice(self._made(kind, merged, local.value), both(local, remote), why)

    def _made(self, kind: Any, merged: Mapping[Any, Any], like: Any) -> Any:
        if kind is Entities:
            entities = sorted(merged.items(), key=lambda item: (self._time(item[1]), canonical(item[0])))
            return Entities([entity for _, entity in entities], key=like.key)
        return kind(dict(sorted(merged.items(), key=lambda item: canonical(item[0]))))

    def _time(self, value: Any) -> Any:
        return 0 if self.at is None else getattr(value, self.at)

    def _order(self, value: Any) -> tuple[Any, bytes]:
        return self._time(value), canonical(value)


@attrs.frozen
class Counters(Strategy):
    """Take the higher count of each writer, of mappings from writer to count; their sum is what is meant."""

    def merge(self, local: Side, remote: Side) -> Choice:
        kind = _kind((Map, dict), local, remote)
        names = sorted({*local.value, *remote.value})
        counts = {name: max(local.value.get(name, 0), remote.value.get(name, 0)) for name in names}
        return Choice(kind(counts), both(local, remote))


@attrs.frozen
class Siblings:
    """Values that were written concurrently, in the order of their writes; write one to settle it."""

    values: tuple[Any, ...]


@attrs.frozen
class KeepBoth(Strategy):
    """Keep all values side by side, as `Siblings`, until somebody writes a single one."""

    def merge(self, local: Side, remote: Side) -> Choice:
        values = {**_siblings(local), **_siblings(remote)}
        writes = both(local, remote)
        if len(writes) == 1:
            return Choice(values[writes[0]], writes)
        return Choice(
            Siblings(tuple(values[write] for write in writes)), writes, "both are kept side by side"
        )


@attrs.frozen
class MergeWith(Strategy):
    """Have a function `merge(local, remote)` of the application make one value of two.

    What it is (associative, commutative, idempotent or not) the merge of the whole state becomes.
    """

    function: Callable[[Any, Any], Any]

    def merge(self, local: Side, remote: Side) -> Choice:
        value = self.function(local.value, remote.value)
        return Choice(value, both(local, remote), "merged by the application")


def both(local: Side, remote: Side) -> tuple[Write, ...]:
    """Return the writes of both sides, in their order, without those that the other side has replaced."""
    common = set(local.writes) & set(remote.writes)
    ours = {write for write in local.writes if not remote.whole.has_seen([write])}
    theirs = {write for write in remote.writes if not local.whole.has_seen([write])}
    return tuple(sorted(common | ours | theirs))


def canonical(value: Any) -> bytes:
    """Return JSON text by which values can be put in an order that is the same everywhere."""
    if isinstance(value, Siblings):
        return b"\0".join(map(canonical, value.values))
    if isinstance(value, AbstractSet):
        return b"\0".join(sorted(map(canonical, value)))
    if attrs.has(type(value)):
        return SERIALIZER.encode(value, as_type=type(value))
    return SERIALIZER.encode(value)


def _kind(kinds: tuple[Any, ...], local: Side, remote: Side) -> Any:
    found = {type(local.value), type(remote.value)}
    kind = type(local.value)
    if len(found) > 1 or kind not in kinds:
        names = ", ".join(kind.__name__ for kind in kinds)
        got = " and ".join(sorted(kind.__name__ for kind in found))
        raise StateError(f"values of one of these types are merged so: {names}; got {got}")
    return kind


def _by_id(value: Any) -> dict[Any, Any]:
    if isinstance(value, Entities):
        return {getattr(entity, value.key): entity for entity in value}
    return dict(value.items())


def _siblings(side: Side) -> dict[Write, Any]:
    values = side.value.values if isinstance(side.value, Siblings) else (side.value,)
    if len(values) != len(side.writes):
        return {max(side.writes): side.value}
    return dict(zip(side.writes, values, strict=True))
