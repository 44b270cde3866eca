"""All measurements of this suite: by history, by tasks, on a slow disk, on PostgreSQL, and the space."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.appending import (
    by_hand,
    event_sourcing,
    google_adk,
    langgraph,
    on_postgres,
    openai_agents,
    slow_disk,
)
from benchmarks.appending.measuring import OURS_LEAST, RUNS, TASKS, Load, bytes_a_message, pair, side
from benchmarks.appending.ours import NAME, OURS
from benchmarks.appending.sides import Side
from benchmarks.harness import Row, Skipped, apart, compare
from benchmarks.places import disk_folder, memory_folder
from benchmarks.plots import Plot, curves

HISTORIES: Final = (1, 100, 1_000, 10_000)
QUICK_HISTORIES: Final = (1, 100)
LEAN: Final = (
    by_hand.SQLITE_ALONE,
    openai_agents.SQLITE,
    openai_agents.SQLALCHEMY,
    event_sourcing.KEPT,
    event_sourcing.SNAPSHOTS,
    google_adk.SQLITE,
)
HEAVY: Final = (
    langgraph.UPDATED,
    langgraph.JOINED,
    langgraph.JOINED_ASYNC,
    langgraph.DELTA,
    langgraph.MERGED,
    langgraph.MERGED_ASYNC,
)
"""The sides that store the history anew with each message."""

BOUNDS: Final[Mapping[Side, float]] = {
    openai_agents.SQLITE: 1.0,
    event_sourcing.KEPT: 1.0,
    event_sourcing.SNAPSHOTS: 1.0,
    google_adk.SQLITE: 1 / 5,
    langgraph.JOINED: 1 / 5,
    langgraph.MERGED: 1 / 25,
}
"""Of one task, with a history of a thousand."""

LONG_BOUNDS: Final[Mapping[Side, float]] = {langgraph.MERGED: 1 / 300}
"""Of one task, with a history of ten thousand."""

MANY_BOUNDS: Final[Mapping[Side, float]] = {
    **dict.fromkeys(LEAN[1:], 1 / 6),
    **dict.fromkeys(HEAVY, 1 / 20),
}
"""Of many tasks."""


_FLAT_TALKS: Final = 20


def rows(*, quick: bool = False) -> list[Row | Skipped]:
    """Measure all of this folder; the quick size leaves out the disks, and what takes long on them."""
    if quick:
        with memory_folder() as memory:
            short = [row for history in QUICK_HISTORIES for row in _one_task(history, memory, runs=1)]
            return [*short, *_many_tasks(memory, "no disk", history=1, runs=1), *_space(memory, count=50)]
    with memory_folder() as memory, disk_folder() as disk:
        return [
            *(row for history in HISTORIES for row in _one_task(history, memory, runs=RUNS)),
            _flat(memory),
            *_on_disk(disk),
            *_many_tasks(memory, "no disk", history=1_000, runs=3),
            *_many_tasks(disk, "on disk", history=1_000, runs=3),
            *slow_disk.rows(),
            *on_postgres.rows(),
            *_space(memory, count=1_000),
        ]


def name_of(history: int) -> str:
    """Return the name of the rows that a plot shows at a history."""
    return Load(history, 0, "no disk", None).name


def plots(found: Sequence[Row | Skipped]) -> list[Plot]:
    """Return how the cost of a message grows with the history before it."""
    by_place = {history: name_of(history) for history in HISTORIES}
    shown = curves(found, by_place, ours=NAME)
    title = "A durable append, one task, no wait for a disk"
    return [Plot("appending", title, "messages in the conversation before", "µs a message", shown)]


def _one_task(history: int, base: Path, *, runs: int) -> list[Row]:
    bounds = {1_000: BOUNDS, 10_000: LONG_BOUNDS}.get(history, {})
    few = 5 if history == 10_000 else 20
    lean = Load(history, OURS_LEAST, "no disk", base, runs=runs)
    heavy = attrs.evolve(lean, appends=few)
    return [
        *(pair(lean, other, bound=bounds.get(other)) for other in LEAN),
        *(pair(heavy, other, bound=bounds.get(other)) for other in HEAVY),
    ]


def _flat(base: Path) -> Row:
    # As many conversations on both sides, since each is a scope of its own; the short ones grow to thirty.
    ends = HISTORIES[0], HISTORIES[-1]
    short, long = (Load(each, 100, "no disk", base, conversations=_FLAT_TALKS) for each in ends)
    with side(long, OURS) as ours, side(short, OURS) as other, apart():
        other_name = f"{NAME}, to {HISTORIES[0]}"
        return compare(long.name, ours=ours, other=other, other_name=other_name, unit="µs", bound=1.2)


def _on_disk(base: Path) -> list[Row]:
    load = Load(1_000, 10, "on disk", base, runs=3)
    return [pair(load, other, bound=BOUNDS.get(other)) for other in (*LEAN, *HEAVY)]


def _many_tasks(base: Path, place: str, *, history: int, runs: int) -> list[Row]:
    load = Load(history, 4, place, base, tasks=TASKS, runs=runs)
    others = (by_hand.SQLITE_GROUPED, *LEAN, *HEAVY)
    return [pair(load, other, bound=MANY_BOUNDS.get(other)) for other in others]


def _space(base: Path, *, count: int) -> list[Row]:
    name = f"a message on disk, {count:,} appended one by one"
    measure = functools.partial(bytes_a_message, count=count, base=base)
    ours = measure(OURS)
    others = (*LEAN, langgraph.UPDATED, langgraph.JOINED, langgraph.DELTA, langgraph.MERGED)
    return [
        Row(name, "bytes", [ours], [], "", 600.0),
        *(Row(name, "bytes", [ours], [measure(other)], other.name, None) for other in others),
    ]
