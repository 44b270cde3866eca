"""From what names the place of snapshots to the storage they are kept in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import attrs
from sqlalchemy import URL

from eliza_state.errors import StoreError
from eliza_state.storage import Storage
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.layered import LayeredStore, MemoryLimits
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.wrappers import Compression

SnapshotPlace: TypeAlias = bool | str | Sequence[str] | Callable[[], Storage[bytes]]
"""Where snapshots lie: with the journal, beside its file or on its server (`True`), nowhere (`False`), in the
layers of these URLs, from the top, or in the storage that a function opens."""

_SUFFIX: Final = "-snapshots"
_TABLE: Final = "snapshot"
# A stale snapshot is not wrong, only a little older: copies in caches are of use for long.
_COPIES_LAST_MS: Final = 24 * 60 * 60 * 1_000
# What is loaded is held as states.
_NO_MEMORY: Final = MemoryLimits(max_entries=0)


@attrs.frozen(kw_only=True)
class SnapshotSource:
    """Where the snapshots of a journal are kept that is in a `database` file, on a `server` or in memory.

    Raises `StoreError` for a place where a journal in memory should keep some: it has none.
    """

    place: SnapshotPlace
    database: str | None
    server: URL | None = None
    read_only: bool = False

    def __attrs_post_init__(self) -> None:
        if not self._is_durable and not isinstance(self.place, bool):
            raise StoreError("a store in memory takes no snapshots; leave their place out")

    @property
    def is_any(self) -> bool:
        """Whether there are to be snapshots."""
        return self._is_durable and self.place is not False

    @property
    def _is_durable(self) -> bool:
        return self.database is not None or self.server is not None

    def open(self, *, create: bool) -> Storage[bytes] | None:
        """Open the storage; `None` where there is nothing yet, unless it is to be created.

        Raises `StoreError` where it cannot be had, `ValueError` for layers that do not go together.
        """
        if callable(self.place):
            return self.place()
        if isinstance(self.place, bool):
            return self._beside(create=create) if self.server is None else self._with_journal(self.server)
        layers = [self.place] if isinstance(self.place, str) else self.place
        encoding = Encoding[bytes](serializer="msgpack", transforms=[Compression()])
        return LayeredStore(*layers, memory=_NO_MEMORY, encoding=encoding, max_age_ms=_COPIES_LAST_MS)

    def _with_journal(self, server: URL) -> Storage[bytes]:
        return SqlStorage(
            server,
            table=_TABLE,
            serializer="msgpack",
            transforms=[Compression()],
            read_only=self.read_only,
            readers=1,
        )

    def _beside(self, *, create: bool) -> Storage[bytes] | None:
        assert self.database is not None
        file = self.database + _SUFFIX
        if not create and not os.path.exists(file):
            return None
        return SqlStorage(
            URL.create("sqlite", database=file),
            serializer="msgpack",
            transforms=[Compression()],
            synchronous="NORMAL",  # what a power cut takes is made again from the journal
            read_only=self.read_only,
        )
