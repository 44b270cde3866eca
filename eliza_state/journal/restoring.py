"""Where scopes were restored, in the SQL journal's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from eliza_state.event import RESTORE
from eliza_state.journal.contract import Draft

_NOTE: Final = "INSERT INTO restore VALUES (?, ?)"

LAST: Final = "SELECT position FROM restore WHERE scope = ? AND position <= ? ORDER BY position DESC LIMIT 1"
"""The position of the last restore of a scope, by its integer, up to a position."""

ALL: Final = "SELECT DISTINCT position FROM restore WHERE position > ? AND position <= ? ORDER BY position"
"""The positions of all restores between two positions."""


def note(connection: Connection, drafts: Sequence[Draft], rows: Sequence[tuple[Any, ...]]) -> None:
    """Note which of the records that were just stored restore a scope; each row begins with its position."""
    restores = [(row[1], row[0]) for draft, row in zip(drafts, rows, strict=True) if draft.event == RESTORE]
    if restores:
        connection.exec_driver_sql(_NOTE, restores)
