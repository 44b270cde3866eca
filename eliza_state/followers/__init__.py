"""Followers: durable readers of the journal, each hearing every record in order, effectively once."""

from eliza_state.followers.follower import Follower
from eliza_state.followers.followers import Followers
from eliza_state.followers.group import FollowerGroup
from eliza_state.followers.handler import Handler, RecordedEvent, Write
from eliza_state.followers.positions import FollowerAdvanced, FollowerPositions, FollowersModule

__all__ = [
    "Follower",
    "FollowerAdvanced",
    "FollowerGroup",
    "FollowerPositions",
    "Followers",
    "FollowersModule",
    "Handler",
    "RecordedEvent",
    "Write",
]
