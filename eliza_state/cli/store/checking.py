"""Going over all that lies in the layers of a storage, for what cannot be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import attrs

from eliza_serializers import SerializationError, Serializer
from eliza_state.cli.store.formats import AsWritten, Encrypted
from eliza_state.cli.store.opening import DamagedFile, Place, open_layer
from eliza_state.cli.store.values import is_unregistered, value_of
from eliza_state.storage.backend import Backend, Entry
from eliza_state.storage.disk import ArchiveBackend
from eliza_state.storage.disk.archive_entry import place_of
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.walking import walk


@attrs.frozen
class Damage:
    """What cannot be read in a layer, and why; its key, or its file where the key is not legible."""

    layer: str
    reason: str
    key: str | None = None
    path: str | None = None


class Check:
    """Read all entries of a namespace and of those below it, in each layer by itself.

    `good` counts what could be read to its last tag. `unchecked` counts by reason what was read as far as it
    goes without a key, or without the classes that somebody else registered.
    """

    def __init__(self, encoding: AsWritten, serializer: Serializer) -> None:
        self.good = 0
        self.unchecked: dict[str, int] = {}
        self._encoding = encoding
        self._serializer = serializer

    async def damages(self, place: Place) -> AsyncIterator[Damage]:
        """Yield what is damaged. Raises `StoreError` where a layer does not answer."""
        for url in place.urls:
            try:
                backend = open_layer(url, to_read=True)
            except DamagedFile as error:
                yield Damage("file", error.reason, path=str(error.path))
                continue
            try:
                async for damage in self._in_layer(backend, place.space):
                    yield damage
            finally:
                await backend.close()

    async def _in_layer(self, backend: Backend[bytes], space: str) -> AsyncIterator[Damage]:
        told: set[str] = set()
        async for entries, damaged in walk(backend, space):
            for error in (*damaged, *self._unreadable(entries)):
                told.add(error.key)
                yield Damage(backend.name, error.reason, key=error.key)
        if isinstance(backend, ArchiveBackend):
            # What has no legible header is in no scan.
            files = {backend.folder.joinpath(*place_of(key)) for key in told}
            async for file in backend.verify():
                if file.path not in files and (file.key is None or file.key.startswith(space)):
                    yield Damage(backend.name, file.reason, key=file.key, path=str(file.path))

    def _unreadable(self, entries: Mapping[str, Entry[bytes]]) -> list[DamagedValue]:
        errors: list[DamagedValue] = []
        for key, entry in entries.items():
            try:
                written = self._encoding.decode(entry.live_value, key=key)
                value_of(written, key=key, serializer=self._serializer)
                self.good += 1
            except Encrypted:
                self._leave("encrypted, and no key was given")
            except DamagedValue as error:
                errors.append(error)
            except SerializationError as error:
                if is_unregistered(error):
                    self._leave("of a class that nobody registered")
                else:
                    errors.append(DamagedValue(key, str(error)))
        return errors

    def _leave(self, reason: str) -> None:
        self.unchecked[reason] = self.unchecked.get(reason, 0) + 1
