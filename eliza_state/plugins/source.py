"""From what names the place of the plugins' state to the plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from eliza_serializers import Seal
from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.plugins.registry import Plugins, StateFactory
from eliza_state.problems import Problems
from eliza_state.storage import MemoryStorage
from eliza_state.storage.serializing import serializer_named

if TYPE_CHECKING:
    from sqlalchemy import URL

PluginPlace: TypeAlias = str | StateFactory | Plugins | None
"""Where plugins keep their state: with the journal, beside its file or on its server (`None`), there unless a
function gives one a storage of its own, in a table of the database of a URL, or with `Plugins` that the
application has made."""

_SUFFIX: Final = "-plugins"
_SWEEP_INTERVAL_MS: Final = 60_000.0


@attrs.frozen(kw_only=True)
class PluginSource:
    """Where the plugins of a store are whose journal is in a `database` file, on a `server` or in memory."""

    place: PluginPlace
    database: str | None
    server: URL | None = None
    read_only: bool
    secret_keys: Seal | None
    clock: Clock

    @property
    def is_lent(self) -> bool:
        """Whether the application closes the plugins itself."""
        return isinstance(self.place, Plugins)

    def open(self, problems: Problems) -> Plugins:
        """Return the plugins; connects, and blocks meanwhile.

        Raises `StoreError` for a database that cannot be had; one that is to be read only must be there.
        """
        if isinstance(self.place, Plugins):
            return self.place
        if isinstance(self.place, str):
            return self._in_table(self.place, problems)
        if self.server is not None:
            return self._in_table(self.server, problems)
        if self.database is None:
            storage: MemoryStorage[Any] = MemoryStorage(
                serializer=serializer_named("json", secrets=self.secret_keys), clock=self.clock
            )
            return Plugins(storage, state_factory=self.place, problems=problems)
        from sqlalchemy import URL  # noqa: PLC0415  # only where there is a database

        return self._in_table(URL.create("sqlite", database=self.database + _SUFFIX), problems)

    def _in_table(self, url: str | URL, problems: Problems) -> Plugins:
        return Plugins.in_database(
            url,
            state_factory=self.place if callable(self.place) else None,
            sweep_interval_ms=None if self.read_only else _SWEEP_INTERVAL_MS,
            read_only=self.read_only,
            secret_keys=self.secret_keys,
            problems=problems,
            clock=self.clock,
        )


class OpenedLater:
    """The plugins of a store, opened when they are first asked for."""

    def __init__(self, source: PluginSource, problems: Problems) -> None:
        self._source = source
        self._problems = problems
        self._closed = False
        self.opened: Plugins | None = None
        """The plugins, once they were asked for."""

    def get(self) -> Plugins:
        """Return the plugins; see `PluginSource.open`. Raises `StoreError` once closed."""
        if self.opened is None:
            if self._closed:
                raise StoreError("the manager is closed; open the store anew")
            self.opened = self._source.open(self._problems)
        return self.opened

    async def close(self) -> None:
        """Close them, where they are open and not lent."""
        self._closed = True
        if self.opened is not None and not self._source.is_lent:
            await self.opened.close()
