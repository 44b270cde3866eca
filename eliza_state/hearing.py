"""Who wants to be told of what others write, and the scopes that have to be in memory for that.

A change tells the states before and after. Of a scope that nobody here has asked for these are not in memory,
so it is read before the record is taken in, if anybody wants to be told of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable

from eliza_state.change import Record
from eliza_state.errors import InvalidPath
from eliza_state.path import Path
from eliza_state.scopes import Scopes
from eliza_state.signals import Filter, Signals
from eliza_state.tree import Tree

_EVERYTHING = Filter()


class Hearing:
    """Load the scopes of records of others whose changes somebody here is to be told of."""

    def __init__(self, tree: Tree, scopes: Scopes, signals: Signals) -> None:
        self._tree = tree
        self._scopes = scopes
        self._signals = signals
        self._wanted: dict[object, Filter] = {}

    @property
    def is_any(self) -> bool:
        """Whether anybody is to be told of anything."""
        return bool(self._wanted) or bool(self._signals.changed.receivers)

    def want(self, wanted: Filter) -> Callable[[], None]:
        """Have those scopes loaded whose changes a filter lets through; return how to end that."""
        key = object()
        self._wanted[key] = wanted

        def end() -> None:
            self._wanted.pop(key, None)

        return end

    def needs(self, records: Iterable[Record]) -> list[Path]:
        """Return the scopes that have to be loaded before these records are taken in."""
        wanted = [*self._wanted.values()]
        if self._signals.changed.receivers:
            wanted.append(_EVERYTHING)
        if not wanted:
            return []
        needed = {
            record.path: None
            for record in records
            if self._scopes.find(record.path) is None
            and any(each.may_accept(record) for each in wanted)
            and self._changes(record)
        }
        return list(needed)

    def _changes(self, record: Record) -> bool:
        """Tell whether a record may change states at all."""
        kind = self._tree.event_type(record.event)
        if kind is None or record.is_erased:
            return False
        try:
            level = self._tree.hierarchy.level(self._tree.hierarchy.check(record.path))
        except InvalidPath:
            return False
        return any(not step.module.volatile for step in self._tree.plan(kind.cls, level).steps)

    @contextlib.asynccontextmanager
    async def loaded(self, records: Iterable[Record]) -> AsyncGenerator[None]:
        """Keep in memory, while the block runs, what is needed to take in records with their changes.

        Raises `StoreError` when that cannot be read.
        """
        async with self._scopes.held(self.needs(records)):
            yield
