"""The integers that stand for paths, event types and writers in the SQL journal's rows."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from sqlalchemy import Connection, Table, insert, select

from eliza_state.errors import InvalidPath
from eliza_state.journal import schema
from eliza_state.path import Path

_CACHED_PATHS: Final = 50_000


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
        self._path_names: dict[int, Path] = {}
        self._fresh_ids: dict[tuple[Any, ...], int] = {}
        self._fresh_paths: dict[Path, tuple[int, tuple[int, ...]]] = {}

    # For the writer, within a transaction

    def path(self, connection: Connection, path: Path) -> tuple[int, tuple[int, ...]]:
        """Return a path's integer and those of the scopes between it and the root, adding what is new."""
        known = self._paths.get(path) or self._fresh_paths.get(path)
        if known is None:
            known = self._fresh_paths[path] = self._add_path(connection, path)
        return known

    def _add_path(self, connection: Connection, path: Path) -> tuple[int, tuple[int, ...]]:
        if path.parent is None:
            return schema.ROOT_ID, ()
        parent, above = self.path(connection, path.parent)
        values = {"parent": parent, "step": _last_step(path)}
        return _find_or_insert(connection, schema.path, values), (*above, parent) if path.parent.steps else ()

    def event_type(self, connection: Connection, name: str, schema_version: int) -> int:
        """Return the integer of an event's name and schema version, adding it if it is new."""
        key = (name, schema_version)
        known = self._ids.get(key) or self._fresh_ids.get(key)
        if known is None:
            values = {"name": name, "schema_version": schema_version}
            known = self._fresh_ids[key] = _find_or_insert(connection, schema.event_type, values)
        return known

    def writer(self, connection: Connection, name: str) -> int:
        """Return a writer's integer, adding it if it is new."""
        key = (name,)
        known = self._ids.get(key) or self._fresh_ids.get(key)
        if known is None:
            known = self._fresh_ids[key] = _find_or_insert(connection, schema.writer, {"name": name})
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

    def find_path(self, connection: Connection, path: Path) -> int | None:
        """Return a path's integer; `None` if the journal never saw the path."""
        known = self._paths.get(path)
        if known is not None:
            return known[0]
        if path.parent is None:
            return schema.ROOT_ID
        parent = self.find_path(connection, path.parent)
        if parent is None:
            return None
        query = "SELECT id FROM path WHERE parent = ? AND step = ?"
        found: int | None = connection.exec_driver_sql(query, (parent, _last_step(path))).scalar()
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


def _find_or_insert(connection: Connection, table: Table, values: dict[str, Any]) -> int:
    wanted = [table.c[name] == value for name, value in values.items()]
    found: int | None = connection.execute(select(table.c.id).where(*wanted)).scalar()
    if found is not None:
        return found
    inserted = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])
