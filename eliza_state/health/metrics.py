"""One table of figures, for whatever collects metrics: Prometheus, OpenTelemetry, or something of your own.

Labels are levels, modules, kinds and layers, of which there are a few; never ids, paths or names of users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import attrs

from eliza_state.health.state_health import LayerFigures, StateHealth

Sample: TypeAlias = tuple[tuple[str, ...], float]
"""The values of a figure's labels, and the figure."""

_OWN: Final = ("snapshots", "plugins")


@attrs.frozen(kw_only=True)
class Figure:
    """One figure: its name after the conventions of Prometheus, what it says, its labels, how it is read.

    A `counter` only grows while the process lives; a `gauge` is what is so now.
    """

    name: str
    text: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: tuple[str, ...] = ()
    read: Callable[[StateHealth], Iterable[Sample]]


def _one(read: Callable[[StateHealth], float]) -> Callable[[StateHealth], Iterable[Sample]]:
    return lambda health: [((), read(health))]


def _each(read: Callable[[StateHealth], Mapping[str, float]]) -> Callable[[StateHealth], Iterable[Sample]]:
    return lambda health: [((name,), value) for name, value in read(health).items()]


def _rates(health: StateHealth) -> Iterable[Sample]:
    for window_s, rate in health.updates.per_second.items():
        yield (f"{window_s}s",), rate


def _last_update(health: StateHealth) -> Iterable[Sample]:
    if health.updates.last is not None:
        yield (), health.updates.last.timestamp()


def _dispatch(health: StateHealth) -> Iterable[Sample]:
    found = health.updates.dispatch
    if found is not None:
        yield from (
            (("0.5",), found.p50_us / 1e6),
            (("0.95",), found.p95_us / 1e6),
            (("0.99",), found.p99_us / 1e6),
        )


def _of_layers(read: Callable[[LayerFigures], float]) -> Callable[[StateHealth], Iterable[Sample]]:
    """Sum a figure over the layers of one name; plugins with storages of their own count together."""

    def samples(health: StateHealth) -> Iterable[Sample]:
        sums: dict[tuple[str, ...], float] = {}
        for layer in health.layers:
            labels = (layer.place if layer.place in _OWN else "plugin", layer.name)
            sums[labels] = sums.get(labels, 0) + read(layer)
        return sums.items()

    return samples


def _layer_p99(health: StateHealth) -> Iterable[Sample]:
    slowest: dict[tuple[str, ...], float] = {}
    for layer in health.layers:
        if layer.latency is not None:
            labels = (layer.place if layer.place in _OWN else "plugin", layer.name)
            slowest[labels] = max(slowest.get(labels, 0.0), layer.latency.p99_us / 1e6)
    return slowest.items()


_LAYER: Final = ("place", "layer")

FIGURES: Final[tuple[Figure, ...]] = (
    Figure(name="healthy", text="1 if nothing is wrong, else 0.", read=_one(lambda it: float(it.is_healthy))),
    Figure(
        name="reasons",
        text="What is wrong, by condition.",
        labels=("condition",),
        read=lambda it: [
            ((reason.condition,), 1.0) for reason in {r.condition: r for r in it.reasons}.values()
        ],
    ),
    Figure(
        name="process_resident_bytes",
        text="Resident memory of the process.",
        read=_one(lambda it: it.memory.process_bytes),
    ),
    Figure(
        name="module_bytes",
        text="Estimated memory of live slices, by module.",
        labels=("module",),
        read=_each(lambda it: it.memory.by_module),
    ),
    Figure(
        name="level_text_bytes",
        text="Estimated text of live scopes, by level.",
        labels=("level",),
        read=_each(lambda it: it.memory.by_level),
    ),
    Figure(
        name="scopes_live", text="Scopes in memory.", labels=("level",), read=_each(lambda it: it.state.live)
    ),
    Figure(
        name="scopes_held", text="Scopes that cannot be dropped now.", read=_one(lambda it: it.state.held)
    ),
    Figure(
        name="file_bytes",
        text="Sizes of the store's files.",
        labels=("file",),
        read=_each(lambda it: it.state.files),
    ),
    Figure(name="records_per_second", text="Records a second.", labels=("window",), read=_rates),
    Figure(name="last_record_timestamp_seconds", text="When the last record was taken.", read=_last_update),
    Figure(
        name="dispatch_seconds",
        text="How long recent dispatches took to be durable.",
        labels=("quantile",),
        read=_dispatch,
    ),
    Figure(
        name="dispatches_total",
        text="Dispatches that were timed.",
        kind="counter",
        read=_one(lambda it: it.updates.dispatches),
    ),
    Figure(
        name="dispatch_seconds_total",
        text="How long they took together.",
        kind="counter",
        read=_one(lambda it: it.updates.dispatch_s),
    ),
    Figure(
        name="journal_position",
        text="The last position of the journal.",
        read=_one(lambda it: it.journal.head),
    ),
    Figure(
        name="journal_lag_records",
        text="Records of other processes that are not taken in.",
        read=_one(lambda it: it.journal.lag),
    ),
    Figure(
        name="queued_events",
        text="Events that wait for the journal.",
        read=_one(lambda it: it.journal.queued),
    ),
    Figure(
        name="layer_up",
        text="How many layers of this name answer.",
        labels=_LAYER,
        read=_of_layers(lambda layer: float(layer.is_up)),
    ),
    Figure(
        name="layer_hits_total",
        text="Keys that were there.",
        kind="counter",
        labels=_LAYER,
        read=_of_layers(lambda layer: layer.hits),
    ),
    Figure(
        name="layer_misses_total",
        text="Keys that were not there.",
        kind="counter",
        labels=_LAYER,
        read=_of_layers(lambda layer: layer.misses),
    ),
    Figure(
        name="layer_failures_total",
        text="Calls that failed.",
        kind="counter",
        labels=_LAYER,
        read=_of_layers(lambda layer: layer.failures),
    ),
    Figure(name="layer_p99_seconds", text="The slowest of a hundred calls.", labels=_LAYER, read=_layer_p99),
    Figure(
        name="receivers",
        text="Connected receivers of changes.",
        read=_one(lambda it: sum(it.listeners.receivers.values())),
    ),
    Figure(
        name="receiver_waiting_changes",
        text="Changes that wait for the slowest receiver.",
        read=_one(lambda it: it.listeners.waiting),
    ),
    Figure(name="effects", text="Registered effects.", read=_one(lambda it: it.listeners.effects)),
    Figure(
        name="effects_running", text="Runs of effects.", read=_one(lambda it: it.listeners.effects_running)
    ),
    Figure(
        name="followers",
        text="Followers that run.",
        read=_one(lambda it: sum(f.is_running for f in it.listeners.followers)),
    ),
    Figure(
        name="follower_lag_records",
        text="Records that the slowest follower is behind.",
        read=_one(lambda it: max((f.lag for f in it.listeners.followers), default=0)),
    ),
    Figure(
        name="problems_total",
        text="What went wrong without stopping anything, by kind.",
        kind="counter",
        labels=("kind",),
        read=_each(lambda it: it.errors_by_kind),
    ),
    Figure(name="leak_suspects", text="What has grown without end.", read=_one(lambda it: len(it.suspects))),
)
"""What is exported, in the order in which it is shown."""

PREFIX: Final = "eliza_state_"
"""What stands before each name."""
