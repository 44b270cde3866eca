"""One collection that queries are asked of: what is in memory of it, and what the file has yet to hear."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import attrs

from eliza_state.change import Change
from eliza_state.collections import Log
from eliza_state.collections.chunk import LazyChunk
from eliza_state.indexes import Collection, Column, Index, changes
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.problems import Problem
from eliza_state.query.index_layout import Layout
from eliza_state.query.table import Place, Table
from eliza_state.query.upkeep import Pending, scope_at
from eliza_state.scopes import LiveScope, Scopes

_MOST_KEPT: Final = 50_000


class Columns:
    """The columns of a collection; a function of an index that raises gives None, and is reported once."""

    def __init__(self, collection: Collection, report: Callable[[Problem], None]) -> None:
        self._collection = collection
        self._report = report
        self._known: dict[str, Column | None] = {}

    def names(self) -> list[str]:
        """Return the names that can be asked for."""
        return self._collection.names()

    def find(self, name: str) -> Column | None:
        """Return the column of a name; `None` if there is no such field."""
        if name not in self._known:
            self._known[name] = self._guarded(self._collection.find(name))
        return self._known[name]

    def _guarded(self, column: Column | None) -> Column | None:
        own = {each.name for each in self._collection.indexes if isinstance(each, Index) and each.key}
        if column is None or column.name not in own:
            return column
        get, name = column.get, column.name
        has_failed = False

        def guarded(entry: Any) -> Any:
            nonlocal has_failed
            try:
                return get(entry)
            except Exception as error:  # noqa: BLE001  # the function of a module: an index outlasts its bugs
                if not has_failed:
                    has_failed = True
                    self._report(Problem("index", f"the index {name!r} failed: {error!r}", error=error))
                return None

        return attrs.evolve(column, get=guarded)


class Tracked:
    """A collection of a module, followed from the first query on.

    `unheld` are the loaded scopes that are not in the table; what the file has to be told of them, too, comes
    with the changes. `is_stored` tells whether there is such a file.
    """

    def __init__(
        self,
        slice_name: str,
        module: StateModule[Any],
        collection: Collection,
        *,
        scopes: Scopes,
        depth: int,
        position: int,
        report: Callable[[Problem], None],
    ) -> None:
        self.module = module
        self.slice = slice_name
        self.columns = Columns(collection, report)
        self.table = Table(collection, self.columns.find)
        self.layout = Layout.of(slice_name, module, collection, find=self.columns.find)
        self.pending = Pending(position)
        self.is_stored = False
        self.is_flushing = False
        self.unusable = ""
        self.lock = asyncio.Lock()
        self.unheld: set[Path] = {scope.path for scope in scopes if scope.level == module.level}
        self._scopes = scopes
        self._depth = depth

    def follow(self, change: Change, depth: int, before: Any, after: Any) -> None:
        """Take in a change of the slice in the scope at a depth of the change's path."""
        steps = change.record.path.steps
        path = change.record.path if len(steps) == depth else Path(steps[:depth])
        place = self.table.places.get(path)
        if place is not None:
            changed = self.table.update(place, after)
        elif self.is_stored:
            field = self.table.collection.field
            found = changes(getattr(before, field), getattr(after, field))
            changed = [(key, entry) for key, _, entry in found]
        else:
            return
        if self.is_stored:
            self.pending.add(path, changed, after)

    def outdate(self, path: Path) -> None:
        """Take in that a record from elsewhere reaches a path: a scope that is not loaded changes unheard."""
        reached = scope_at(path, self._depth)
        if reached is not None and self._depth and reached.level != self.module.level:
            return  # of another branch of the hierarchy
        if self.is_stored and reached is not None and reached not in self.pending.whole:
            live = self._scopes.find(reached)
            if live is None or live.lost:
                self.pending.whole.add(reached)

    def notice(self, scope: LiveScope) -> None:
        """Take in that a scope was loaded, read anew or dropped."""
        if scope.in_memory and (scope.path in self.unheld or scope.path in self.table.places):
            self.pending.whole.add(scope.path)  # what has changed is not known
        self.table.drop(scope.path)
        if scope.in_memory:
            self.unheld.add(scope.path)
        else:
            self.unheld.discard(scope.path)

    def take_pending(self, position: int, *, is_stored: bool) -> Pending:
        """Return what the file has yet to hear; what comes from now on is gathered for the next time."""
        taken = self.pending if self.is_stored else Pending(position)
        self.is_stored = is_stored
        self.pending = Pending(position)
        return taken

    def put_back(self, pending: Pending) -> None:
        """Take back what the file could not be told; a lot of it is rather read from the records again."""
        if pending.size < _MOST_KEPT:
            self.pending = pending.before(self.pending)
        else:
            self.forget_pending()

    def forget_pending(self) -> None:
        """Gather nothing for the file, until it is asked again."""
        self.is_stored = False
        self.pending = Pending(0)

    def synchronise(self) -> None:
        """Bring the table to the published states, where something has changed without being told yet."""
        for place in tuple(self.table.places.values()):
            live = self._scopes.find(place.path)
            if live is None:
                self.table.drop(place.path)
            elif live.published[self.slice] is not place.state:
                changed = self.table.update(place, live.published[self.slice])
                if self.is_stored:
                    self.pending.add(place.path, changed, place.state)

    def hold(self, path: Path, *, even_unloaded: bool = False) -> Place | None:
        """Take a loaded scope into the table; `None` while parts of it are not in memory."""
        live = self._scopes.find(path)
        if live is None or live.lost or self.slice not in live.published:
            return None
        state = live.published[self.slice]
        if not even_unloaded and not _is_in_memory(getattr(state, self.table.collection.field)):
            return None
        self.unheld.discard(path)
        return self.table.build(path, state)


def _is_in_memory(collection: Any) -> bool:
    columns: dict[str, Log[Any]] = collection.columns()
    return all(
        not isinstance(chunk, LazyChunk) or chunk.is_loaded
        for column in columns.values()
        for chunk in column.chunks()
    )
