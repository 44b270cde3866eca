"""How much memory is used: by the process, and, estimated, by the states in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import attrs

from eliza_state.collections import Log
from eliza_state.collections.chunk import LazyChunk
from eliza_state.collections.keyed import Keyed

_LOOKED_AT: Final = 8
"""How many elements of a collection are weighed; the others are taken to weigh as much."""
_DEPTH: Final = 6


def process_bytes() -> int:
    """Return the resident memory of this process in bytes.

    From psutil if that is installed, else from the operating system: on Linux the present figure, elsewhere
    the highest so far (`resource.getrusage`); 0 where there is neither.
    """
    try:
        import psutil  # type: ignore[import-untyped]  # noqa: PLC0415  # optional
    except ImportError:
        return _without_psutil()
    return int(psutil.Process().memory_info().rss)


def _without_psutil() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource  # noqa: PLC0415  # not on every platform
    except ImportError:
        return 0
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1_024


def machine_bytes() -> int:
    """Return the physical memory of this machine in bytes; 0 where that is not known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        pass
    try:
        import psutil  # noqa: PLC0415  # optional
    except ImportError:
        return 0
    return int(psutil.virtual_memory().total)


def weight_of(value: Any, *, depth: int = _DEPTH) -> int:
    """Estimate how many bytes of memory a value takes, from a few elements of each collection in it.

    Chunks that are not loaded weigh nothing, and none is loaded for it. What several states share counts in
    each of them.
    """
    own = sys.getsizeof(value, 0)
    if depth == 0 or isinstance(value, str | bytes | int | float | bool | type(None)):
        return own
    if isinstance(value, Log):
        return own + _of_log(value, depth)
    if isinstance(value, Keyed):
        return own + sum(_of_log(column, depth) for column in value.columns().values())
    if isinstance(value, Mapping):
        pairs = _first(value.items())
        return own + _scaled([weight_of(pair, depth=depth - 1) for pair in pairs], len(value))
    if isinstance(value, tuple | list | AbstractSet):
        return own + _scaled([weight_of(each, depth=depth - 1) for each in _first(value)], len(value))
    return own + sum(weight_of(each, depth=depth - 1) for _, each in fields_of(value))


def _of_log(log: Log[Any], depth: int) -> int:
    weight = 0
    for chunk in log.chunks():
        if isinstance(chunk, LazyChunk):
            if not chunk.is_loaded:
                continue
            chunk = chunk.chunk()  # noqa: PLW2901  # the same elements
        weight += sys.getsizeof(chunk)
        weight += _scaled([weight_of(each, depth=depth - 1) for each in chunk[:_LOOKED_AT]], len(chunk))
    return weight


def _first(values: Any) -> Iterator[Any]:
    return (each for each, _ in zip(values, range(_LOOKED_AT), strict=False))


def _scaled(weights: list[int], count: int) -> int:
    return sum(weights) * count // len(weights) if weights else 0


def fields_of(state: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an attrs object, or what is in the slots or the dictionary of another one."""
    if attrs.has(type(state)):
        names = [field.name for field in attrs.fields(type(state))]
    else:
        names = [*getattr(type(state), "__slots__", ()), *getattr(state, "__dict__", ())]
    for name in names:
        yield name, getattr(state, name, None)


def entries_of(state: Any) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of entries of each field of a state that holds entries."""
    for name, value in fields_of(state):
        if isinstance(value, Log | Keyed | Mapping | tuple | list | AbstractSet):
            yield name, len(value)
