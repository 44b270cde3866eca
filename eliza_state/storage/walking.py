"""Going over all that a storage holds, past what cannot be read, and through what it is wrapped in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from eliza_state.storage.backend import Backend, Entry
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.wrapper import Around

T = TypeVar("T")
B = TypeVar("B", bound=Backend[Any])

KEPT_FAILURES: Final = 100
"""How many failures the report of a walk holds; the others are counted."""
_AT_ONCE: Final = 100


class Found(NamedTuple):
    """What a reading found: live entries by full key, and what cannot be read."""

    entries: Mapping[str, Entry[Any]]
    damaged: Sequence[DamagedValue]


def wrapped(backend: Backend[Any], kind: type[B]) -> B | None:
    """Return the outermost backend of a kind among those that one is made of; `None` if there is none."""
    while not isinstance(backend, kind):
        if not isinstance(backend, Around):
            return None
        backend = backend.inner
    return backend


async def read_each(backend: Backend[Any], keys: Sequence[str]) -> Found:
    """Read keys, and where one of them is damaged, read all others nevertheless."""
    try:
        found = await backend.read(keys)
    except DamagedValue as error:
        if len(keys) == 1:
            return Found({}, [error])
        halves = [await read_each(backend, half) for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :])]
        entries = {key: entry for half in halves for key, entry in half.entries.items()}
        return Found(entries, [error for half in halves for error in half.damaged])
    now_ms = backend.now_ms
    return Found({key: entry for key, entry in found.items() if entry.is_live(now_ms)}, [])


async def walk(backend: Backend[Any], space: str) -> AsyncIterator[Found]:
    """Yield all that lives in a namespace and in those below it, some at a time; others run in between."""
    async for page in backend.scan(space, nested=True):
        now_ms = backend.now_ms
        keys = [key for key, mark in page if mark.is_live(now_ms)]
        for start in range(0, len(keys), _AT_ONCE):
            yield await read_each(backend, keys[start : start + _AT_ONCE])
            await asyncio.sleep(0)
