"""The databases that a SQL journal can be in, and what differs between them."""

from eliza_state.journal.databases.database import Below, Database, Found, Row, Taken
from eliza_state.journal.databases.opening import open_database

__all__ = ["Below", "Database", "Found", "Row", "Taken", "open_database"]
