"""A user, as one agent knows them: id, name, avatar."""

from __future__ import annotations

import attrs

from eliza_modules.refusal import refuse
from eliza_modules.update import updated
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path


@attrs.frozen(kw_only=True)
class UserState:
    """Who a user is; an empty text where nothing is known. `avatar` is an address or whatever shows one."""

    id: str = ""
    name: str = ""
    avatar: str = ""


@event("user_updated")
class UserUpdated:
    """Something about the user became known or changed.

    None leaves a field as it is, an empty text clears `name` or `avatar`. `id` is needed only where the user
    goes by another id than the one of their scope.
    """

    id: str | None = None
    name: str | None = None
    avatar: str | None = None


class UserModule(StateModule[UserState]):
    """Keep one user's profile; the id is the scope's until an event gives another. Rejects an empty id."""

    name = "user"
    level = "user"

    @reduces(UserUpdated)
    def update(self, state: UserState, event: UserUpdated, path: Path) -> UserState:
        """Take the fields that the event sets."""
        if event.id == "":
            return refuse(self, state, path, "a user's id is a non-empty text, got ''")
        known = updated(state, event)
        own_id = dict(path.steps).get(self.level)
        return known if known.id or own_id is None else evolve(known, id=own_id)
