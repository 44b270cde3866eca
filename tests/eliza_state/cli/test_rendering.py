"""States as text and as JSON, with nothing secret in either."""

from __future__ import annotations

import datetime
import json
from typing import Any

import attrs
import msgspec
import pytest

from eliza_serializers.secret import Secret
from eliza_state.change import Record
from eliza_state.cli.rendering import abbreviated, brief, counts, lines, overview, payload_json, slices_json
from eliza_state.codec import encode
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.event import event
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path
from eliza_state.tree import Tree

AT = datetime.datetime(2024, 5, 1, 9, tzinfo=datetime.UTC)


@attrs.frozen
class Item:
    id: str
    price: int = 0
    note: str | None = None
    at: datetime.datetime | None = None
    tags: tuple[str, ...] = ()


@attrs.frozen
class Totals:
    sold: int = 0
    returned: int = 0
    open: bool = True


@attrs.frozen
class Shop:
    items: Entities[Item] = attrs.field(factory=Entities[Item])
    names: Set[str] = attrs.field(factory=Set[str])
    prices: Map[str, int] = attrs.field(factory=Map[str, int])
    history: Log[str] = attrs.field(factory=Log[str])
    totals: Totals = Totals()
    owner: str = ""
    key: Secret[str] = attrs.field(factory=lambda: Secret(""))
    hidden: str = attrs.field(default="unseen", repr=False)


SHOP = Shop(
    items=Entities([Item("a", 3, at=AT), Item("b", tags=("new",)), Item("c")]),
    names=Set(["ada", "bo"]),
    prices=Map({"a": 3}),
    history=Log(["opened"]),
    totals=Totals(sold=1_234),
    owner="kim\x1b[31m",
    key=Secret("hunter2"),
)


@event("key_set")
class KeySet:
    key: Secret[str]
    note: str = ""


class ShopModule(StateModule[Shop]):
    name = "shop"
    level = "room"

    @reduces(KeySet)
    def set_key(self, state: Shop, event: KeySet) -> Shop:
        return attrs.evolve(state, key=event.key)


def test_counts_are_sizes_and_numbers_without_zeros() -> None:
    assert counts(SHOP) == ["items 3", "names 2", "prices 1", "history 1", "sold 1,234"]
    assert counts(Shop()) == []
    assert counts("plain") == []


def test_a_state_is_told_field_by_field_with_the_last_elements() -> None:
    assert list(lines(SHOP, limit=2)) == [
        "items (3)",
        "  … 1 before",
        "  id='b' tags=('new',)",
        "  id='c'",
        "names (2): 'ada', 'bo'",
        "prices (1)",
        "  'a': 3",
        "history (1)",
        "  'opened'",
        "totals",
        "  sold: 1234",
        "  returned: 0",
        "  open: True",
        "owner: 'kim\\x1b[31m'",
        "key: [SECRET]",
    ]


def test_a_set_tells_that_it_is_cut() -> None:
    assert "names (2): …, 'bo'" in list(lines(SHOP, limit=1))


def test_built_in_collections_are_told_too() -> None:
    @attrs.frozen
    class Plain:
        members: frozenset[str] = frozenset({"b", "a"})
        table: dict[str, Any] = attrs.field(factory=lambda: {"k": Item("a")})
        row: tuple[int, ...] = (1, 2)

    assert list(lines(Plain(), limit=5)) == [
        "members (2): 'a', 'b'",
        "table (1)",
        "  'k': id='a'",
        "row (2)",
        "  1",
        "  2",
    ]


def test_a_state_that_is_no_attrs_object_is_told_as_it_shows_itself() -> None:
    assert list(lines({"a": Secret(1)}, limit=1)) == ["{'a': [SECRET]}"]


def test_an_object_with_a_repr_of_its_own_keeps_its_fields_to_itself() -> None:
    @attrs.frozen(repr=False)
    class Shy:
        inside: str = "hunter2"

        def __repr__(self) -> str:
            return "Shy"

    assert list(lines(Shy(), limit=1)) == ["Shy"]
    assert counts(Shy()) == []


def test_a_brief_value_leaves_out_what_holds_nothing() -> None:
    assert brief(Item("a", 3, at=AT)) == "id='a' price=3 at=2024-05-01T09:00:00+00:00"
    assert brief(Totals(open=False)) == "Totals(sold=0, returned=0, open=False)"


def test_long_values_are_cut() -> None:
    assert abbreviated("x" * 1_000) == "'" + "x" * 298 + "…"


def test_an_overview_tells_how_many_or_which() -> None:
    assert overview(SHOP) == {
        "items": "3",
        "names": "2",
        "prices": "1",
        "history": "1",
        "totals": "Totals(sold=1234, returned=0, open=True)",
        "owner": "'kim\\x1b[31m'",
        "key": "[SECRET]",
    }


def test_slices_as_json_are_what_the_serializer_writes_but_for_secrets() -> None:
    tree = Tree([ShopModule()])
    text = bytes(slices_json({"shop": SHOP}, level="room", tree=tree))

    found = json.loads(text)["shop"]

    assert found["prices"]["data"] == [["a", 3]]
    assert found["totals"] == {"sold": 1_234, "returned": 0, "open": True}
    assert b"hunter2" not in text
    assert "[SECRET]" in json.dumps(found["key"])


def test_a_module_that_writes_its_state_itself_does_so_here() -> None:
    @event("odd_set")
    class OddSet:
        pass

    class Odd(StateModule[Shop]):
        name = "odd"
        level = "room"

        def serialize(self, state: Shop) -> Any:
            return {"mine": state.key}

        @reduces(OddSet)
        def set(self, state: Shop, _event: OddSet) -> Shop:
            return state

    text = bytes(slices_json({"odd": SHOP}, level="room", tree=Tree([Odd()])))

    assert b"hunter2" not in text
    assert b"[SECRET]" in text


def record(payload: bytes, name: str = "key_set") -> Record:
    return Record(1, b"k" * 16, Path(), 1, name, 1, payload, 0, "w")


def test_the_payload_of_a_record_is_shown_without_its_secrets_whether_its_event_is_known_or_not() -> None:
    stored = encode(KeySet(key=Secret("hunter2"), note="kept"))
    assert b"hunter2" in stored

    shown = bytes(payload_json(record(stored)))

    assert b"hunter2" not in shown
    assert msgspec.json.decode(shown)["note"] == "kept"


@pytest.mark.parametrize("payload", [b"{", b"\xff", b'{"a": {"_type": "Unknown", "data": "hunter2"}}'])
def test_a_payload_that_cannot_be_read_says_so(payload: bytes) -> None:
    shown = bytes(payload_json(record(payload)))

    assert list(msgspec.json.decode(shown)) == ["unreadable"]
    assert b"hunter2" not in shown
