"""The same classes as dataclasses, for packages that know no attrs classes."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, field, fields
from typing import Any

from benchmarks.serialising import talks
from benchmarks.serialising.talks import Role


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message."""

    id: uuid.UUID
    role: Role
    user: str
    text: str
    at: datetime.datetime
    tokens: int = 0
    score: float = 0.0
    reply_to: uuid.UUID | None = None
    tags: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation."""

    id: str
    messages: list[Message]
    topic: str | None = None
    counts: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class Session:
    """A state of about a kilobyte."""

    id: uuid.UUID
    user: str
    opened_at: datetime.datetime
    role: Role
    sentiment: float
    ended: bool
    last: list[str]
    counts: dict[str, int]
    replies: dict[str, float]


TWINS: dict[type, type] = {
    talks.Message: Message,
    talks.Conversation: Conversation,
    talks.Session: Session,
}


def twin(value: Any) -> Any:
    """Return a value with dataclasses in place of attrs classes."""
    if isinstance(value, list):
        return [twin(item) for item in value]
    cls = TWINS.get(type(value))
    if cls is None:
        return value
    return cls(**{each.name: twin(getattr(value, each.name)) for each in fields(cls)})
