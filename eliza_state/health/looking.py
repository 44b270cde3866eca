"""Reading the figures out of a manager and its parts, at one moment."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from eliza_state.health.memory import entries_of, weight_of
from eliza_state.health.state_health import (
    FollowerFigures,
    LayerFigures,
    ListenerFigures,
    ScopeSize,
    StateFigures,
)
from eliza_state.manager import StateManager
from eliza_state.scopes import LiveScope
from eliza_state.storage import Storage
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.wrappers import MeasuredStorage
from eliza_state.storage.wrappers.histogram import Latency

_WEIGHED: Final = 8
"""How many scopes of a level are weighed for the estimate of its modules."""
_LARGEST: Final = 5
_GROWING: Final = 50
"""How many of the largest scopes have the entries of their slices followed."""

_FILES: Final = {
    "journal": "",
    "log": "-wal",
    "snapshots": "-snapshots",
    "plugins": "-plugins",
    "indexes": "-indexes",
}


def state_figures(manager: StateManager, live: Sequence[LiveScope]) -> StateFigures:
    """Return the figures of the scopes in memory, and of the store's files."""
    scopes = manager.core.scopes
    levels = Counter(scope.level for scope in live)
    return StateFigures(
        live=dict(levels),
        held=sum(bool(scope.held or scope.pending) for scope in live),
        size_bytes=scopes.size_bytes,
        max_scopes=scopes.max_scopes,
        max_bytes=scopes.max_bytes,
        largest=tuple(ScopeSize(scope.path, scope.size_bytes) for scope in _largest(live, _LARGEST)),
        files=file_sizes(manager.core.database),
    )


def _largest(live: Sequence[LiveScope], count: int) -> list[LiveScope]:
    return heapq.nlargest(count, live, key=lambda scope: scope.size_bytes)


def file_sizes(database: str | None) -> dict[str, int]:
    """Return the sizes in bytes of those files of a store that are there; none for a store in memory."""
    sizes: dict[str, int] = {}
    for name, suffix in _FILES.items() if database is not None else ():
        with contextlib.suppress(OSError):
            sizes[name] = os.stat(f"{database}{suffix}").st_size
    return sizes


def level_bytes(live: Sequence[LiveScope]) -> dict[str, int]:
    """Return the estimate of what the scopes of each level hold, in bytes of text."""
    sizes: Counter[str] = Counter()
    for scope in live:
        sizes[scope.level] += scope.size_bytes
    return dict(sizes)


def module_bytes(live: Sequence[LiveScope]) -> dict[str, int]:
    """Return the estimate of the memory that the slices of each module take.

    A few scopes of each level are weighed, evenly chosen among them, and the others taken to weigh as much.
    """
    by_level: dict[str, list[LiveScope]] = {}
    for scope in live:
        by_level.setdefault(scope.level, []).append(scope)
    sizes: dict[str, int] = {}
    for scopes in by_level.values():
        step = max(len(scopes) // _WEIGHED, 1)
        weighed = scopes[::step][:_WEIGHED]
        for name in weighed[0].published:
            together = sum(weight_of(scope.published.get(name)) for scope in weighed)
            sizes[name] = together * len(scopes) // len(weighed)
    return sizes


def slice_entries(live: Sequence[LiveScope]) -> Iterator[tuple[str, int]]:
    """Yield the collections in the slices of the largest scopes, by name, and how many entries they have."""
    for scope in _largest(live, _GROWING):
        where = scope.path.encode() or "the root"
        for name, state in scope.published.items():
            for field, count in entries_of(state):
                yield f"{name}.{field} of {where}", count


def listener_figures(manager: StateManager) -> ListenerFigures:
    """Return who is told of changes, and how far they are behind."""
    signals, applied = manager.core.signals, manager.core.heads.applied
    return ListenerFigures(
        receivers=dict(signals.receivers()),
        waiting=signals.waiting,
        effects=len(manager.effects),
        effects_running=manager.effects.running,
        effects_waiting=manager.effects.waiting,
        followers=tuple(
            FollowerFigures(each.name, max(applied - each.position, 0), each.is_running)
            for each in manager.followers
        ),
    )


def layer_figures(manager: StateManager) -> tuple[LayerFigures, ...]:
    """Return the layers of the storages of snapshots and plugins, as far as these tell."""
    return tuple(figures for place, storage in _storages(manager) for figures in _layers(place, storage))


def _storages(manager: StateManager) -> Iterator[tuple[str, Storage[Any]]]:
    snapshots, plugins = manager.core.snapshots, manager.parts.plugins.opened
    if snapshots is not None and snapshots.storage is not None:
        yield "snapshots", snapshots.storage
    if plugins is not None:
        for name, storage in plugins.storages().items():
            yield name or "plugins", storage


def _layers(place: str, storage: Storage[Any]) -> Iterator[LayerFigures]:
    if isinstance(storage, LayeredStore):
        for layer in storage.status():
            yield LayerFigures(
                place=place,
                name=layer.name,
                role=layer.role,
                is_up=layer.is_up,
                hits=layer.hits,
                misses=layer.misses,
                failures=layer.failures,
                latency=layer.latency,
            )
    elif isinstance(storage, MeasuredStorage):
        told = storage.statistics
        yield LayerFigures(
            place=place,
            name=storage.backend.name,
            role="storage",
            is_up=True,
            hits=told.hits,
            misses=told.misses,
            failures=sum(told.errors.values()),
            latency=_slowest(told.latencies),
        )


def _slowest(latencies: Mapping[str, Latency]) -> Latency | None:
    """The latency of the operation that is slowest: what a measured storage is judged by."""
    return max(latencies.values(), key=lambda latency: latency.p99_us, default=None)
