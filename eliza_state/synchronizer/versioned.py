"""States that come without a log: a value with the clock of what it has seen, and who wrote which field last.

Each field carries the writes that it is made of, as dots of the clock (Preguiça et al., 2010): so of two
states it is known field by field whether one has seen the other's, not for the whole alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import attrs

from eliza_state.errors import StateError
from eliza_state.synchronizer.vector_clock import VectorClock

S = TypeVar("S")


class Write(NamedTuple):
    """One write: when, by whom, and its number among that writer's; the order is that of the tuples.

    `at_us` is in microseconds since 1970, and higher than that of every write its writer had seen: a hybrid
    logical clock.
    """

    at_us: int
    writer: str
    number: int


@attrs.frozen
class Versioned(Generic[S]):
    """A state, an attrs object or a mapping with text keys, as one replica has it.

    `clock` counts the writes it has seen by writer; `writes` are for each field those that its value is made
    of: one, or several where values were merged. A field that nobody wrote has none. Made by `written` from a
    first state, then by `change` and by `sync`.
    """

    state: S
    clock: VectorClock = attrs.field(factory=VectorClock)
    writes: Mapping[str, tuple[Write, ...]] = attrs.field(factory=dict[str, tuple[Write, ...]])

    def change(self, state: S, *, writer: str, at_us: int) -> Versioned[S]:
        """Return this after a writer has replaced the state.

        Fields that are the same objects as before were not written. `at_us` is the time now; where it is not
        past what was seen, the next microsecond is taken.
        """
        before, after = fields_of(self.state), fields_of(state)
        changed = [name for name, value in after.items() if name not in before or value is not before[name]]
        if not changed:
            return self
        clock = self.clock.increment(writer)
        last_us = max((write.at_us for writes in self.writes.values() for write in writes), default=0)
        write = Write(max(at_us, last_us + 1), writer, clock.count(writer))
        kept = {name: writes for name, writes in self.writes.items() if name in after}
        return Versioned(state, clock, {**kept, **dict.fromkeys(changed, (write,))})

    def has_seen(self, writes: Iterable[Write]) -> bool:
        """Tell whether this was made in the knowledge of all these writes."""
        return all(self.clock.count(write.writer) >= write.number for write in writes)


def written(state: S, *, writer: str, at_us: int) -> Versioned[S]:
    """Return a state of which one writer has written all fields."""
    write = Write(at_us, writer, 1)
    return Versioned(state, VectorClock({writer: 1}), dict.fromkeys(fields_of(state), (write,)))


def fields_of(state: Any) -> dict[str, Any]:
    """Return the fields of a state by name; `StateError` for one that has none."""
    if attrs.has(type(state)):
        return {field.name: getattr(state, field.name) for field in attrs.fields(type(state))}
    if isinstance(state, Mapping) and all(isinstance(name, str) for name in state):
        return dict(state)
    raise StateError(f"a state to be merged is an attrs object or a mapping with text keys, got {state!r}")


def with_fields(state: Any, fields: Mapping[str, Any]) -> Any:
    """Return a state like this one with these fields."""
    if attrs.has(type(state)):
        aliases = {field.name: field.alias for field in attrs.fields(type(state))}
        return attrs.evolve(state, **{aliases[name] or name: value for name, value in fields.items()})
    return type(state)(fields)
