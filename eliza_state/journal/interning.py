"""The integers that stand for paths, event types and writers in the SQL journal's rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from eliza_state.errors import InvalidPath
from eliza_state.journal import schema
from eliza_state.journal.contract import Draft
from eliza_state.path import Path

_CACHED_PATHS: Final = 50_000

# A table and its columns. The integers are given here: only one writes at a time, and a server's sequence
# would not go back with a transaction that is rolled back.
_PATH: Final = ("path", "parent", "step")
_EVENT_TYPE: Final = ("event_type", "name", "schema_version")
_WRITER: Final = ("writer", "name")


class Interning:
    """Give names their integers, remembering those that are committed.

    What a running transaction adds is seen by the writer alone until `commit`, and forgotten by
    `rollback`: another thread never learns an integer that may end up standing for something else.
    An integer that stands for nothing, as in a damaged row, gives the root and empty names.
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[Any, ...], int] = {}
        self._names: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._paths: dict[Path, tuple[int, tuple[int, ...]]] = {}
        self._seen_paths: dict[Path, int] = {}
        self._path_names: dict[int, Path] = {}
        self._fresh_ids: dict[tuple[Any, ...], int] = {}
        self._fresh_paths: dict[Path, tuple[int, tuple[int, ...]]] = {}

    # For the writer, within a transaction

    def has(self, drafts: Iterable[Draft], writer: str) -> bool:
        """Tell whether all names of drafts are known, so that no connection is needed to give them."""
        return (writer,) in self._ids and all(
            (draft.event, draft.schema_version) in self._ids and self._known(draft.path) for draft in drafts
        )

    def path(self, connection: Connection | None, path: Path) -> tuple[int, tuple[int, ...]]:
        """Return a path's integer and those of the scopes between it and the root, adding what is new."""
        known = self._known(path) or self._fresh_paths.get(path)
        if known is None:
            assert connection is not None
            known = self._fresh_paths[path] = self._add_path(connection, path)
        return known

    def _known(self, path: Path) -> tuple[int, tuple[int, ...]] | None:
        """Return what `path` does, if that is remembered, or if readers have come across it."""
        known = self._paths.get(path)
        seen = None if known is not None else self._seen_paths.get(path)
        if seen is None or path.parent is None:
            return known
        above = self._known(path.parent) if path.parent.steps else (schema.ROOT_ID, ())
        if above is None:
            return None
        known = self._paths[path] = seen, (*above[1], above[0]) if path.parent.steps else ()
        return known

    def _add_path(self, connection: Connection, path: Path) -> tuple[int, tuple[int, ...]]:
        if path.parent is None:
            return schema.ROOT_ID, ()
        parent, above = self.path(connection, path.parent)
        found = _find_or_insert(connection, _PATH, (parent, _last_step(path)))
        return found, (*above, parent) if path.parent.steps else ()

    def event_type(self, connection: Connection | None, name: str, schema_version: int) -> int:
        """Return the integer of an event's name and schema version, adding it if it is new."""
        key = (name, schema_version)
        known = self._ids.get(key) or self._fresh_ids.get(key)
        if known is None:
            assert connection is not None
            known = self._fresh_ids[key] = _find_or_insert(connection, _EVENT_TYPE, key)
        return known

    def writer(self, connection: Connection | None, name: str) -> int:
        """Return a writer's integer, adding it if it is new."""
        key = (name,)
        known = self._ids.get(key) or self._fresh_ids.get(key)
        if known is None:
            assert connection is not None
            known = self._fresh_ids[key] = _find_or_insert(connection, _WRITER, key)
        return known

    def commit(self) -> None:
        """Remember what the transaction added; call it once the transaction is committed."""
        if self._fresh_paths:
            if len(self._paths) > _CACHED_PATHS:
                self._paths = {}
            self._paths.update(self._fresh_paths)
            self._fresh_paths.clear()
        if self._fresh_ids:
            self._ids.update(self._fresh_ids)
            self._fresh_ids.clear()

    def rollback(self) -> None:
        """Forget what the transaction added."""
        self._fresh_paths.clear()
        self._fresh_ids.clear()

    # For readers

    def knows(self, path: Path) -> bool:
        """Tell whether a path has an integer that is remembered; one that is not may have one as well."""
        return path in self._paths or path in self._seen_paths

    def find_path(self, connection: Connection, path: Path) -> int | None:
        """Return a path's integer; `None` if the journal never saw the path."""
        known = self._paths.get(path)
        if known is not None:
            return known[0]
        seen = self._seen_paths.get(path)
        if seen is not None:
            return seen
        if path.parent is None:
            return schema.ROOT_ID
        parent = self.find_path(connection, path.parent)
        if parent is None:
            return None
        query = "SELECT id FROM path WHERE parent = ? AND step = ?"
        found: int | None = connection.exec_driver_sql(query, (parent, _last_step(path))).scalar()
        if found is not None and path not in self._fresh_paths:  # else the writer may have just added it
            if len(self._seen_paths) > _CACHED_PATHS:
                self._seen_paths = {}
            self._seen_paths[path] = found
        return found

    def children(self, connection: Connection, path: Path) -> list[Path]:
        """Return the paths right below another, the oldest first; one whose row is damaged is left out."""
        query = "SELECT step FROM path WHERE parent = ? ORDER BY id"
        steps = connection.exec_driver_sql(query, (self.find_path(connection, path),)).scalars()
        found: list[Path] = []
        for step in steps:
            with contextlib.suppress(InvalidPath):
                found.append(Path((*path.steps, *Path.decode(step).steps)))
        return found

    def path_of(self, connection: Connection, path_id: int) -> Path:
        """Return the path that an integer of a committed row stands for."""
        if path_id == schema.ROOT_ID:
            return Path()
        known = self._path_names.get(path_id)
        if known is None:
            if len(self._path_names) > _CACHED_PATHS:
                self._path_names = {}
            known = self._load_path(connection, path_id)
            if known.steps:
                self._path_names[path_id] = known
        return known

    def learn(self, paths: Mapping[int, Path]) -> None:
        """Remember the paths that integers of committed rows stand for, as the caller has found them."""
        if len(self._path_names) > _CACHED_PATHS:
            self._path_names = {}
        self._path_names.update(paths)

    def _load_path(self, connection: Connection, path_id: int) -> Path:
        row = connection.exec_driver_sql(
            "SELECT parent, step FROM path WHERE id = ?", (path_id,)
        ).one_or_none()
        parent, step = row or (0, "")
        # A path comes after the one above it: anything else is damage, which must not lead in circles.
        if not isinstance(parent, int) or not schema.ROOT_ID <= parent < path_id:
            return Path()
        try:
            return Path((*self.path_of(connection, parent).steps, *Path.decode(step).steps))
        except InvalidPath:
            return Path()

    def event_type_of(self, connection: Connection, event_type_id: int) -> tuple[str, int]:
        """Return the event name and schema version that an integer of a committed row stands for."""
        key = ("event_type", event_type_id)
        known = self._names.get(key)
        if known is None:
            query = "SELECT name, schema_version FROM event_type WHERE id = ?"
            row = connection.exec_driver_sql(query, (event_type_id,)).one_or_none()
            if row is None:
                return "", 0
            known = self._names[key] = tuple(row)
        name, schema_version = known
        return name, schema_version

    def writer_of(self, connection: Connection, writer_id: int) -> str:
        """Return the writer's name that an integer of a committed row stands for."""
        key = ("writer", writer_id)
        known = self._names.get(key)
        if known is None:
            query = "SELECT name FROM writer WHERE id = ?"
            row = connection.exec_driver_sql(query, (writer_id,)).one_or_none()
            if row is None:
                return ""
            known = self._names[key] = tuple(row)
        return str(known[0])


def _last_step(path: Path) -> str:
    return Path(path.steps[-1:]).encode()


def _find_or_insert(connection: Connection, place: tuple[str, ...], values: tuple[Any, ...]) -> int:
    table, *columns = place
    wanted = " AND ".join(f"{column} = ?" for column in columns)
    query = f"SELECT id FROM {table} WHERE {wanted}"  # noqa: S608  # constants only
    marks = ", ".join("?" for _ in columns)
    # First this, because most of what has to be asked for is new; on a server each statement is a round trip.
    statement = (
        f"INSERT INTO {table} (id, {', '.join(columns)})"  # noqa: S608
        f" SELECT (SELECT coalesce(max(id), 0) + 1 FROM {table}), {marks}"
        f" WHERE NOT EXISTS ({query}) RETURNING id"
    )
    made = connection.exec_driver_sql(statement, (*values, *values)).scalar()
    if made is None:
        made = connection.exec_driver_sql(query, values).scalar_one()
    return int(made)
