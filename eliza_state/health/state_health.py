"""What a look at a manager finds: figures, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from eliza_state.health.errors import ReportedError
from eliza_state.path import Path
from eliza_state.storage.wrappers.histogram import Latency


@attrs.frozen
class Reason:
    """One thing that is not as it should be.

    `condition` names the rule, `subject` what it found fault with (empty: the whole), `value` stands against
    the rule's `limit`. `text` says it to people.
    """

    condition: str
    subject: str
    value: float
    limit: float
    text: str

    def __str__(self) -> str:
        return self.text


@attrs.frozen(kw_only=True)
class MemoryFigures:
    """The memory in use, in bytes.

    `process_bytes` is the resident memory of the process, `machine_bytes` what the machine has (0: unknown);
    the rest is estimated: by module from a few scopes of each level, by level from the text of the records
    at and below its scopes.
    """

    process_bytes: int
    machine_bytes: int
    by_module: Mapping[str, int]
    by_level: Mapping[str, int]


@attrs.frozen
class ScopeSize:
    """A live scope and the estimate of what it holds, in bytes of text."""

    path: Path
    size_bytes: int


@attrs.frozen(kw_only=True)
class StateFigures:
    """The scopes in memory.

    `live` of them by level, of which `held` cannot go because something goes on with them; `size_bytes` is
    the estimate from the text of their records and snapshots; `max_scopes` and `max_bytes` are the bounds.
    `largest` are the five that hold most. `files` are the sizes of the store's files, by what they are:
    `journal`, `log` (its write-ahead log), `snapshots`, `plugins`, `indexes`.
    """

    live: Mapping[str, int]
    held: int
    size_bytes: int
    max_scopes: int
    max_bytes: int
    largest: tuple[ScopeSize, ...]
    files: Mapping[str, int]


@attrs.frozen(kw_only=True)
class UpdateFigures:
    """How often the state is updated.

    `per_second` gives records a second by window, in seconds (1, 60, 300); `last` is when the journal took
    the last record, `None` before the first. `dispatch` is how long dispatches of the last minutes took to be
    durable: `None` where there were none, and in memory, where nothing is waited for. Those that shared a
    transaction count as long as the first of them, which waited the longest. `dispatches` and `dispatch_s`
    count those that were timed, and their seconds, since the monitor began.
    """

    per_second: Mapping[int, float]
    last: datetime | None
    dispatch: Latency | None
    dispatches: int
    dispatch_s: float


@attrs.frozen(kw_only=True)
class JournalFigures:
    """The journal: its last position `head`, the one that this process has `applied`, and what waits for it.

    `written` is the last position known to be durable, `queued` counts events on their way, of `max_queued`.
    """

    head: int
    applied: int
    written: int
    queued: int
    max_queued: int

    @property
    def lag(self) -> int:
        """How many records of other processes this one has not taken in."""
        return max(self.head - self.applied, 0)


@attrs.frozen(kw_only=True)
class LayerFigures:
    """A layer of the storage of snapshots, or of plugins.

    `place` is `snapshots`, `plugins`, or the name of a plugin with a storage of its own; `role` is `cache`,
    `home` or `archive`, and `storage` for one that is measured and has no layers. `hit_rate` is `None` before
    the first read, `is_up` false while a breaker keeps calls away.
    """

    place: str
    name: str
    role: str
    is_up: bool
    hits: int
    misses: int
    failures: int
    latency: Latency | None

    @property
    def hit_rate(self) -> float | None:
        """The share of the keys asked for that were there."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@attrs.frozen
class FollowerFigures:
    """A follower: how many records it is behind, and whether it runs."""

    name: str
    lag: int
    is_running: bool


@attrs.frozen(kw_only=True)
class ListenerFigures:
    """Who is told of changes: `receivers` by name with the number of connections, `effects`, `followers`.

    `waiting` counts the changes that wait for the slowest receiver, `effects_running` and `effects_waiting`
    the runs of effects.
    """

    receivers: Mapping[str, int]
    waiting: int
    effects: int
    effects_running: int
    effects_waiting: int
    followers: tuple[FollowerFigures, ...]


@attrs.frozen
class Suspect:
    """Something that has grown all through a window: `kind`, what it is, from `before` to `now` in `unit`."""

    kind: str
    subject: str
    before: float
    now: float
    window_s: float
    unit: str

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.subject} grew from {self.before:,.0f} to {self.now:,.0f} {self.unit}"
            f" in {self.window_s:,.0f} s"
        )


@attrs.frozen(kw_only=True)
class StateHealth:
    """The health of a manager at a time (`at`, by the manager's clock, in UTC).

    `reasons` are why it is not healthy; `errors` the last hundred problems, the oldest first, and
    `errors_by_kind` how many there were of each. `damage` counts what the last verification by this monitor
    found, `None` before the first. Nothing in here is a secret.
    """

    at: datetime
    reasons: tuple[Reason, ...]
    memory: MemoryFigures
    state: StateFigures
    updates: UpdateFigures
    journal: JournalFigures
    layers: tuple[LayerFigures, ...]
    listeners: ListenerFigures
    errors: tuple[ReportedError, ...]
    errors_by_kind: Mapping[str, int]
    errors_per_minute: int
    suspects: tuple[Suspect, ...]
    damage: int | None

    @property
    def is_healthy(self) -> bool:
        """Whether there is nothing to complain of."""
        return not self.reasons

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON: paths in their text form, times as ISO 8601."""
        return {"is_healthy": self.is_healthy, **attrs.asdict(self, value_serializer=_plain)}


def _plain(_owner: object, _field: object, value: Any) -> Any:
    if isinstance(value, Path):
        return value.encode()
    if isinstance(value, datetime):
        return value.isoformat()
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else value
