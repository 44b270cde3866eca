"""A module whose events and states hold every kind of value that a test can tell."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.errors import Rejected
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(NamedTuple):
    width: int
    height: int


@attrs.frozen
class Part:
    id: str
    price: Decimal
    colour: Colour = Colour.RED
    tags: frozenset[str] = frozenset()


@event("ordered")
class Ordered:
    """Something was ordered."""

    part: Part
    at: datetime.datetime
    number: uuid.UUID
    note: str | None = None
    extras: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    card: Secret[str] | None = None


@event("cancelled")
class Cancelled:
    """An order was taken back."""

    id: str


@attrs.frozen
class Orders:
    parts: Entities[Part] = attrs.field(factory=Entities[Part])
    numbers: Log[uuid.UUID] = attrs.field(factory=Log[uuid.UUID])
    colours: Set[str] = attrs.field(factory=Set[str])
    notes: Map[str, str] = attrs.field(factory=Map[str, str])
    last_at: datetime.datetime | None = None
    card: Secret[str] | None = None
    extras: Mapping[str, Any] = attrs.field(factory=dict[str, Any])


class OrdersModule(StateModule[Orders]):
    """Keep what is ordered, once."""

    name = "orders"
    level = "room"

    @reduces(Ordered)
    def order(self, state: Orders, event: Ordered) -> Orders:
        if event.part.id in state.parts:
            raise Rejected(f"{event.part.id!r} is ordered already")
        return evolve(
            state,
            parts=state.parts.add(event.part),
            numbers=state.numbers.append(event.number),
            colours=state.colours.add(event.part.colour.value),
            notes=state.notes if event.note is None else state.notes.set(event.part.id, event.note),
            last_at=event.at,
            card=event.card,
            extras=event.extras,
        )

    @reduces(Cancelled)
    def cancel(self, state: Orders, event: Cancelled) -> Orders:
        return evolve(state, parts=state.parts.discard(event.id))


class PricedModule(StateModule[Orders]):
    """Made with an argument."""

    name = "priced"
    level = "room"

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @reduces(Ordered)
    def order(self, state: Orders, event: Ordered) -> Orders:
        return evolve(state, last_at=event.at)


def ordered(id: str, **more: Any) -> Ordered:  # noqa: A002
    """An order with as many kinds of values as it takes."""
    values: dict[str, Any] = {
        "part": Part(id=id, price=Decimal("9.90"), colour=Colour.BLUE, tags=frozenset({"b", "a"})),
        "at": datetime.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=datetime.UTC),
        "number": uuid.UUID(int=7),
        "note": 'it\'s "new"\n',
        "extras": {"sizes": [1, 2.5, None, True], "long " * 10: {"deep": "value " * 12}},
        **more,
    }
    return Ordered(**values)
