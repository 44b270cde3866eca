"""The archive below a home: what is copied there, and what must never come back from there.

What is at home hides what is in the archive, for as long as it is there. So whatever is written at home to go
again one day (with a deadline, or a tombstone), and is not archived itself, buries what the archive has of
the key; what stays buries nothing, and costs the archive nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Backend, Entry, Mark, Write
from eliza_state.storage.errors import ValueTooLarge
from eliza_state.storage.layered.layer import Layer
from eliza_state.storage.storage import TOMBSTONE_MS


class NotArchived(StoreError):
    """The home has what was written, but the archive was not told; `versions` are those at home, by full key.

    Until it is written once more, the archive has what it had: after a loss of the home, or when what was
    written has gone, an older value may come from there.
    """

    def __init__(self, versions: Mapping[str, int], error: Exception) -> None:
        self.versions = dict(versions)
        self.error = error
        keys = ", ".join(map(repr, list(versions)[:3])) + (", …" if len(versions) > 3 else "")
        super().__init__(
            f"the home has what was written of {keys}, but not the archive: {error};"
            " repeat it when the archive answers again"
        )


class Archiving:
    """Keep an archive after its home; without an archive, do nothing."""

    def __init__(self, archive: Layer[Backend[bytes]] | None, *, clock: Clock) -> None:
        self._archive: Final = archive
        self._clock = clock

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        """Return the marks of keys in the archive. Raises `StoreError` when it does not answer."""
        if self._archive is None or not keys:
            return {}
        return await self._archive.call(self._archive.backend.look(keys))

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[bytes]]:
        """Return what the archive has of keys. Raises `StoreError` when it does not answer."""
        if self._archive is None or not keys:
            return {}
        return await self._archive.call(self._archive.backend.read(keys))

    async def follow(self, copies: Sequence[Write[bytes]], *, archived: bool) -> None:
        """Do what the archive needs after the home stored `copies`: keep them, or bury what they hide.

        Raises `NotArchived`.
        """
        if self._archive is None:
            return
        try:
            if archived:
                await self._archive.call(self._archive.backend.write(copies), writes=True)
            else:
                await self.bury(_versions([copy for copy in copies if copy.deadline_ms is not None]))
        except (StoreError, ValueTooLarge) as error:
            raise NotArchived(_versions(copies), error) from error

    async def bury(self, versions: Mapping[str, int]) -> None:
        """Put tombstones over what the archive has of keys, unless it has a version from after these.

        Raises `StoreError` when it does not answer.
        """
        there = await self.look(list(versions))
        deadline_ms = self._clock() // 1_000 + TOMBSTONE_MS
        tombstones = [
            Write[bytes](key, GONE, deadline_ms, TOMBSTONE_MS, version=versions[key])
            for key, mark in there.items()
            if not mark.is_gone
        ]
        if tombstones and self._archive is not None:
            await self._archive.call(self._archive.backend.write(tombstones), writes=True)


def _versions(copies: Sequence[Write[bytes]]) -> dict[str, int]:
    return {copy.key: copy.version for copy in copies if copy.version is not None}
