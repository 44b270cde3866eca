"""A message: who reacted to it and how far it got. Its text lives in the conversation, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import attrs

from eliza_modules.refusal import refuse
from eliza_state.collections import Map, Set
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

DeliveryStatus: TypeAlias = Literal["pending", "sent", "delivered", "read", "failed"]

DELIVERY: Final[Mapping[DeliveryStatus, frozenset[DeliveryStatus]]] = {
    "pending": frozenset({"sent", "delivered", "read", "failed"}),
    "sent": frozenset({"delivered", "read", "failed"}),
    "delivered": frozenset({"read"}),
    "read": frozenset(),
    "failed": frozenset({"sent", "delivered", "read"}),
}
"""Which status may follow which. Receipts come in any order: what is not here comes too late."""


@attrs.frozen(kw_only=True)
class MessageState:
    """What happened to a message: the users behind each reaction, and its delivery.

    A reaction that nobody holds any more is not in `reactions`.
    """

    reactions: Map[str, Set[str]] = attrs.field(factory=Map[str, Set[str]])
    delivery: DeliveryStatus = "pending"


@event("reaction_added")
class ReactionAdded:
    """A user reacted to the message; a second time with the same reaction changes nothing."""

    user: str
    reaction: str


@event("reaction_removed")
class ReactionRemoved:
    """A user took a reaction back; one that is not there changes nothing."""

    user: str
    reaction: str


@event("delivery_updated")
class DeliveryUpdated:
    """The transport reported on the message; a report that comes too late (`DELIVERY`) changes nothing."""

    status: DeliveryStatus


class MessageModule(StateModule[MessageState]):
    """Keep what happens to one message after it was received.

    A scope does not see the one above it, so an event for a message that its conversation does not hold is
    taken as well. Rejects an empty user or reaction, and a status that `DELIVERY` does not know.
    """

    name = "message"
    level = "message"

    @reduces(ReactionAdded)
    def add_reaction(self, state: MessageState, event: ReactionAdded, path: Path) -> MessageState:
        """Add the user to those behind the reaction."""
        if not event.user or not event.reaction:
            return refuse(self, state, path, f"a reaction has a user and a text, got {event!r}")
        users = state.reactions.get(event.reaction)
        if users is None:
            return evolve(state, reactions=state.reactions.set(event.reaction, Set((event.user,))))
        if event.user in users:
            return state
        return evolve(state, reactions=state.reactions.set(event.reaction, users.add(event.user)))

    @reduces(ReactionRemoved)
    def remove_reaction(self, state: MessageState, event: ReactionRemoved, path: Path) -> MessageState:
        """Take the user from those behind the reaction, and the reaction with its last user."""
        if not event.user or not event.reaction:
            return refuse(self, state, path, f"a reaction has a user and a text, got {event!r}")
        users = state.reactions.get(event.reaction)
        if users is None or event.user not in users:
            return state
        if len(users) == 1:
            return evolve(state, reactions=state.reactions.delete(event.reaction))
        return evolve(state, reactions=state.reactions.set(event.reaction, users.remove(event.user)))

    @reduces(DeliveryUpdated)
    def update_delivery(self, state: MessageState, event: DeliveryUpdated, path: Path) -> MessageState:
        """Move the delivery on where the table allows it."""
        if event.status not in DELIVERY:
            known = ", ".join(DELIVERY)
            return refuse(self, state, path, f"a delivery status is one of {known}, got {event.status!r}")
        if event.status not in DELIVERY[state.delivery]:
            return state
        return evolve(state, delivery=event.status)
