"""The layered store: hot keys in memory, warm ones in a shared cache, all of them at home in a database.

>>> store = LayeredStore("state.db")
>>> store = LayeredStore("redis://localhost", "postgresql+psycopg://localhost/state", "archive:///var/archive")
>>> await store.set("session:7", {"counter": 1}, options=PersistOptions(ttl_ms=60_000))
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Literal, Self, TypeVar

import attrs

from eliza_state.clock import Clock, now_us
from eliza_state.problems import Problems
from eliza_state.storage.backend import Backend, Entry
from eliza_state.storage.cache import CacheBackend
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.keys import full_key
from eliza_state.storage.layered.backend import LayeredBackend
from eliza_state.storage.layered.breaker import Breaker
from eliza_state.storage.layered.cache_layer import CacheLayer
from eliza_state.storage.layered.front import Front
from eliza_state.storage.layered.layer import Layer, LayerStatus
from eliza_state.storage.layered.layers import Layers
from eliza_state.storage.layered.options import DEFAULT, PersistOptions
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.opening import open_backend
from eliza_state.storage.storage import UNSET, Storage, TimeToLive
from eliza_state.storage.table import Table

V = TypeVar("V")
D = TypeVar("D")

CACHE_TIMEOUT_MS: Final = 250
HOME_TIMEOUT_MS: Final = 10_000
AGE_BEHIND_CACHE_MS: Final = 60_000
AGE_ALONE_MS: Final = 1_000


@attrs.frozen
class MemoryLimits:
    """Bound the memory in front: entries, bytes, and whether readers get the very object that is held.

    `max_entries=0` leaves the memory out.
    """

    max_entries: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    share: bool = False


class LayeredStore(Storage[V]):
    """Keep values in layers, given from the top: shared caches, the home, and below it an archive.

    The memory of this process comes first by itself. The lowest layer that is no archive is the home: it
    acknowledges writes. A layer is a backend or its URL; a text without a scheme is a SQLite file.

    A copy above the home is at most `max_age_ms` old when it is read, whatever other processes do; with a
    shared cache (then 60 s by default) they tell each other what they write, so it is much newer as a rule.
    Without one the default is 1 s; `None`, for a home that no other process writes, never asks again.
    `timeouts_ms` gives the time limits of layers by name, `cache_keeps_own` lets keys live in the cache only
    (`PersistOptions(persistent=False)`): then, while it does not answer, reading a key that is not at home
    is an error. Values are written once, by `encoding`, whatever the number of layers.
    """

    def __init__(
        self,
        *layers: Backend[bytes] | str,
        memory: MemoryLimits = MemoryLimits(),  # frozen
        encoding: Encoding[V] | None = None,
        ttl_ms: float | None = None,
        max_age_ms: int | Literal["default"] | None = "default",
        cache_keeps_own: bool = False,
        timeouts_ms: Mapping[str, float] | None = None,
        clock: Clock = now_us,
    ) -> None:
        backends = [open_backend(layer, clock=clock) if isinstance(layer, str) else layer for layer in layers]
        age_ms = _age(max_age_ms, has_caches=bool(_roles(backends)[0]))
        encoding = Encoding[V]() if encoding is None else encoding
        caches, home, archive = _layers(
            backends,
            limits=_Limits(timeouts_ms or {}, backends),
            max_age_ms=AGE_BEHIND_CACHE_MS if age_ms is None else age_ms,
            cache_keeps_own=cache_keeps_own,
        )
        made = Layers(
            front=_front(memory, encoding, age_ms),
            own=MemoryBackend(Table[Any](), encoding=None if memory.share else encoding, clock=clock),
            caches=caches,
            home=home,
            archive=archive,
            encoding=encoding,
        )
        self._layered = LayeredBackend(made, clock=clock)
        self._wraps: tuple[Callable[[Backend[V]], Backend[V]], ...] = ()
        super().__init__(self._layered, ttl_ms=ttl_ms)
        self._keep(DEFAULT)

    def _keep(self, options: PersistOptions) -> None:
        """Read and write through what was put around the layers, with options that those do not know of."""
        self._options = options
        self._backend = self._layered.seen(options)
        self._fresh: Backend[V] = self._layered.seen(options, fresh=True)
        for wrap in self._wraps:
            self._backend = wrap(self._backend)
            self._fresh = wrap(self._fresh)

    def keeping(self, options: PersistOptions) -> Self:
        """Return the same store which writes with other options: where values are kept, and for how long."""
        view = copy.copy(self)
        view._owns_backend = False
        view._keep(options)
        return view

    def around(self, wrap: Callable[[Backend[V]], Backend[V]]) -> Self:
        """Return the same store over a backend that is put around the layers; `wrap` is called repeatedly."""
        view = copy.copy(self)
        view._wraps = (*self._wraps, wrap)
        view._keep(self._options)
        return view

    def get(  # pyright: ignore[reportIncompatibleMethodOverride]  # its `CoroutineType` is a `Coroutine`
        self, key: str, default: D | None = None, *, consistency: Literal["cached", "home"] = "cached"
    ) -> Coroutine[Any, Any, V | D | None]:
        """Return the value of a key, or `default` if it does not exist.

        With `consistency="home"` the home is asked, so that whatever was acknowledged before is seen.
        """
        # No coroutine around the other one: what is in memory would take a tenth longer.
        return super().get(key, default) if consistency == "cached" else self._get_newest(key, default)

    async def _get_newest(self, key: str, default: D | None) -> V | D | None:
        entry = await self._newest(full_key(self._space, key))
        return default if entry is None else entry.live_value

    async def _newest(self, full: str) -> Entry[V] | None:
        entry = (await self._fresh.read((full,))).get(full)
        return entry if entry is not None and entry.is_live(self._fresh.now_ms) else None

    async def set(
        self,
        key: str,
        value: V,
        *,
        ttl_ms: TimeToLive = UNSET,
        expected_version: int | None = None,
        options: PersistOptions | None = None,
    ) -> int:
        """Store a value where the options say, and return its version; see `Storage.set`.

        With `expected_version` it is compared and stored where the key lives. Raises `OtherHome` where the
        options would keep it further up than that, and `NotArchived` where the home has it and the archive
        could not be told.
        """
        view = self if options is None else self.keeping(options)
        if ttl_ms is UNSET and view._options.ttl_ms is not None:
            ttl_ms = view._options.ttl_ms
        return await super(LayeredStore, view).set(
            key, value, ttl_ms=ttl_ms, expected_version=expected_version
        )

    @property
    def problems(self) -> Problems:
        """The last 1,000 outages of layers with their ends, and copies that were left unrepaired: `layer`."""
        return self._layered.problems

    def status(self) -> list[LayerStatus]:
        """Return the figures of the layers, from memory down."""
        return self._layered.status()

    def kept_in(self) -> list[Backend[V]]:
        """Return the home and the archive, each by itself, for a look at what they keep; not to be closed."""
        return self._layered.kept_in()

    async def flush(self, layer: str | None = None) -> None:
        """Write what is held back for a layer, by name, or for all: debounced writes, copies to repair.

        Raises `StoreError` when a layer does not answer.
        """
        await self._layered.flush_layer(layer)

    async def forget(self, layer: str = "memory") -> None:
        """Drop the copies that memory or a cache holds; the next reads come from below."""
        await self._layered.forget(layer)


def _roles(
    backends: Sequence[Backend[bytes]],
) -> tuple[list[CacheBackend[bytes]], Backend[bytes], Backend[bytes] | None]:
    """Return the caches, the home and the archive among layers."""
    archive = backends[-1] if backends and backends[-1].is_archive else None
    rest = backends if archive is None else backends[:-1]
    if not rest or any(backend.is_archive for backend in rest):
        raise ValueError(
            "a store has a home for its keys, a layer that is no archive, and one archive at most"
        )
    *above, home = rest
    caches = [backend for backend in above if isinstance(backend, CacheBackend)]
    if len(caches) != len(above):
        others = [backend.name for backend in above if not isinstance(backend, CacheBackend)]
        raise ValueError(f"only a shared cache lies above the home; got {', '.join(others)} there")
    return caches, home, archive


def _layers(
    backends: Sequence[Backend[bytes]], *, limits: _Limits, max_age_ms: int, cache_keeps_own: bool
) -> tuple[list[CacheLayer], Layer[Backend[bytes]], Layer[Backend[bytes]] | None]:
    """Return the caches, the home and the archive as layers with their time limits."""
    caches, home, archive = _roles(backends)
    if cache_keeps_own and not caches:
        raise ValueError("`cache_keeps_own` needs a shared cache above the home")

    problems = Problems()

    def layer(backend: Backend[bytes], role: str) -> Layer[Backend[bytes]]:
        timeout_ms = limits.of(backend, HOME_TIMEOUT_MS)
        return Layer(backend, role=role, timeout_ms=timeout_ms, breaker=Breaker(), problems=problems)

    home_layer = layer(home, "home")
    cache_layers = [
        CacheLayer(
            cache,
            timeout_ms=limits.of(cache, CACHE_TIMEOUT_MS),
            breaker=Breaker(),
            max_age_ms=max_age_ms,
            keeps_own=cache_keeps_own and cache is caches[-1],
            home=home_layer,
        )
        for cache in caches
    ]
    return cache_layers, home_layer, None if archive is None else layer(archive, "archive")


class _Limits:
    """Time limits of layers by name."""

    def __init__(self, timeouts_ms: Mapping[str, float], backends: Sequence[Backend[bytes]]) -> None:
        names = {backend.name for backend in backends}
        if unknown := sorted(set(timeouts_ms) - names):
            raise ValueError(f"no layer is named {unknown[0]!r}; there are {', '.join(sorted(names))}")
        self._timeouts_ms = timeouts_ms

    def of(self, backend: Backend[bytes], default_ms: float) -> float:
        return self._timeouts_ms.get(backend.name, default_ms)


def _age(max_age_ms: int | Literal["default"] | None, *, has_caches: bool) -> int | None:
    if max_age_ms == "default":
        return AGE_BEHIND_CACHE_MS if has_caches else AGE_ALONE_MS
    if max_age_ms is not None and max_age_ms < 0:
        raise ValueError(f"an age is a number of milliseconds, 0 or more, got {max_age_ms!r}")
    if max_age_ms is None and has_caches:
        raise ValueError("copies in a shared cache need a bound on their age: other processes write too")
    return max_age_ms


def _front(memory: MemoryLimits, encoding: Encoding[V], max_age_ms: int | None) -> Front[V]:
    table = Table[Any](max_entries=max(memory.max_entries, 1), max_bytes=memory.max_bytes)
    return Front(
        table,
        encoding=encoding,
        max_age_ms=max_age_ms if memory.max_entries else 0,
        share=memory.share,
    )
