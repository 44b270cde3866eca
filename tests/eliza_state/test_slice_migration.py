"""Stored slices under today's code: what becomes of them, and how they are migrated."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.collections import CHUNK_SIZE, Entities, Log, Map, Set
from eliza_state.errors import StateError
from eliza_state.module import StateModule
from eliza_state.slice_migration import Use, migrate_slice, use_of
from eliza_state.snapshots import ChunkMissing, SliceSnapshot, dump_slice
from tests.eliza_state.chat import Noted
from tests.eliza_state.generations import (
    NOON,
    Book,
    Loan,
    OldBook,
    OldShelf,
    OldShelfModule,
    Shelf,
    ShelfModule,
)


def at_version(number: int, **attributes: Any) -> StateModule[Any]:
    """A module of a version, with the attributes of its class."""

    def reduce(_self: Any, state: Any, _event: Any) -> Any:
        return state

    members = {"name": "shelf", "level": "room", "version": number, "handles": (Noted,), "reduce": reduce}
    module: StateModule[Any] = type("Module", (StateModule,), {**members, **attributes})()
    return module


def same(data: Any) -> Any:
    return data


SEEN = {"listed": 1, "lent": 1}


@pytest.mark.parametrize(
    ("module", "seen", "handled", "happened", "use"),
    [
        (at_version(2), SEEN, SEEN, SEEN, Use.AS_IT_IS),
        (at_version(2), {}, SEEN, {}, Use.AS_IT_IS),
        (at_version(2), {"lent": 1}, SEEN, {"lent": 1}, Use.AS_IT_IS),
        (at_version(2), {"lent": 1}, SEEN, SEEN, Use.FOLDED),
        (at_version(2), SEEN, {"lent": 1}, SEEN, Use.FOLDED),
        (at_version(2), SEEN, {"listed": 2, "lent": 1}, SEEN, Use.FOLDED),
        (at_version(2), SEEN, {"listed": 2, "lent": 1}, {"lent": 1}, Use.AS_IT_IS),
        (at_version(2), None, SEEN, SEEN, Use.FOLDED),
        (at_version(2), SEEN, SEEN, None, Use.FOLDED),
        (at_version(2, since_position=5), SEEN, SEEN, SEEN, Use.FOLDED),
        (at_version(1), SEEN, SEEN, SEEN, Use.LEFT),
        (at_version(3), SEEN, SEEN, SEEN, Use.FOLDED),
        (at_version(3, migrations={2: same}), SEEN, SEEN, SEEN, Use.MIGRATED),
        (at_version(4, migrations={2: same}), SEEN, SEEN, SEEN, Use.FOLDED),
        (at_version(4, migrations={3: same}), SEEN, SEEN, SEEN, Use.FOLDED),
        (at_version(4, migrations={2: same, 3: same}), SEEN, SEEN, SEEN, Use.MIGRATED),
        (at_version(3, migrations={2: same}), SEEN, {"listed": 2, "lent": 1}, SEEN, Use.MIGRATED),
        (at_version(3, migrations={2: same}), SEEN, {"lent": 1}, SEEN, Use.MIGRATED),
        (at_version(3, migrations={2: same}), {"lent": 1}, SEEN, SEEN, Use.FOLDED),
        (at_version(3, migrations={2: same}), {"lent": 1}, SEEN, {"lent": 1}, Use.MIGRATED),
        (at_version(3, migrations={2: same}), None, SEEN, SEEN, Use.FOLDED),
        (at_version(3, migrations={2: same}, since_position=5), SEEN, SEEN, SEEN, Use.FOLDED),
    ],
)
def test_what_becomes_of_a_slice_of_version_2(
    module: StateModule[Any],
    seen: dict[str, int] | None,
    handled: Mapping[str, int],
    happened: Mapping[str, int] | None,
    use: Use,
) -> None:
    stored = SliceSnapshot("shelf", 2, b"", (), seen)
    events = None if happened is None else happened.items()

    assert use is use_of(stored, module, handled=handled, events=events)


def shelf_of(count: int) -> tuple[OldShelf, Shelf]:
    """Yesterday's and today's state of so many books."""
    titles = [f"t{number}" for number in range(count)]
    old = OldShelf(
        Entities((OldBook(title, place) for place, title in enumerate(titles)), key="title"),
        Map((title, "ada") for title in titles),
        Log(NOON + datetime.timedelta(days=place) for place in range(count)),
        Set(titles),
        count,
    )
    new = Shelf(
        Entities((Book(title, place, place > 500) for place, title in enumerate(titles)), key="name"),
        Map((title, Loan("ada")) for title in titles),
        Log((NOON + datetime.timedelta(days=place)).date() for place in range(count)),
        Log(titles),
        count,
    )
    return old, new


def migrated(old: StateModule[Any], state: Any, module: StateModule[Any]) -> Any:
    dump = dump_slice(old, state, place="")
    stored = SliceSnapshot(old.name, old.version, dump.body, dump.named)
    return migrate_slice(module, stored, lambda digests: {each: dump.chunks[each] for each in digests})


@pytest.mark.parametrize("count", [0, 1, CHUNK_SIZE, 2 * CHUNK_SIZE + 7])
def test_collections_added_removed_renamed_and_of_other_items(count: int) -> None:
    old, new = shelf_of(count)
    found = migrated(OldShelfModule(), old, ShelfModule())

    assert new == found
    assert found.titles.key == "name"


def test_what_was_removed_from_a_collection_stays_away() -> None:
    old, new = shelf_of(1_200)
    old = attrs.evolve(old, books=old.books.remove("t3"), lent=old.lent.delete("t3").delete("t700"))
    expected = attrs.evolve(
        new,
        titles=new.titles.remove("t3"),
        loans=new.loans.delete("t3").delete("t700"),
        names=Log(title for title in new.names if title != "t3"),
    )

    assert expected == migrated(OldShelfModule(), old, ShelfModule())


@pytest.mark.parametrize(
    ("migration", "reason"),
    [
        (lambda data: data["nothing"], r"the migration from version 1 failed: KeyError\('nothing'\)"),
        (lambda _data: None, "expected a dict of the fields of Shelf, got None"),
        (lambda _data: [1], r"expected a dict of the fields of Shelf, got \[1\]"),
        (lambda _data: {"other": 1}, "unknown field"),
        (lambda _data: {"listed": "many"}, "listed: expected int"),
        (lambda _data: {"names": "abc"}, "expected list"),
        (lambda _data: {"titles": [{"name": "a", "size": 1}] * 2}, "expected entities of different name"),
        (lambda _data: {"loans": [1]}, "the outcome failed"),
    ],
)
def test_a_migration_that_fails_or_does_not_fit_names_module_and_versions(
    migration: Any, reason: str
) -> None:
    class Failing(ShelfModule):
        migrations = {1: migration}  # noqa: RUF012

    with pytest.raises(StateError, match=f"'shelf' cannot be migrated from version 1 to 2: .*{reason}"):
        migrated(OldShelfModule(), OldShelf(), Failing())


def test_a_chunk_that_is_missing_is_no_fault_of_the_migration() -> None:
    dump = dump_slice(OldShelfModule(), shelf_of(CHUNK_SIZE)[0], place="")
    stored = SliceSnapshot("shelf", 1, dump.body, dump.named)

    def fetch(_digests: Any) -> Any:
        raise ChunkMissing("gone")

    with pytest.raises(ChunkMissing):
        migrate_slice(ShelfModule(), stored, fetch)


@attrs.frozen
class Card:
    """One of everything that JSON has no word for."""

    key: uuid.UUID
    pin: Secret[str]
    tags: frozenset[uuid.UUID]
    pairs: set[tuple[int, str]]
    places: dict[tuple[int, str], datetime.date]
    nested: tuple[Log[datetime.date], ...]
    anything: object = None
    owned: Map[tuple[int, str], int] = attrs.field(factory=Map[tuple[int, str], int])


def empty_card(_module: Any) -> Card:
    return Card(uuid.UUID(int=0), Secret(""), frozenset(), set(), {}, ())


class CardModule(ShelfModule):
    state_type = Card
    initial_state = empty_card
    migrations = {1: lambda card: {**card, "anything": [card["anything"]]}}  # noqa: RUF012


class OldCardModule(OldShelfModule):
    state_type = Card


def test_what_a_migration_leaves_alone_comes_out_as_it_was() -> None:
    key = uuid.uuid4()
    card = Card(
        key=key,
        pin=Secret("1234"),
        tags=frozenset({key}),
        pairs={(1, "a")},
        places={(1, "a"): NOON.date()},
        nested=(Log([NOON.date()]),),
        anything=(1, {2}),
        owned=Map({(1, "a"): 1}),
    )

    assert attrs.evolve(card, anything=[(1, {2})]) == migrated(OldCardModule(), card, CardModule())


def test_a_state_that_is_no_object_is_migrated_too() -> None:
    old = at_version(1, state_type=int)
    new = at_version(2, state_type=dict[str, int], migrations={1: lambda number: {"all": number}})

    assert {"all": 7} == migrated(old, 7, new)


def test_a_module_that_writes_itself_migrates_what_it_wrote() -> None:
    own = {"serialize": lambda _, state: {"n": state}, "deserialize": lambda _, data: data["number"]}
    new = at_version(2, state_type=int, migrations={1: lambda data: {"number": data["n"] + 1}}, **own)

    assert migrated(at_version(1, state_type=int, **own), 7, new) == 8
