"""Moving keys between a home and the archive below it, in either direction.

An entry is written to where it goes, read back and compared before it is removed from where it was. Versions
keep that safe from others who write meanwhile, and from an end at any point. The copy gets the version v + 2
of an entry at v, and what is left behind becomes a tombstone of v + 1: that replaces nothing newer than what
was read, and hides nothing that was copied. Whoever wrote meanwhile has a version above v, so that the
tombstone is refused and the copy taken back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from eliza_state.storage.backend import GONE, Backend, Entry, Write
from eliza_state.storage.errors import DamagedValue, ValueTooLarge
from eliza_state.storage.walking import read_each

Entries: TypeAlias = Mapping[str, Entry[bytes]]

_AT_ONCE: Final = 100


@attrs.define
class Moved:
    """What became of keys: how many moved, which were there already, which are nowhere, which failed why."""

    moved: int = 0
    present: int = 0
    missing: list[str] = attrs.field(factory=list)
    failures: dict[str, str] = attrs.field(factory=dict)


async def keys_in(
    source: Backend[bytes], space: str, *, prefix: str, nested: bool
) -> AsyncIterator[list[str]]:
    """Yield the live keys of a namespace in pages; `prefix` is escaped."""
    async for page in source.scan(space, prefix=prefix, nested=nested):
        now_ms = source.now_ms
        yield [key for key, mark in page if mark.is_live(now_ms)]


class Move:
    """Move keys from one backend to another; `report` says what became of them so far."""

    def __init__(self, source: Backend[bytes], target: Backend[bytes]) -> None:
        self.report: Final = Moved()
        self._source = source
        self._target = target

    async def move(self, keys: Sequence[str]) -> None:
        """Move full keys, some at a time. Raises `StoreError` where a backend fails; then nothing is lost."""
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            entries, damaged = await read_each(self._source, some)
            self.report.failures.update({error.key: error.reason for error in damaged})
            await self._miss([key for key in some if key not in entries and key not in self.report.failures])
            await self._move(entries)

    async def _miss(self, keys: Sequence[str]) -> None:
        marks = await self._target.look(keys) if keys else {}
        now_ms = self._target.now_ms
        there = {key for key, mark in marks.items() if mark.is_live(now_ms)}
        self.report.present += len(there)
        self.report.missing += [key for key in keys if key not in there]

    async def _move(self, entries: Entries) -> None:
        copied = await self._copy(entries)
        if not copied:
            return
        deadline_ms = self._source.now_ms
        tombstones = [
            Write[bytes](key, GONE, deadline_ms, version=entry.version + 1) for key, entry in copied.items()
        ]
        outcomes = await self._source.write(tombstones)
        stored = [key for key, outcome in zip(copied, outcomes, strict=True) if outcome.is_stored]
        await self._source.remove(stored, dead_only=True)
        self.report.moved += len(stored)
        await self._take_back({key: entry for key, entry in copied.items() if key not in stored})

    async def _copy(self, entries: Entries) -> Entries:
        """Write copies and read them back; return the entries whose copies are what they should be."""
        wanted = {key: entry._replace(version=entry.version + 2) for key, entry in entries.items()}
        writes = [
            Write(key, value, deadline_ms, ttl_ms, version=version)
            for key, (value, version, deadline_ms, ttl_ms) in wanted.items()
        ]
        try:
            await self._target.write(writes)
            await self._target.flush()
        except (DamagedValue, ValueTooLarge) as error:
            if len(entries) > 1:
                alone = [await self._copy({key: entry}) for key, entry in entries.items()]
                return {key: entry for one in alone for key, entry in one.items()}
            self.report.failures[error.key] = str(error)
            return {}
        found, damaged = await read_each(self._target, list(wanted))
        self.report.failures.update({error.key: error.reason for error in damaged})
        for key in wanted.keys() - found.keys() - self.report.failures.keys():
            self.report.failures[key] = "it was deleted where it was to go"
        for key, entry in found.items():
            if entry != wanted[key]:
                self.report.failures[key] = "a newer one lies where it was to go"
        return {key: entry for key, entry in entries.items() if found.get(key) == wanted[key]}

    async def _take_back(self, entries: Entries) -> None:
        """Remove the copies of what somebody wrote meanwhile."""
        if not entries:
            return
        deadline_ms = self._target.now_ms
        await self._target.write(
            [Write(key, GONE, deadline_ms, version=entry.version + 3) for key, entry in entries.items()]
        )
        await self._target.remove(list(entries), dead_only=True)
        for key in entries:
            self.report.failures[key] = "somebody wrote it meanwhile; move it again"
