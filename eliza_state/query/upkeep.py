"""Keeping the index file up: built once in bulk, then written from what changes tell, in batches."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

from eliza_state.indexes import entries
from eliza_state.journal.contract import Journal
from eliza_state.ordering import Kind, kind_of
from eliza_state.path import Hierarchy, Path
from eliza_state.query.index_layout import Layout, Row

if TYPE_CHECKING:
    from eliza_state.query.index_file import IndexFile, Session

_OPENED_AT_ONCE: Final = 500
_WRITTEN_AT_ONCE: Final = 10_000

OpenStates: TypeAlias = Callable[[Sequence[Path]], Iterable[tuple[Path, Any]]]
"""Give scopes with the states of their slice at the position that is asked for, in any order."""


class Ahead(Exception):  # an answer, not an error: the caller takes in what is new and asks again
    """The file stands at a later position than was asked for; somebody else wrote it."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(position)


class Unusable(Exception):  # an answer: the scopes themselves are asked then
    """The file cannot answer for a collection now, or, when `is_final`, ever; `reason` says why."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        self.reason = reason
        self.is_final = is_final
        super().__init__(reason)


@attrs.define(eq=False)
class Pending:
    """What changed in a collection since the file was written at the position `base`.

    By scope the entries that changed, with the state around them; of `whole` scopes that is not known.
    """

    base: int
    entries: dict[Path, dict[Any, Any]] = attrs.Factory(dict[Path, dict[Any, Any]])
    states: dict[Path, Any] = attrs.Factory(dict[Path, Any])
    whole: set[Path] = attrs.Factory(set[Path])
    size: int = 0

    def add(self, path: Path, changed: list[tuple[Any, Any]], state: Any) -> None:
        """Take what changed in a scope; `ABSENT` stands for entries that are gone."""
        known = self.entries.get(path)
        if known is None:
            known = self.entries[path] = {}
        known.update(changed)
        self.states[path] = state
        self.size += len(changed) + 1

    def before(self, later: Pending) -> Pending:
        """Return this and what came later as one."""
        for path, changed in later.entries.items():
            self.entries.setdefault(path, {}).update(changed)
        self.states.update(later.states)
        self.whole |= later.whole
        self.size += later.size
        return self


def scopes_of(journal: Journal, hierarchy: Hierarchy, level: str, *, below: Path) -> Iterator[Path]:
    """Yield the scopes of a level at and below a path that have records at or below them."""
    chain = hierarchy.chain(level)
    depth = len(below.steps)
    if depth >= len(chain) or hierarchy.level(below) != chain[depth]:
        return
    if depth == len(chain) - 1:
        yield below
        return
    for child in journal.children(below):
        if child.level == chain[depth + 1]:
            yield from scopes_of(journal, hierarchy, level, below=child)


class Upkeep:
    """Bring the rows of a collection in the file to a position; only called in the thread of the file."""

    def __init__(self, file: IndexFile, journal: Journal, hierarchy: Hierarchy) -> None:
        self._file = file
        self._journal = journal
        self._hierarchy = hierarchy
        self.is_stopped = False

    def build(self, layout: Layout, *, until: int, open_states: OpenStates) -> None:
        """Make the rows of a collection anew, from the states of all scopes at a position.

        Raises `Unusable` when another process begins to do the same, or for keys that cannot be stored.
        """
        builder = str(uuid.uuid4())
        with self._file.session() as session:
            session.begin(layout, builder)
        paths = scopes_of(self._journal, self._hierarchy, layout.level, below=Path())
        while batch := list(itertools.islice(paths, _OPENED_AT_ONCE)):
            for rows in _portions(layout, open_states(batch)):
                if self.is_stopped:
                    raise Unusable("the manager is being closed")
                with self._file.session() as session:
                    _check_builder(session, layout, builder)
                    session.write_scopes(layout, rows)
        with self._file.session() as session:
            _check_builder(session, layout, builder)
            session.set_position(layout, until)
        self._file.checkpoint()

    def state_of(self, layout: Layout) -> Literal["ready", "missing", "outdated"]:
        """Tell whether the file has the rows of a collection."""
        with self._file.session() as session:
            if session.position(layout) is not None:
                return "ready"
            return "outdated" if session.is_outdated(layout) else "missing"

    def bring(
        self, session: Session, layout: Layout, pending: Pending, *, until: int, open_states: OpenStates
    ) -> None:
        """Write what changed up to a position.

        Raises `Ahead` when the file is past it, `Unusable` when the rows are gone or a key cannot be stored.
        """
        position = session.position(layout)
        if position is None:
            raise Unusable("the index file is made anew")
        if position > until:
            raise Ahead(position)
        if position == until and not pending.whole:
            return
        whole = pending.whole | self.reached(layout.level, after=position, until=pending.base)
        for rows in _portions(layout, open_states([*whole])):
            session.write_scopes(layout, rows)
        for path, changed in pending.entries.items():
            if path not in whole:
                check_keys(changed)
                session.write_changes(layout, path, changed, pending.states[path])
        session.set_position(layout, until)

    def reached(self, level: str, *, after: int, until: int) -> set[Path]:
        """Return the scopes of a level that the records between two positions reached."""
        depth = len(self._hierarchy.chain(level)) - 1
        found: set[Path] = set()
        if after < until:
            for record in self._journal.read(Path(), after=after, until=until):
                path = scope_at(record.path, depth)
                if path is not None and self._hierarchy.level(path) == level:
                    found.add(path)
        return found


def scope_at(path: Path, depth: int) -> Path | None:
    """Return the scope at a depth on the way to a path; `None` if the path ends above it."""
    if len(path.steps) <= depth:
        return path if len(path.steps) == depth else None
    return Path(path.steps[:depth])


def _portions(layout: Layout, states: Iterable[tuple[Path, Any]]) -> Iterator[dict[Path, list[Row]]]:
    """Yield the rows of scopes, as many scopes at a time as have so many rows that they are worth writing."""
    portion: dict[Path, list[Row]] = {}
    size = 0
    for path, state in states:
        found = list(entries(getattr(state, layout.collection.field)))
        check_keys(key for key, _ in found)
        portion[path] = layout.rows(found, state)
        size += len(portion[path])
        if size >= _WRITTEN_AT_ONCE:
            yield portion
            portion, size = {}, 0
    if portion:
        yield portion


def _check_builder(session: Session, layout: Layout, builder: str) -> None:
    if not session.is_built_by(layout, builder):
        raise Unusable("another process is making the indexes")


def check_keys(keys: Any) -> None:
    """Raise `Unusable` for a key that the file has no form for."""
    for key in keys:
        if kind_of(key) in (Kind.OTHER, Kind.CHOICE):
            raise Unusable(f"keys such as {key!r:.40} cannot be stored in the index file", is_final=True)
