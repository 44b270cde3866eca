"""How far each follower has come: state like any other, moved on by an event.

It lives at the root, the one scope that every hierarchy has. A scope for each follower would need a level
of its own in the application's hierarchy, and would save nothing: followers of one process share its
transactions, and one whose commit finds a new record at the root reduces again, without its handler.
"""

from __future__ import annotations

from typing import Final

import attrs

from eliza_state.collections import Map
from eliza_state.errors import Rejected
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Hierarchy

_PARTITION: Final = "#"


def partition_place(name: str, level: str, number: int) -> str:
    """Return the name under which the position of one partition of a shared follower is stored."""
    return f"{name}{_PARTITION}{level}{_PARTITION}{number}"


def member_claim(name: str, number: int) -> str:
    """Return the name of the claim of one who shares a follower."""
    return f"{name}{_PARTITION * 2}{number}"


def follower_of(place: str) -> str:
    """Return the name of the follower whose position, or whose partition's, is stored under a name."""
    return place.partition(_PARTITION)[0]


@event("follower_advanced")
class FollowerAdvanced:
    """A follower has done with the records up to `position`; before that, with those up to `after`.

    A new one starts at `position`; its `after` is `None`.
    """

    name: str
    after: int | None
    position: int


@event("follower_forgotten")
class FollowerForgotten:
    """Nobody follows by this name any more; one who begins by it again begins anew."""

    name: str


@attrs.frozen
class FollowerPositions:
    """The last position that each follower, by name, has done with; of a shared one, each partition."""

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

    @reduces(FollowerForgotten)
    def forget(self, state: FollowerPositions, event: FollowerForgotten) -> FollowerPositions:
        return evolve(state, positions=state.positions.discard(event.name))


def followers_module(hierarchy: Hierarchy) -> FollowersModule:
    """Return the module for the root of a hierarchy, whatever that level is called."""
    if hierarchy.root == FollowersModule.level:
        return FollowersModule()

    class AtRoot(FollowersModule):
        level = hierarchy.root

    return AtRoot()
