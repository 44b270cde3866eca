"""All measurements of this suite: round trips, lengths and losses.

The figures of a round trip are the processor's time, since nothing waits.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import attrs

from benchmarks.harness import Row, compare
from benchmarks.serialising import sides
from benchmarks.serialising.losses import differences, losses
from benchmarks.serialising.sides import Side
from benchmarks.serialising.talks import MESSAGES, conversation, session, untyped

RUNS: Final = 9
LANGGRAPH_BOUND: Final = 1 / 3
JSONPICKLE_BOUND: Final = 1 / 20
MSGSPEC_BOUND: Final = 1.5

_TYPED: Final[Sequence[tuple[Side, Side, float | None]]] = (
    (sides.OURS_JSON, sides.MSGSPEC_JSON, MSGSPEC_BOUND),
    (sides.OURS_MSGPACK, sides.MSGSPEC_MSGPACK, MSGSPEC_BOUND),
    (sides.OURS_MSGPACK, sides.LANGGRAPH, LANGGRAPH_BOUND),
    (sides.OURS_JSON, sides.LANGGRAPH, LANGGRAPH_BOUND),
    (sides.OURS_JSON, sides.JSONPICKLE, JSONPICKLE_BOUND),
    (sides.OURS_JSON, sides.JSON_HOOKS, None),
    (sides.OURS_JSON, sides.ORJSON, None),
    (sides.OURS_MSGPACK, sides.ORMSGPACK, None),
    (sides.OURS_JSON, sides.PYDANTIC, None),
    (sides.OURS_MSGPACK, sides.PICKLE, None),
)
_UNTYPED: Final[Sequence[tuple[Side, Side, float | None]]] = (
    (sides.OURS_MSGPACK_UNTYPED, sides.LANGGRAPH, 1.0),
    (sides.OURS_JSON_UNTYPED, sides.LANGGRAPH, 1.0),
    (sides.OURS_JSON_UNTYPED, sides.JSONPICKLE, None),
    (sides.OURS_JSON_UNTYPED, sides.JSON_HOOKS, None),
    (sides.OURS_MSGPACK_UNTYPED, sides.ORMSGPACK_HOOKS, None),
    (sides.OURS_MSGPACK_UNTYPED, sides.PICKLE, None),
)


@attrs.frozen
class Workload:
    """A value, and how often it makes the round trip each time that is measured."""

    name: str
    value: Any
    times: int


def rows() -> list[Row]:
    """Measure all of this folder."""
    talk = conversation()
    long = Workload(f"a conversation of {MESSAGES:,} messages, typed", talk, 1)
    short = Workload("a state of a kilobyte, typed", session(), 200)
    loose = Workload(f"a conversation of {MESSAGES:,} messages, untyped", untyped(talk), 1)
    pairs = [(work, pair) for work in (long, short) for pair in _TYPED]
    pairs += [(loose, pair) for pair in _UNTYPED]
    found = [_row(work, *pair) for work, pair in pairs]
    gc.unfreeze()
    return found


def _row(work: Workload, ours: Side, other: Side, bound: float | None) -> Row:
    here, there = _round_trips(work, ours), _round_trips(work, other)
    gc.collect()
    gc.freeze()  # packages and values are no matter of a round trip, but a collection goes through them
    row = compare(
        f"round trip, {ours.name}: {work.name}",
        ours=here,
        other=there,
        other_name=other.name,
        unit="µs",
        bound=bound,
        runs=RUNS,
    )
    lengths = " / ".join(f"{_length(work, side):,}" for side in (ours, other))
    parts = (f"{lengths} bytes", other.note, _changed(work, other), f"of single values: {_lost(other)}")
    return attrs.evolve(row, note="; ".join(part for part in parts if part))


def _round_trips(work: Workload, side: Side) -> Callable[[], float]:
    codec, value = side.codec(type(work.value)), side.adapted(work.value)

    def taken() -> float:
        """Return the microseconds of a round trip."""
        started = time.process_time()
        for _ in range(work.times):
            codec.round_trip(value)
        return (time.process_time() - started) / work.times * 1e6

    return taken


def _changed(work: Workload, side: Side) -> str:
    """Say which types are others in what was measured, once it came back."""
    value = side.adapted(work.value)
    found = Counter(differences(value, side.codec(type(work.value)).round_trip(value)))
    changes = ", ".join(f"{count:,} times {difference}" for difference, count in found.most_common())
    return f"in this value: {changes}" if changes else ""


@cache
def _lost(side: Side) -> str:
    return losses(lambda value, declared: side.codec(declared).round_trip(value))


def _length(work: Workload, side: Side) -> int:
    return len(side.codec(type(work.value)).encode(side.adapted(work.value)))
