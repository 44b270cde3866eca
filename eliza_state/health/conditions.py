"""The rules by which a manager is healthy or not: a table, each with a threshold that can be set.

`CONDITIONS` names them all. A threshold of `None` switches a rule off.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from eliza_state.errors import StateError
from eliza_state.health.state_health import Reason, StateHealth

Thresholds: TypeAlias = Mapping[str, float | None]
"""Thresholds by the names of conditions; `None` switches one off."""

Found: TypeAlias = Iterable[tuple[str, float]]
"""What a rule looks at: what it is, and its figure."""

_ENOUGH_READS: Final = 1_000
"""Below so many reads a hit rate says nothing."""


@attrs.frozen(kw_only=True)
class Condition:
    """One rule: each figure that `find` gives is to be at most the threshold, or with `is_least` no less.

    `default` is the threshold unless another is given, `unit` what it is counted in. `text` is filled with
    the figure's `subject`, its `value` and the `limit`.
    """

    name: str
    default: float | None
    unit: str
    text: str
    find: Callable[[StateHealth], Found]
    is_least: bool = False

    def is_met(self, value: float, limit: float) -> bool:
        """Tell whether a figure is as it should be."""
        return value >= limit if self.is_least else value <= limit

    def is_well_met(self, value: float, limit: float, hysteresis: float) -> bool:
        """Tell whether a figure is on the good side by a share of the threshold, so that an alert may end."""
        return self.is_met(value, limit * (1 + hysteresis if self.is_least else 1 - hysteresis))

    def reason(self, subject: str, value: float, limit: float) -> Reason:
        """Return what is to be said of a figure that is not as it should be."""
        text = self.text.format(subject=subject, value=value, limit=limit)
        return Reason(self.name, subject, value, limit, text)


def _memory(health: StateHealth) -> Found:
    if health.memory.machine_bytes:
        yield "", health.memory.process_bytes / health.memory.machine_bytes


def _state(health: StateHealth) -> Found:
    yield "", health.state.size_bytes / health.state.max_bytes


def _idle(health: StateHealth) -> Found:
    if health.updates.last is not None:
        yield "", (health.at - health.updates.last).total_seconds()


def _dispatch(health: StateHealth) -> Found:
    if health.updates.dispatch is not None:
        yield "", health.updates.dispatch.p99_us / 1_000


def _layers(health: StateHealth) -> Found:
    for layer in health.layers:
        if layer.latency is not None:
            yield f"{layer.place} {layer.name}", layer.latency.p99_us / 1_000


def _hit_rates(health: StateHealth) -> Found:
    for layer in health.layers:
        if (
            layer.role == "cache"
            and layer.hits + layer.misses >= _ENOUGH_READS
            and layer.hit_rate is not None
        ):
            yield f"{layer.place} {layer.name}", layer.hit_rate


def _breakers(health: StateHealth) -> Found:
    for layer in health.layers:
        yield f"{layer.place} {layer.name}", float(not layer.is_up)


def _followers(health: StateHealth) -> Found:
    for follower in health.listeners.followers:
        yield follower.name, follower.lag


def _stopped(health: StateHealth) -> Found:
    for follower in health.listeners.followers:
        yield follower.name, float(not follower.is_running)


def _suspects(health: StateHealth) -> Found:
    for suspect in health.suspects:
        yield f"{suspect.kind}: {suspect.subject}", suspect.now / max(suspect.before, 1)


CONDITIONS: Final[Mapping[str, Condition]] = MappingProxyType(
    {
        condition.name: condition
        for condition in (
            Condition(
                name="process_memory",
                default=0.5,
                unit="share of the machine's memory",
                text="the process takes {value:.0%} of the machine's memory, more than {limit:.0%}",
                find=_memory,
            ),
            Condition(
                name="state_size",
                default=1.5,
                unit="share of the limit max_scope_bytes",
                text="live scopes hold {value:.0%} of what idle ones may, more than {limit:.0%}",
                find=_state,
            ),
            Condition(
                name="log_bytes",
                default=1_000_000_000,
                unit="bytes",
                text="the write-ahead log has {value:,.0f} bytes, more than {limit:,.0f}: a reader holds it",
                find=lambda health: [("", health.state.files.get("log", 0))],
            ),
            Condition(
                name="idle_s",
                default=None,
                unit="seconds since the last record",
                text="there has been no record for {value:,.0f} s, more than {limit:,.0f}",
                find=_idle,
            ),
            Condition(
                name="updates_per_second",
                default=None,
                unit="records a second, over a minute",
                text="{value:,.1f} records come a second, more than {limit:,.1f}",
                find=lambda health: [("", health.updates.per_second[60])],
            ),
            Condition(
                name="journal_lag",
                default=1_000,
                unit="records",
                text="{value:,.0f} records of other processes are not taken in, more than {limit:,.0f}",
                find=lambda health: [("", health.journal.lag)],
            ),
            Condition(
                name="queue",
                default=0.5,
                unit="share of the limit max_queued",
                text="the queue to the journal is {value:.0%} full, more than {limit:.0%}",
                find=lambda health: [("", health.journal.queued / health.journal.max_queued)],
            ),
            Condition(
                name="dispatch_p99_ms",
                default=250,
                unit="milliseconds",
                text="1 dispatch in 100 takes {value:,.0f} ms or longer, more than {limit:,.0f}",
                find=_dispatch,
            ),
            Condition(
                name="layer_p99_ms",
                default=1_000,
                unit="milliseconds",
                text="1 call in 100 to {subject} takes {value:,.0f} ms or longer, more than {limit:,.0f}",
                find=_layers,
            ),
            Condition(
                name="hit_rate",
                default=0.05,
                unit="share of reads from a cache, from the thousandth on",
                text="{value:.1%} of the reads from {subject} find something, less than {limit:.1%}",
                find=_hit_rates,
                is_least=True,
            ),
            Condition(
                name="breakers_open",
                default=0,
                unit="open breakers of a layer",
                text="{subject} does not answer and is left alone for a while",
                find=_breakers,
            ),
            Condition(
                name="receivers",
                default=10_000,
                unit="connected receivers",
                text="{value:,.0f} receivers are connected, more than {limit:,.0f}",
                find=lambda health: [("", sum(health.listeners.receivers.values()))],
            ),
            Condition(
                name="receiver_queue",
                default=512,
                unit="changes that wait for one receiver",
                text="{value:,.0f} changes wait for a receiver, more than {limit:,.0f}",
                find=lambda health: [("", health.listeners.waiting)],
            ),
            Condition(
                name="follower_lag",
                default=10_000,
                unit="records",
                text="follower {subject} is {value:,.0f} records behind, more than {limit:,.0f}",
                find=_followers,
            ),
            Condition(
                name="followers_stopped",
                default=0,
                unit="times that a follower has stopped",
                text="follower {subject} has stopped",
                find=_stopped,
            ),
            Condition(
                name="errors_per_minute",
                default=10,
                unit="problems",
                text="{value:,.0f} things went wrong in the last minute, more than {limit:,.0f}",
                find=lambda health: [("", health.errors_per_minute)],
            ),
            Condition(
                name="growth",
                default=1,
                unit="times what it was, of what a look for leaks suspects",
                text="{subject} grew all the time, to {value:,.1f} times what it was",
                find=_suspects,
            ),
            Condition(
                name="damage",
                default=0,
                unit="findings of the last verification",
                text="{value:,.0f} places in the store are damaged; eliza-state verify names them",
                find=lambda health: [] if health.damage is None else [("", health.damage)],
            ),
        )
    }
)
"""The rules by name."""


def checked(thresholds: Thresholds) -> dict[str, float]:
    """Return the thresholds of all conditions that are watched: the given ones, and defaults for the others.

    Raises `StateError` for an unknown name, naming the nearest, and for what is no number of 0 or more.
    """
    for name, limit in thresholds.items():
        if name not in CONDITIONS:
            near = difflib.get_close_matches(name, CONDITIONS, n=3) or CONDITIONS
            raise StateError(f"there is no condition {name!r}; there are {', '.join(map(repr, near))}")
        if limit is not None and (isinstance(limit, bool) or not limit >= 0):
            raise StateError(f"the threshold {name!r} is a number of 0 or more, or None, got {limit!r}")
    merged = {name: condition.default for name, condition in CONDITIONS.items()} | dict(thresholds)
    return {name: limit for name, limit in merged.items() if limit is not None}


def judged(health: StateHealth, thresholds: Mapping[str, float]) -> StateHealth:
    """Return the same health with the reasons that the thresholds give."""
    reasons = [
        CONDITIONS[name].reason(subject, value, limit)
        for name, limit in thresholds.items()
        for subject, value in CONDITIONS[name].find(health)
        if not CONDITIONS[name].is_met(value, limit)
    ]
    return attrs.evolve(health, reasons=tuple(reasons))
