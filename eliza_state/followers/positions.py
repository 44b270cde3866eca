"""How far each follower has come: state like any other, moved on by an event.

It lives at the root, the one scope that every hierarchy has. A scope for each follower would need a level
of its own in the application's hierarchy, and would save nothing: followers of one process share its
transactions, and one whose commit finds a new record at the root reduces again, without its handler.
"""

from __future__ import annotations

import attrs

from eliza_state.collections import Map
from eliza_state.errors import Rejected
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Hierarchy


@event("follower_advanced")
class FollowerAdvanced:
    """A follower has done with the records up to `position`; before that, with those up to `after`.

    A new one starts at `position`; its `after` is `None`.
    """

    name: str
    after: int | None
    position: int


@attrs.frozen
class FollowerPositions:
    """The last position that each follower, by name, has done with."""

    positions: Map[str, int] = attrs.field(factory=Map[str, int])


class FollowersModule(StateModule[FollowerPositions]):
    """Keep the followers' positions. Rejects a step from where the follower does not stand any more.

    That is a compare-and-set for each follower: `expected_version` would ask for the version of the root,
    and there all followers, and whatever else is addressed to the root, would be in each other's way.
    """

    name = "followers"
    level = "global"
    restorable = False  # what was heard was heard

    @reduces(FollowerAdvanced)
    def advance(self, state: FollowerPositions, event: FollowerAdvanced) -> FollowerPositions:
        stands = state.positions.get(event.name)
        if stands != event.after:
            raise Rejected(f"follower {event.name!r} stands at {stands}, not at the expected {event.after}")
        return evolve(state, positions=state.positions.set(event.name, event.position))


def followers_module(hierarchy: Hierarchy) -> FollowersModule:
    """Return the module for the root of a hierarchy, whatever that level is called."""
    if hierarchy.root == FollowersModule.level:
        return FollowersModule()

    class AtRoot(FollowersModule):
        level = hierarchy.root

    return AtRoot()
