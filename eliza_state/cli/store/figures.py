"""What there is in the layers of a storage, and how quickly they answer."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from eliza_state.cli.store.formats import AsStored
from eliza_state.cli.store.opening import Place, open_layer, over
from eliza_state.errors import StoreError
from eliza_state.storage.addresses import path_of, scheme_of
from eliza_state.storage.backend import Backend
from eliza_state.storage.keys import full_key
from eliza_state.storage.layered import LayeredStore

PROBES: Final = 20
"""How often a layer is asked for a key that is not there."""

_PROBE: Final = "eliza-state-probe"


@attrs.frozen(kw_only=True)
class Figures:
    """What is known of a layer.

    `keys` live, and `dead` entries wait for a sweep; `size_bytes` is what its file or folder takes. A probe
    took `probe_ms` as a rule and `slowest_ms` at most. `breaker` is `closed` or `open`, and `None` where
    nothing is layered. `error` says why a layer does not answer; the other figures are `None` then.
    """

    name: str
    role: str
    keys: int | None = None
    dead: int | None = None
    size_bytes: int | None = None
    probe_ms: float | None = None
    slowest_ms: float | None = None
    breaker: str | None = None
    error: str | None = None


async def figures_of(place: Place) -> list[Figures]:
    """Return the figures of the layers, from the top down; counting goes over all keys of the namespace."""
    found: list[Figures] = []
    backends: list[Backend[bytes]] = []
    async with contextlib.AsyncExitStack() as stack:
        for url, role in zip(place.urls, _roles(place), strict=True):
            try:
                backend = open_layer(url, to_read=True)
            except StoreError as error:
                found.append(Figures(name=scheme_of(url) or "sqlite", role=role, error=str(error)))
                continue
            stack.push_async_callback(backend.close)
            backends.append(backend)
            found.append(await _measured(backend, role, url, place.space))
        if 1 < len(backends) == len(place.urls):
            states = await _breakers(backends)
            return [attrs.evolve(one, breaker=state) for one, state in zip(found, states, strict=True)]
    return found


def _roles(place: Place) -> list[str]:
    if len(place.urls) == 1:
        return ["storage"]
    above = len(place.without_archive().urls) - 1
    return ["cache"] * above + ["home"] + ["archive"] * (place.archive is not None)


async def _measured(backend: Backend[bytes], role: str, url: str, space: str) -> Figures:
    took_ms: list[float] = []
    keys = dead = 0
    try:
        await backend.look([full_key("", _PROBE)])  # the first one connects
        for _ in range(PROBES):
            started = time.perf_counter()
            await backend.look([full_key("", _PROBE)])
            took_ms.append((time.perf_counter() - started) * 1_000)
        async for page in backend.scan(space, nested=True):
            now_ms = backend.now_ms
            live = sum(mark.is_live(now_ms) for _, mark in page)
            keys, dead = keys + live, dead + len(page) - live
    except StoreError as error:
        return Figures(name=backend.name, role=role, error=str(error))
    return Figures(
        name=backend.name,
        role=role,
        keys=keys,
        dead=dead,
        size_bytes=_size_bytes(path_of(url)),
        probe_ms=statistics.median(took_ms),
        slowest_ms=max(took_ms),
    )


def _size_bytes(path: Path | None) -> int | None:
    """Return what a file, or all files in a folder, take; `None` for what is neither."""
    if path is None or not path.exists():
        return None
    if path.is_file():
        return path.stat().st_size
    size_bytes = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # others replace them meanwhile
                size_bytes += os.stat(os.path.join(folder, name)).st_size
    return size_bytes


async def _breakers(backends: Sequence[Backend[bytes]]) -> list[str]:
    """Return the states of the layers' breakers after some reading through all of them."""
    async with over(backends, AsStored()) as storage:
        assert isinstance(storage, LayeredStore)
        for _ in range(PROBES):
            with contextlib.suppress(StoreError):
                await storage.get(_PROBE)
        memory, *layers = storage.status()
        assert memory.name == "memory"
        return ["closed" if layer.is_up else "open" for layer in layers]
