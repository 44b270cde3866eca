"""What there is to know of scopes themselves, and the table of it in the index file."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from eliza_state.change import Record, to_datetime, to_microseconds
from eliza_state.event import ERASURE, RESTORE
from eliza_state.indexes import Column
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.query.answer import Cursor, Match
from eliza_state.query.binding import Leaf, Test
from eliza_state.query.conditions import All, Condition
from eliza_state.query.order import Order, Row
from eliza_state.query.selection import Sql, below, joined
from eliza_state.shapes import members_of, shape_of
from eliza_state.tree import Tree

if TYPE_CHECKING:
    from eliza_state.query.index_file import Session

_WRITTEN_AT_ONCE: Final = 10_000
_POSITION: Final = "facts"
# The orders that the table, or its index, has its rows in.
_SORTED: Final[Mapping[tuple[str, ...], str]] = MappingProxyType(
    {(): "path", ("path",): "path", ("last_activity",): "last_activity_us, path"}
)


@attrs.frozen
class ScopeMatch:
    """One scope that was found.

    `version` counts the records addressed to it; `position` and `last_activity` are those of the last record
    at or below it. `phase` is `active`, or `archived` once it has ended.
    """

    path: Path
    level: str
    id: str | None
    version: int
    position: int
    last_activity: datetime.datetime
    phase: Literal["active", "archived"]


class ScopeColumns:
    """The fields of scopes, as conditions name them; `path` is compared by its text form."""

    def names(self) -> list[str]:
        """Return the names that can be asked for."""
        return list(members_of(ScopeMatch))

    def find(self, name: str) -> Column | None:
        """Return the column of a name; `None` if there is no such field."""
        return _COLUMNS.get(name)


def _column(name: str, annotation: Any) -> Column:
    if name == "path":
        return Column(name, "entry", lambda scope: scope.path.encode(), shape_of(str))
    return Column(name, "entry", lambda scope: getattr(scope, name), shape_of(annotation))


_COLUMNS: Final[Mapping[str, Column]] = MappingProxyType(
    {name: _column(name, annotation) for name, annotation in members_of(ScopeMatch).items()}
)


@attrs.define
class _Fact:
    """What a row of the table says of a scope."""

    version: int = 0
    position: int = 0
    last_activity_us: int = 0
    last_event: str = ""


@attrs.frozen(eq=False, kw_only=True)
class ScopeRequest:
    """What is asked of the scopes at and below a path: one more than `limit` tells that there are more."""

    condition: Condition
    test: Test
    path: Path
    order: Order
    limit: int | None
    after: Cursor | None

    def rows(self, scopes: Iterable[ScopeMatch], *, is_sorted: bool) -> list[Row]:
        """Return the scopes that are wanted; of sorted ones no more are looked at than it takes."""
        found: list[Row] = []
        for scope in scopes:
            if not self.test(None, scope, None):
                continue
            row = self.order.row(Match(scope.path, None, scope), None)
            if self.after is None or self.order.is_behind(row, self.after):
                found.append(row)
            if is_sorted and self.limit is not None and len(found) > self.limit:
                break
        return found


class Facts:
    """Keep the table of scopes: brought to a position by reading the records since the last one."""

    def __init__(self, tree: Tree, journal: Journal) -> None:
        self._tree = tree
        self._journal = journal

    def position(self, session: Session) -> int:
        """Return where the table stands."""
        found = session.run("SELECT value FROM meta WHERE name = ?", (_POSITION,)).scalar()
        return 0 if found is None else int(found)

    def bring(self, session: Session, until: int) -> None:
        """Write what the records up to a position say; some at a time, for there may be many."""
        known: dict[Path, _Fact] = {}
        for record in self._journal.read(Path(), after=self.position(session), until=until):
            self._note(known, record)
            if len(known) > _WRITTEN_AT_ONCE:
                self._write(session, known)
                known.clear()
        self._write(session, known)
        session.run(
            "INSERT INTO meta (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (_POSITION, str(until)),
        )

    def _note(self, known: dict[Path, _Fact], record: Record) -> None:
        for path in record.path.chain():
            fact = known.setdefault(path, _Fact())
            fact.position, fact.last_activity_us = record.position, record.recorded_at_us
        fact = known[record.path]
        fact.version = record.version
        if record.event == RESTORE:
            # Where no event was addressed to the scope by then, its own name stands: it ends nothing.
            last_event = self._journal.facts(record.path, until=record.position).last_event
            fact.last_event = last_event or RESTORE
        elif record.event != ERASURE:
            fact.last_event = record.event

    def _write(self, session: Session, known: Mapping[Path, _Fact]) -> None:
        level = self._tree.hierarchy.level
        rows = [
            (path.encode(), level(path), fact.version, fact.position, fact.last_activity_us, fact.last_event)
            for path, fact in known.items()
        ]
        if rows:
            # Where no record was addressed to a scope, only below it, what is its own stays.
            session.run(
                "INSERT INTO fact (path, level, version, position, last_activity_us, last_event)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
                " version = max(version, excluded.version), position = excluded.position,"
                " last_activity_us = excluded.last_activity_us, last_event ="
                " CASE excluded.last_event WHEN '' THEN last_event ELSE excluded.last_event END",
                rows,
            )

    def select(self, session: Session, request: ScopeRequest) -> list[Row]:
        """Return the scopes that are asked for; those of a page alone, where the table has their order."""
        columns = _SORTED.get(request.order.names)
        parts = [below(request.path, "path"), *_narrowed(request.condition, self._tree)]
        if columns is not None and request.after is not None:
            parts.append(_from(request.after))
        where = joined(parts, " AND ")
        found = "SELECT path, version, position, last_activity_us, last_event FROM fact"
        text = f"{found} WHERE {where.text}"
        if columns is not None:
            text += f" ORDER BY {columns}"
        with contextlib.closing(session.run(text, where.given)) as rows:
            scopes = (self._match(Path.decode(row[0]), *row[1:]) for row in rows)
            return request.rows(scopes, is_sorted=columns is not None)

    def read(self, path: Path, until: int) -> Iterable[ScopeMatch]:
        """Yield the scopes at and below a path from the journal itself, one look-up or more for each."""
        facts = self._journal.facts(path, until=until)
        if not facts.last_position:
            return
        told = facts.version, facts.last_position, facts.last_activity_us, facts.last_event
        yield self._match(path, *told)
        for child in self._journal.children(path):
            yield from self.read(child, until)

    def _match(
        self, path: Path, version: int, position: int, last_activity_us: int, last_event: str
    ) -> ScopeMatch:
        kind = self._tree.event_type(last_event)
        phase: Literal["active", "archived"] = "archived" if kind and kind.ends_scope else "active"
        at = to_datetime(last_activity_us)
        return ScopeMatch(path, self._tree.hierarchy.level(path), path.id, version, position, at, phase)


def _from(cursor: Cursor) -> Sql:
    """Return what holds of all rows behind a place in an order that the table has."""
    if cursor.order == ("last_activity",):
        return Sql("last_activity_us >= ?", (to_microseconds(cursor.values[0]),))
    return Sql("path > ?", (cursor.path,))


def _narrowed(condition: Condition, tree: Tree) -> list[Sql]:
    """Return what the table can tell of a condition that all have to hold of."""
    parts = condition.conditions if isinstance(condition, All) else (condition,)
    found: list[Sql] = []
    for part in parts:
        if not isinstance(part, Leaf):
            continue
        name, op = part.column.name, part.op
        if name == "level" and op == "==":
            found.append(Sql("level = ?", (part.operand,)))
        elif name == "last_activity" and op in ("<", "<=", ">", ">=") and part.operand.tzinfo is not None:
            found.append(Sql(f"last_activity_us {op} ?", (to_microseconds(part.operand),)))
        elif name == "phase" and op == "==":
            found.append(_in_phase(part.operand, tree))
        elif name == "version" and op in ("==", "<", "<=", ">", ">=") and type(part.operand) is int:
            found.append(Sql(f"version {op} ?", (part.operand,)))
    return found


def _in_phase(phase: object, tree: Tree) -> Sql:
    """Return what holds of the scopes that have ended, or of those that have not."""
    ending = tree.ending_events()
    marks = ", ".join("?" * len(ending)) or "NULL"
    is_ended = Sql(f"coalesce(last_event IN ({marks}), 0)", ending)
    return is_ended if phase == "archived" else Sql(f"NOT {is_ended.text}", ending)
