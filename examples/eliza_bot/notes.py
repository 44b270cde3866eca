"""The notes that hang in a room: a state module of the bot's own."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from eliza_modules.refusal import refuse
from eliza_state import Path, StateModule, event, evolve, reduces
from eliza_state.collections import Entities

MAX_NOTES: Final = 100
"""A room is open for years; what grows in it needs a bound."""


@attrs.frozen(kw_only=True)
class Note:
    id: str
    text: str
    by: str
    at: datetime


@attrs.frozen(kw_only=True)
class Notes:
    """What hangs on the wall, the oldest first."""

    notes: Entities[Note] = attrs.field(factory=Entities[Note])


@event("note_written")
class NoteWritten:
    id: str
    text: str
    by: str
    at: datetime


@event("note_deleted")
class NoteDeleted:
    id: str


class NotesModule(StateModule[Notes]):
    """Keep a room's notes, at most 100.

    Rejects a note too many, one with the id of a note that is there, and the deletion of one that is not.
    """

    name = "notes"
    level = "room"

    @reduces(NoteWritten)
    def write(self, state: Notes, event: NoteWritten, path: Path) -> Notes:
        if event.id in state.notes:
            return refuse(self, state, path, f"note {event.id!r} hangs there already")
        if len(state.notes) >= MAX_NOTES:
            return refuse(self, state, path, f"{MAX_NOTES} notes hang there; delete one first")
        note = Note(id=event.id, text=event.text, by=event.by, at=event.at)
        return evolve(state, notes=state.notes.add(note))

    @reduces(NoteDeleted)
    def delete(self, state: Notes, event: NoteDeleted, path: Path) -> Notes:
        if event.id not in state.notes:
            return refuse(self, state, path, f"there is no note {event.id!r}")
        return evolve(state, notes=state.notes.remove(event.id))
