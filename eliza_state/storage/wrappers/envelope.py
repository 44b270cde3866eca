"""Values in envelopes, `{"__v": version, "__exp": milliseconds since 1970, "data": value}`, `__exp` optional.

The form is that of `@puregram/storage`, whose data can be read. What is not exactly of it is a value that
was stored before there were versions: version 0.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import attrs

from eliza_state.errors import StateError
from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Marks, Write, Written
from eliza_state.storage.walking import read_each
from eliza_state.storage.wrapper import Around

_VERSION: Final = "__v"
_EXPIRY: Final = "__exp"
_DATA: Final = "data"
_FORMS: Final = ({_VERSION, _DATA}, {_VERSION, _EXPIRY, _DATA})


@attrs.frozen
class Envelope:
    """A value with the version of the program's shape that it has, and the deadline written beside it."""

    version: int
    data: Any
    deadline_ms: int | None = None


class Replacement(NamedTuple):
    """An envelope to be stored under a key instead of what was seen there."""

    key: str
    seen: Entry[Envelope]
    envelope: Envelope


def opened(raw: Any) -> Envelope:
    """Return what is stored as an envelope; what is none is the data of version 0."""
    if type(raw) is not dict or raw.keys() not in _FORMS:
        return Envelope(0, raw)
    version = raw[_VERSION]
    if type(version) is not int or version < 0:
        return Envelope(0, raw)
    if _EXPIRY not in raw:
        return Envelope(version, raw[_DATA])
    deadline_ms: Any = raw[_EXPIRY]
    if type(deadline_ms) not in (int, float) or not math.isfinite(deadline_ms):
        return Envelope(0, raw)
    return Envelope(version, raw[_DATA], math.ceil(deadline_ms))


def sealed(envelope: Envelope) -> dict[str, Any]:
    """Return what is stored for an envelope."""
    if envelope.deadline_ms is None:
        return {_VERSION: envelope.version, _DATA: envelope.data}
    return {_VERSION: envelope.version, _EXPIRY: envelope.deadline_ms, _DATA: envelope.data}


class NativeEnvelopes(Around[Envelope, Any]):
    """Envelopes over a backend that has deadlines itself.

    A deadline that is found in an envelope becomes the entry's own as soon as the key is asked for. With
    `legacy_expiry` that is before anything is done with it, which costs a read each time.
    """

    def __init__(self, inner: Backend[Any], *, legacy_expiry: bool) -> None:
        super().__init__(inner)
        self._legacy_expiry = legacy_expiry
        self._is_dry = False

    def dry(self) -> Self:
        """Return the same envelopes, which reading leaves as they are."""
        view = copy.copy(self)
        view._legacy_expiry = False
        view._is_dry = True
        return view

    def at_hand(self, key: str) -> Entry[Envelope] | None:
        entry = self.inner.at_hand(key)
        if entry is None or entry.value is GONE:
            return None
        envelope = opened(entry.value)
        return None if envelope.deadline_ms is not None else _entry(entry, envelope)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[Envelope]]:
        found = {
            key: Entry(GONE, *entry[1:]) if entry.value is GONE else _entry(entry, opened(entry.value))
            for key, entry in (await self.inner.read(keys)).items()
        }
        moved = [_moved(key, entry) for key, entry in found.items() if _has_deadline_inside(entry)]
        if not moved:
            return found
        found.update({item.key: item.seen for item in moved})
        if not self._is_dry:
            # What was read is right whether or not it can be kept; the next reader tries again.
            with contextlib.suppress(StateError):
                versions = await self.replace(moved)
                found.update(
                    {
                        item.key: item.seen._replace(value=item.envelope, version=version)
                        for item, version in zip(moved, versions, strict=True)
                        if version is not None
                    }
                )
        return found

    async def replace(self, replacements: Sequence[Replacement]) -> list[int | None]:
        """Store envelopes over those seen, which keep their deadlines; return the new versions.

        `None` stands for one that was not stored, because another was written meanwhile.
        """
        writes = [
            Write(
                key,
                sealed(envelope),
                seen.deadline_ms,
                seen.ttl_ms,
                expected=seen.version,
                keeps_deadline=not _is_moving(seen),
            )
            for key, seen, envelope in replacements
        ]
        return [outcome.version if outcome.is_stored else None for outcome in await self.inner.write(writes)]

    async def _settle(self, keys: Sequence[str]) -> None:
        if self._legacy_expiry:
            await read_each(self, keys)

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        await self._settle(keys)
        return await self.inner.look(keys)

    async def write(self, writes: Sequence[Write[Envelope]]) -> Sequence[Written]:
        if conditional := [write.key for write in writes if write.expected is not None]:
            await self._settle(conditional)
        return await self.inner.write([_raw(write) for write in writes])

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        await self._settle(keys)
        return await self.inner.remove(keys, dead_only=dead_only)

    async def touch(self, keys: Sequence[str]) -> set[str]:
        await self._settle(keys)
        return await self.inner.touch(keys)

    async def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        async for page in self.inner.scan(space, prefix=prefix, nested=nested):
            if self._legacy_expiry:
                yield list((await self.look([key for key, _ in page])).items())
            else:
                yield page


def _entry(entry: Entry[Any], envelope: Envelope) -> Entry[Envelope]:
    _, version, deadline_ms, ttl_ms = entry
    return Entry(envelope, version, deadline_ms, ttl_ms)


def _raw(write: Write[Envelope]) -> Write[Any]:
    key, value, deadline_ms, ttl_ms, expected, version, keeps_deadline = write
    content = GONE if value is GONE else sealed(value)
    return Write(key, content, deadline_ms, ttl_ms, expected, version, keeps_deadline)


def _has_deadline_inside(entry: Entry[Envelope]) -> bool:
    return entry.value is not GONE and entry.value.deadline_ms is not None


def _is_moving(entry: Entry[Envelope]) -> bool:
    """Tell whether an entry has the deadline that stands inside it, and the stored one has another yet."""
    return _has_deadline_inside(entry) and entry.deadline_ms == entry.live_value.deadline_ms


def _moved(key: str, entry: Entry[Envelope]) -> Replacement:
    """Return the envelope without its deadline, over the entry with it; the earlier one counts."""
    envelope = entry.live_value
    inside_ms = envelope.deadline_ms
    assert inside_ms is not None
    if entry.deadline_ms is None or inside_ms < entry.deadline_ms:
        # A date that somebody wrote down is not rolled on by touching: it is no time to live.
        entry = entry._replace(deadline_ms=inside_ms, ttl_ms=None)
    return Replacement(key, entry, attrs.evolve(envelope, deadline_ms=None))
