"""A room: who is in it, what it is about and what was said last."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from eliza_modules.conversation import ContextSwitched, MessageDeleted, MessageReceived, MessagesTrimmed
from eliza_modules.refusal import is_addressed, refuse
from eliza_modules.update import is_unchanged
from eliza_state.collections import Map, Set
from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

HISTORY_LIMIT = 100
"""How many references a room's history holds unless its module says otherwise."""


@attrs.frozen
class MessageReference:
    """Where to find a message of the room: its conversation and its id, with its author and time.

    `conversation` is None for a message that was addressed to the room itself.
    """

    conversation: str | None
    message: str
    user: str
    at: datetime | None = None


@attrs.frozen(kw_only=True)
class RoomState:
    """What a room holds; `history` has the newest message last and is bounded by its module.

    A room that is `closed` takes no more events, and neither do its conversations.
    """

    participants: Set[str] = attrs.field(factory=Set[str])
    context: str = ""
    history: tuple[MessageReference, ...] = ()
    metadata: Map[str, Any] = attrs.field(factory=Map[str, Any])
    closed: bool = False


@event("user_joined")
class UserJoined:
    """A user came into the room. `at` is for the journal's readers; no state keeps it."""

    user: str
    at: datetime | None = None


@event("user_left")
class UserLeft:
    """A user left the room. `at` is for the journal's readers; no state keeps it."""

    user: str
    at: datetime | None = None


@event("user_renamed")
class UserRenamed:
    """A user of the room goes by the id `name` from now on. `at` is for the journal's readers."""

    user: str
    name: str
    at: datetime | None = None


@event("room_metadata_changed")
class RoomMetadataChanged:
    """A piece of the room's metadata was set; the value is plain data, None included."""

    key: str
    value: Any


@event("room_closed", ends_scope=True)
class RoomClosed:
    """The room is gone. `at` is for the journal's readers; no state keeps it."""

    at: datetime | None = None


class RoomModule(StateModule[RoomState]):
    """Keep a room's participants, context, metadata and the references to its last messages.

    Who joined or spoke is in, who left is out, and a new name is in even if the old one was not. The texts
    stay in the conversations; the reference of a message that is deleted or trimmed there goes. Rejects an
    empty user, name or key.

    `history_limit` bounds the history, at least 1. A history that is stored already follows a lower limit
    with the room's next message; a higher one it grows into. Raises `RegistrationError` for anything else.
    """

    name = "room"
    level = "room"

    def __init__(self, *, history_limit: int = HISTORY_LIMIT) -> None:
        if type(history_limit) is not int or history_limit < 1:
            raise RegistrationError(f"history_limit counts references, at least 1, got {history_limit!r}")
        self.history_limit = history_limit

    @reduces(UserJoined)
    def join(self, state: RoomState, event: UserJoined, path: Path) -> RoomState:
        """Let the user in."""
        if not event.user:
            return refuse(self, state, path, "a user is a non-empty text, got ''")
        return evolve(state, participants=state.participants.add(event.user))

    @reduces(UserLeft)
    def leave(self, state: RoomState, event: UserLeft, path: Path) -> RoomState:
        """Let the user out; one who is not in changes nothing."""
        if not event.user:
            return refuse(self, state, path, "a user is a non-empty text, got ''")
        return evolve(state, participants=state.participants.discard(event.user))

    @reduces(UserRenamed)
    def rename(self, state: RoomState, event: UserRenamed, path: Path) -> RoomState:
        """Put the new name in the place of the old one; the history keeps the name of then."""
        if not event.user or not event.name:
            return refuse(self, state, path, f"users are non-empty texts, got {event.user!r}, {event.name!r}")
        participants = state.participants
        if event.user != event.name:
            participants = participants.discard(event.user)
        return evolve(state, participants=participants.add(event.name))

    @reduces(RoomMetadataChanged)
    def change_metadata(self, state: RoomState, event: RoomMetadataChanged, path: Path) -> RoomState:
        """Set the value under its key."""
        if not event.key:
            return refuse(self, state, path, "a key is a non-empty text, got ''")
        if event.key in state.metadata and is_unchanged(state.metadata[event.key], event.value):
            return state
        return evolve(state, metadata=state.metadata.set(event.key, event.value))

    @reduces(ContextSwitched)
    def switch_context(self, state: RoomState, event: ContextSwitched) -> RoomState:
        """Take the new context, the room's own or that of a conversation in it."""
        return state if event.context == state.context else evolve(state, context=event.context)

    @reduces(RoomClosed)
    def close(self, state: RoomState, event: RoomClosed, path: Path) -> RoomState:
        """Note that the room is gone; one that is addressed to something below it closes nothing here."""
        if state.closed or not is_addressed(self, path):
            return state
        return evolve(state, closed=True)

    @reduces(MessageReceived)
    def refer(self, state: RoomState, event: MessageReceived, path: Path) -> RoomState:
        """Refer to the message in the history; its author is in the room."""
        reference = MessageReference(_conversation(path), event.id, event.user, event.at)
        # With a limit of 1 nothing is kept: a slice that starts at -0 would keep everything.
        kept = state.history[1 - self.history_limit :] if self.history_limit > 1 else ()
        return evolve(state, participants=state.participants.add(event.user), history=(*kept, reference))

    @reduces(MessageDeleted)
    def forget(self, state: RoomState, event: MessageDeleted, path: Path) -> RoomState:
        """Drop the reference to the message, if it is still in the history."""
        gone = (_conversation(path), event.id)
        kept = tuple(
            reference for reference in state.history if (reference.conversation, reference.message) != gone
        )
        return state if len(kept) == len(state.history) else evolve(state, history=kept)

    @reduces(MessagesTrimmed)
    def forget_old(self, state: RoomState, event: MessagesTrimmed, path: Path) -> RoomState:
        """Drop the references to messages that their conversation has let go of."""
        objection = event.objection()
        if objection is not None:
            return refuse(self, state, path, objection)
        here = [each for each in state.history if each.conversation == _conversation(path)]
        # What a conversation holds ends with the messages that the history refers to.
        too_many = 0 if event.keep is None else len(here) - event.keep
        gone = {
            (each.conversation, each.message)
            for number, each in enumerate(here)
            if number < too_many or event.takes(each.at)
        }
        kept = tuple(each for each in state.history if (each.conversation, each.message) not in gone)
        return state if len(kept) == len(state.history) else evolve(state, history=kept)


def _conversation(path: Path) -> str | None:
    return path.id if path.level == "conversation" else None
