"""What is written and read: a conversation of a thousand messages and a state of about a kilobyte."""

from __future__ import annotations

import datetime
import enum
import random
import uuid
from typing import Any, Final

import attrs

from benchmarks.talk import TEXT

MESSAGES: Final = 1_000
START: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Role(enum.Enum):
    """Who speaks."""

    USER = "user"
    AGENT = "agent"


@attrs.frozen(kw_only=True)
class Message:
    """One message, of types that most of the packages know."""

    id: uuid.UUID
    role: Role
    user: str
    text: str
    at: datetime.datetime
    tokens: int = 0
    score: float = 0.0
    reply_to: uuid.UUID | None = None
    tags: list[str] = attrs.field(factory=list[str])


@attrs.frozen(kw_only=True)
class Conversation:
    """A conversation that declares its types."""

    id: str
    messages: list[Message]
    topic: str | None = None
    counts: dict[str, int] = attrs.field(factory=dict[str, int])


@attrs.frozen(kw_only=True)
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


def conversation(count: int = MESSAGES) -> Conversation:
    """Return a conversation of so many messages, the same in each process."""
    chance = random.Random(7)
    found: list[Message] = []
    for number in range(count):
        answered = found[-1].id if number % 3 == 2 else None
        found.append(
            Message(
                id=_id(chance),
                role=Role.AGENT if number % 2 else Role.USER,
                user=f"user{number % 7}",
                text=f"{number} {TEXT}",
                at=START + datetime.timedelta(seconds=number, microseconds=number),
                tokens=number % 50,
                score=chance.random(),
                reply_to=answered,
                tags=["question", "hotel"] if number % 4 == 0 else [],
            )
        )
    return Conversation(id="c1", messages=found, counts={f"user{number}": number for number in range(7)})


def session() -> Session:
    """Return a state of about a kilobyte."""
    chance = random.Random(7)
    return Session(
        id=_id(chance),
        user="ada",
        opened_at=START,
        role=Role.USER,
        sentiment=0.25,
        ended=False,
        last=[TEXT] * 5,
        counts={f"user{number}": number for number in range(10)},
        replies={f"user{number}": chance.random() for number in range(5)},
    )


def untyped(talk: Conversation) -> dict[str, Any]:
    """Return the same in dicts without a declared type, with tuples, sets and numbers for keys."""
    messages = [
        {
            **attrs.asdict(message, recurse=False),
            "tags": tuple(message.tags),
            "seen_by": {message.user, "user0"},
        }
        for message in talk.messages
    ]
    counts = {number: message.tokens for number, message in enumerate(talk.messages[:100])}
    return {"id": talk.id, "topic": talk.topic, "messages": messages, "counts": counts}


def _id(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)
