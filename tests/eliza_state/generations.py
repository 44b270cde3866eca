"""A module in two generations: as it was when a store was filled, and as it is today."""

from __future__ import annotations

import datetime
from typing import Any

import attrs

from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

ROOM = Path().child("agent", "eliza").child("room", "general")
HALL = ROOM.child("conversation", "c1")
NOON = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)


@event("listed")
class OldListed:
    """A book was listed."""

    title: str
    pages: int


@event("lent")
class Lent:
    """A book was lent."""

    title: str
    to: str
    at: datetime.datetime = NOON


@event("praised")
class Praised:
    """A book was praised; yesterday nobody at the room listened."""

    title: str


@attrs.frozen
class OldBook:
    title: str
    pages: int


@attrs.frozen
class OldShelf:
    """Yesterday's state: a list of books, who has one, titles in order, and a field that has gone since."""

    books: Entities[OldBook] = attrs.field(factory=lambda: Entities[OldBook](key="title"))
    lent: Map[str, str] = attrs.field(factory=Map[str, str])
    times: Log[datetime.datetime] = attrs.field(factory=Log[datetime.datetime])
    readers: Set[str] = attrs.field(factory=Set[str])
    count: int = 0


class OldShelfModule(StateModule[OldShelf]):
    name = "shelf"
    level = "room"

    @reduces(OldListed)
    def list_book(self, state: OldShelf, event: OldListed) -> OldShelf:
        book = OldBook(event.title, event.pages)
        return evolve(state, books=state.books.upsert(book), count=state.count + 1)

    @reduces(Lent)
    def lend(self, state: OldShelf, event: Lent) -> OldShelf:
        return evolve(
            state,
            lent=state.lent.set(event.title, event.to),
            times=state.times.append(event.at),
            readers=state.readers.add(event.to),
        )


@event("listed", version=2, upcasters={1: lambda old: {"name": old["title"], "size": old["pages"]}})
class Listed:
    """A book was listed, today's shape: both fields have other names."""

    name: str
    size: int


@attrs.frozen
class Book:
    name: str
    size: int
    is_long: bool = False


@attrs.frozen
class Loan:
    to: str


@attrs.frozen
class Shelf:
    """Today's state: renamed, split and new fields, other items in the collections, one collection gone."""

    titles: Entities[Book] = attrs.field(factory=lambda: Entities[Book](key="name"))
    loans: Map[str, Loan] = attrs.field(factory=Map[str, Loan])
    days: Log[datetime.date] = attrs.field(factory=Log[datetime.date])
    names: Log[str] = attrs.field(factory=Log[str])
    listed: int = 0


def to_shelf(old: dict[str, Any]) -> dict[str, Any]:
    """The migration from version 1 to version 2."""
    return {
        "titles": [
            {"name": book["title"], "size": book["pages"], "is_long": book["pages"] > 500}
            for book in old["books"]
        ],
        "loans": {title: {"to": reader} for title, reader in old["lent"].items()},
        "days": [at[:10] for at in old["times"]],
        "names": [book["title"] for book in old["books"]],
        "listed": old["count"],
    }


class ShelfModule(StateModule[Shelf]):
    name = "shelf"
    level = "room"
    version = 2
    migrations = {1: to_shelf}  # noqa: RUF012  # as a module declares them

    @reduces(Listed)
    def list_book(self, state: Shelf, event: Listed) -> Shelf:
        is_new = event.name not in state.titles
        return evolve(
            state,
            titles=state.titles.upsert(Book(event.name, event.size, is_long=event.size > 500)),
            names=state.names.append(event.name) if is_new else state.names,
            listed=state.listed + 1,
        )

    @reduces(Lent)
    def lend(self, state: Shelf, event: Lent) -> Shelf:
        loans = state.loans.set(event.title, Loan(event.to))
        return evolve(state, loans=loans, days=state.days.append(event.at.date()))


class FoldingShelfModule(ShelfModule):
    """Today's module without migrations: what it makes of a store is the fold."""

    migrations = {}  # noqa: RUF012


@attrs.frozen
class Praises:
    count: int = 0


class PraiseModule(StateModule[Praises]):
    """Count praises in a conversation, which lies below the room."""

    name = "praises"
    level = "conversation"

    @reduces(Praised, Lent)
    def count(self, state: Praises, event: Any) -> Praises:
        return evolve(state, count=state.count + isinstance(event, Praised))
