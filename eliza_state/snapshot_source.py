"""From what names the place of snapshots to the storage they are kept in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from eliza_state.errors import StoreError
from eliza_state.storage import Storage

if TYPE_CHECKING:
    from sqlalchemy import URL

SnapshotPlace: TypeAlias = bool | str | Sequence[str] | Callable[[], Storage[bytes]]
"""Where snapshots lie: with the journal, beside its file or on its server (`True`), nowhere (`False`), in the
layers of these URLs, from the top, or in the storage that a function opens."""

_SUFFIX: Final = "-snapshots"


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
        file = None if self.database is None else self.database + _SUFFIX
        if isinstance(self.place, bool) and file is not None and not create and not os.path.exists(file):
            return None
        # Only where there is something to open: a store that is new or small has no snapshots.
        from eliza_state import snapshot_places  # noqa: PLC0415

        if not isinstance(self.place, bool):
            return snapshot_places.in_layers([self.place] if isinstance(self.place, str) else self.place)
        if self.server is not None:
            return snapshot_places.on_server(self.server, read_only=self.read_only)
        assert file is not None
        return snapshot_places.in_file(file, read_only=self.read_only)
