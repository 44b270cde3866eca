"""A small forum for tests: posts with fields of many kinds, found by indexes of many sorts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.indexes import Composite, Index, Indexes
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

ROOM = Path().child("agent", "eliza").child("room", "general")
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def talk(name: str = "c1", *, room: Path = ROOM) -> Path:
    return room.child("conversation", name)


def at_hour(hour: int) -> datetime.datetime:
    return START + datetime.timedelta(hours=hour)


@attrs.frozen(kw_only=True)
class Post:
    """One post."""

    id: str
    author: str = "ada"
    at: datetime.datetime | None = None
    score: int | float | None = None
    tags: frozenset[str] = frozenset()
    meta: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    token: Secret[str] | None = None


@attrs.frozen(kw_only=True)
class Forum:
    """The posts of a conversation, its lines, and how often who wrote."""

    posts: Entities[Post] = attrs.field(factory=Entities[Post])
    lines: Log[str] = attrs.field(factory=Log[str])
    counts: Map[str, int] = attrs.field(factory=Map[str, int])
    topic: str | None = None


@event("posted")
class Posted:
    """Something was posted, or posted anew."""

    post: Post


@event("post_removed")
class PostRemoved:
    """A post was taken out."""

    id: str


@event("topic_chosen")
class TopicChosen:
    """The conversation has a topic."""

    topic: str | None


@event("forum_closed", ends_scope=True)
class ForumClosed:
    """It is over."""


def hour_of(post: Post) -> datetime.datetime | None:
    return None if post.at is None else post.at.replace(minute=0, second=0, microsecond=0)


class ForumModule(StateModule[Forum]):
    """Keep the posts."""

    name = "forum"
    level = "conversation"
    indexes: ClassVar[Indexes] = {
        "posts": (
            Index("author"),
            Index("score", ordered=True),
            Index("hour", key=hour_of, ordered=True),
            Index("tags", each=True),
            Index("topic"),
            Index("meta.lang"),
            Composite("author", "hour"),
        )
    }

    @reduces(Posted)
    def post(self, state: Forum, event: Posted) -> Forum:
        post = event.post
        return evolve(
            state,
            posts=state.posts.upsert(post),
            lines=state.lines.append(post.author),
            counts=state.counts.set(post.author, state.counts.get(post.author, 0) + 1),
        )

    @reduces(PostRemoved)
    def remove(self, state: Forum, event: PostRemoved) -> Forum:
        return evolve(state, posts=state.posts.discard(event.id))

    @reduces(TopicChosen)
    def choose(self, state: Forum, event: TopicChosen) -> Forum:
        return evolve(state, topic=event.topic)

    @reduces(ForumClosed)
    def close(self, state: Forum, _event: ForumClosed) -> Forum:
        return evolve(state, topic=None)


def post(id_: str, **fields: Any) -> Posted:
    return Posted(post=Post(id=id_, **fields))
