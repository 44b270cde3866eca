"""Storages in a table: SQLite, PostgreSQL, MySQL and MariaDB."""

from eliza_state.storage.sql.storage import SqlBackend, SqlStorage

__all__ = ["SqlBackend", "SqlStorage"]
