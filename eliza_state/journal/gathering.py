"""The records of many small scopes in a few queries, from the journal's tables."""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

import attrs
from sqlalchemy import Connection

from eliza_state.change import Record
from eliza_state.journal.archive import rows
from eliza_state.journal.databases.database import ROW
from eliza_state.journal.interning import Interning
from eliza_state.journal.records import Records
from eliza_state.path import Path

_RECORDS_AT_ONCE: Final = 1_000

Reading: TypeAlias = Callable[[], AbstractContextManager[Connection]]
"""Lend a connection to read with."""

_position = operator.attrgetter("position")


@attrs.frozen(kw_only=True)
class Gathering:
    """Read the records of small scopes: of as many at a time as have about a page of them."""

    reading: Reading
    records: Records
    interning: Interning

    def read(
        self, paths: Sequence[Path], *, until: int, most: int
    ) -> Iterator[tuple[Path, list[Record] | None]]:
        """Yield the paths with their records up to a position; see `Journal.read_small`."""
        scopes: dict[int, Path] = {}
        size = 0
        for path, scope, count in self._sizes(paths):
            if count > most:
                yield path, None
                continue
            scopes[scope] = path
            size += count
            if size >= _RECORDS_AT_ONCE:
                yield from self._records_of(scopes, until)
                scopes, size = {}, 0
        if scopes:
            yield from self._records_of(scopes, until)

    def _sizes(self, paths: Sequence[Path]) -> list[tuple[Path, int, int]]:
        """Return the paths that the journal knows, with their integers and how many records they have."""
        with self.reading() as connection:
            scopes = _integers(connection, self.interning, paths)
            if not scopes:
                return []
            self.interning.learn(scopes)
            marks = ", ".join("?" * len(scopes))
            query = (
                f"SELECT path, count(*) FROM record WHERE path IN ({marks}) GROUP BY path"  # noqa: S608  # marks only
                f" UNION ALL SELECT scope, count(*) FROM below WHERE scope IN ({marks}) GROUP BY scope"
            )
            counts = Counter[int]()
            for scope, count in connection.exec_driver_sql(query, (*scopes, *scopes)):
                counts[scope] += count
        return [(path, scope, counts[scope]) for scope, path in scopes.items()]

    def _records_of(self, scopes: dict[int, Path], until: int) -> Iterator[tuple[Path, list[Record] | None]]:
        with self.reading() as connection:
            found = None if rows.generation(connection) else self._found(connection, [*scopes], until)
            # What was brought to the archive, even just now, is in the tables no more.
            found = None if rows.generation(connection) else found
        for scope, path in scopes.items():
            yield path, None if found is None else sorted(found[scope], key=_position)

    def _found(
        self, connection: Connection, scopes: Sequence[int], until: int
    ) -> defaultdict[int, list[Record]]:
        marks = ", ".join("?" * len(scopes))
        query = (
            f"SELECT record.path, {ROW} FROM record WHERE record.path IN ({marks}) AND record.position <= ?"  # noqa: S608  # marks only
            f" UNION ALL SELECT below.scope, {ROW} FROM below JOIN record ON record.position = below.position"
            f" WHERE below.scope IN ({marks}) AND below.position <= ?"
        )
        found: defaultdict[int, list[Record]] = defaultdict(list)
        for scope, *row in connection.exec_driver_sql(query, (*scopes, until, *scopes, until)).all():
            found[scope].append(self.records.record(connection, tuple(row)))
        return found


def _integers(connection: Connection, interning: Interning, paths: Sequence[Path]) -> dict[int, Path]:
    """Return what stands for these paths, as far as they were ever seen; not for the root."""
    below: defaultdict[Path, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        if path.parent is not None:
            below[path.parent][Path(path.steps[-1:]).encode()] = path
    found: dict[int, Path] = {}
    for parent, steps in below.items():
        marks = ", ".join("?" * len(steps))
        query = f"SELECT id, step FROM path WHERE parent = ? AND step IN ({marks})"  # noqa: S608  # marks only
        owner = interning.find_path(connection, parent)
        if owner is not None:
            known = connection.exec_driver_sql(query, (owner, *steps))
            found |= {number: steps[step] for number, step in known}
    return found
