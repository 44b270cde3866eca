"""Every serializer's face: registration, further types, payloads, compiled functions."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from uuid import UUID

import pytest
from attrs import field, frozen

from eliza_serializers import JsonSerializer, MsgpackSerializer, Secret, SerializationError, Serializer
from eliza_state import collections
from eliza_state.codec import register_collections
from tests.serializers.formats import Kind, every_kind
from tests.serializers.strategies import Mood, Place, same

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


@frozen
class Log(Generic[T]):
    """A stand-in for a collection of the application's own."""

    items: tuple[T, ...] = ()

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


class Table(Generic[K, V]):
    def __init__(self, rows: dict[K, V]) -> None:
        self.rows = rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(tuple(self.rows))


@frozen
class Event:
    at: datetime
    user: UUID
    tags: frozenset[str] = frozenset()
    place: Place | None = None
    metadata: dict[str, Any] = field(factory=dict)
    by_count: dict[int, str] = field(factory=dict)


@frozen
class Room:
    messages: Log[Place]
    members: Table[UUID, set[int]]


def log_data(log: Log[Any], encode: Callable[..., Any]) -> list[Any]:
    return [encode(item, index) for index, item in enumerate(log)]


def log_from(data: list[Any], decode: Callable[..., Any]) -> Log[Any]:
    return Log(tuple(decode(item, index) for index, item in enumerate(data)))


def table_data(table: Table[Any, Any], key: Callable[..., Any], value: Callable[..., Any]) -> list[Any]:
    return [[key(k, None), value(v, str(k))] for k, v in table.rows.items()]


def table_from(data: list[Any], key: Callable[..., Any], value: Callable[..., Any]) -> Table[Any, Any]:
    return Table({key(k, None): value(v, index) for index, (k, v) in enumerate(data)})


def extended(kind: Kind = JsonSerializer) -> Serializer:
    serializer = kind()
    serializer.register_type(
        Log, tag="Log", to_data=log_data, from_data=log_from, arguments=(Any,), shape=list, bare=True
    )
    serializer.register_type(
        Table,
        tag="Map",
        flag="persistent",
        to_data=table_data,
        from_data=table_from,
        arguments=(Any, Any),
        shape=list,
    )
    serializer.register(Place)
    return serializer


@every_kind
def test_a_further_type_is_tagged_where_no_annotation_says_it(kind: Kind):
    serializer = extended(kind)
    value = {"log": Log((1, {2}, Place("x"))), "table": Table({(1,): Log()})}
    read = serializer.decode(serializer.encode(value))

    assert value == read
    assert same(value["log"], read["log"])


@every_kind
def test_a_further_type_uses_its_type_arguments_where_it_is_annotated(kind: Kind):
    serializer = extended(kind)
    room = Room(Log((Place("a"),)), Table({UUID(int=1): {1}}))

    assert room == serializer.decode(serializer.encode(room, as_type=Room), as_type=Room)
    assert Log((1,)) == serializer.decode(serializer.encode([1]), as_type=Log[int])


@every_kind
@pytest.mark.parametrize(
    ("room", "path"),
    [
        (Room(Log((Place("a"), Place(5))), Table({})), "$.messages[1].name"),  # type: ignore[arg-type]
        (Room(Log(), Table({UUID(int=1): {"x"}})), "$.members['00000000-0000-0000-0000-000000000001']"),  # type: ignore[arg-type]
        (Room([], Table({})), "$.messages"),  # type: ignore[arg-type]
    ],
)
def test_an_error_inside_a_further_type_has_its_path(kind: Kind, room: Room, path: str):
    with pytest.raises(SerializationError) as caught:
        extended(kind).encode(room, as_type=Room)

    assert path == caught.value.path


@every_kind
def test_a_further_type_that_fails_is_a_serialization_error(kind: Kind):
    def fail(*arguments: object) -> None:
        raise RuntimeError("broken")

    serializer = kind()
    serializer.register_type(Log, tag="Log", to_data=fail, from_data=fail)
    with pytest.raises(SerializationError, match="broken"):
        serializer.encode(Log())
    with pytest.raises(SerializationError, match="broken"):
        serializer.decode(extended(kind).encode(Log()))


@every_kind
def test_a_further_type_that_gives_no_data_is_a_serialization_error(kind: Kind):
    serializer = kind()
    serializer.register_type(Log, tag="Log", to_data=lambda log: object(), from_data=Log)

    with pytest.raises(SerializationError, match="can hold"):
        serializer.encode(Log())


def test_a_name_belongs_to_one_class():
    class Other(Enum):
        A = 1

    serializer = JsonSerializer()
    serializer.register(Mood)
    serializer.register(Mood)
    for register in (
        lambda: serializer.register(Other, name="Mood"),
        lambda: serializer.register(Other, name="Set"),
        lambda: serializer.register(Other, name="Map"),
        lambda: serializer.register(Mood, name="Feeling"),
        lambda: serializer.register(int),
        lambda: serializer.register_type(set, tag="MySet", to_data=list, from_data=set),
        lambda: serializer.register_type(int, tag="Number", to_data=str, from_data=int),
    ):
        with pytest.raises(SerializationError):
            register()


@every_kind
def test_registering_takes_effect_on_what_was_refused_before(kind: Kind):
    serializer = kind()
    with pytest.raises(SerializationError, match="register"):
        serializer.encode(Place("a"))
    serializer.register(Place, name="place")

    assert serializer.decode(serializer.encode([Place("a")])) == [Place("a")]


@every_kind
def test_two_serializers_do_not_share_registrations(kind: Kind):
    extended(kind)

    with pytest.raises(SerializationError):
        kind().encode(Place("a"))


@every_kind
@pytest.mark.parametrize("other", [JsonSerializer, MsgpackSerializer])
def test_one_learns_what_another_knows_and_no_more(kind: Kind, other: Kind):
    teacher, learner = other(), kind()
    teacher.register(Place, name="place")
    learner.learn(teacher)
    learner.learn(teacher)
    teacher.register(Mood)

    value = [Place("a"), {1: b"bytes"}, datetime(2024, 1, 2, tzinfo=UTC)]
    assert value == learner.decode(learner.encode(value))
    with pytest.raises(SerializationError, match="register"):
        learner.encode(Mood.CALM)


@every_kind
def test_a_name_that_is_taken_is_not_learnt(kind: Kind):
    teacher, learner = kind(), kind()
    teacher.register(Place, name="it")
    learner.register(Mood, name="it")

    with pytest.raises(SerializationError, match="'it'"):
        learner.learn(teacher)


PAYLOAD = {"at": "2024-01-02T03:04:05+00:00", "user": "00000000-0000-0000-0000-000000000001"}
EVENT = Event(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), UUID(int=1))


@every_kind
@pytest.mark.parametrize(
    ("more", "event"),
    [
        ({}, EVENT),
        ({"at": EVENT.at, "user": EVENT.user}, EVENT),
        ({"tags": ["a"]}, Event(EVENT.at, EVENT.user, frozenset({"a"}))),
        ({"tags": frozenset({"a"})}, Event(EVENT.at, EVENT.user, frozenset({"a"}))),
        ({"place": {"name": "x", "at": [1, 2.5]}}, Event(EVENT.at, EVENT.user, place=Place("x", (1.0, 2.5)))),
        ({"place": Place("x")}, Event(EVENT.at, EVENT.user, place=Place("x"))),
        (
            {"metadata": {"a": {"_type": "Set", "data": [1]}}},
            Event(EVENT.at, EVENT.user, metadata={"a": {1}}),
        ),
        ({"by_count": {1: "a"}}, Event(EVENT.at, EVENT.user, by_count={1: "a"})),
        ({"by_count": {"_type": "Map", "data": [[1, "a"]]}}, Event(EVENT.at, EVENT.user, by_count={1: "a"})),
    ],
)
def test_a_payload_becomes_its_class(kind: Kind, more: dict[str, Any], event: Event):
    assert same(event, kind().structure({**PAYLOAD, **more}, Event))


@every_kind
@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"unknown": 1}, "$.unknown"),
        ({"place": {"nmae": "x", "name": "x"}}, "$.place.nmae"),
        ({"place": {}}, "$.place.name"),
        ({"at": "soon"}, "$.at"),
        ({"at": None}, "$.at"),
        ({"user": 5}, "$.user"),
        ({"tags": ["a", 1]}, "$.tags[1]"),
        ({"tags": {1}}, "$.tags"),
        ({"tags": ["a", "a"]}, "$.tags"),
        ({"place": Place(5)}, "$.place.name"),  # type: ignore[arg-type]
        ({"metadata": []}, "$.metadata"),
        ({"metadata": {1: 2}}, "$.metadata[0]"),
        ({"metadata": {"x": {"_type": "Nobody", "data": 1}}}, "$.metadata.x"),
        ({"by_count": {"1": "a"}}, "$.by_count[0]"),
    ],
)
def test_a_payload_that_does_not_fit_names_the_field(kind: Kind, more: dict[str, Any], path: str):
    with pytest.raises(SerializationError) as caught:
        kind().structure({**PAYLOAD, **more}, Event)

    assert path == caught.value.path


@every_kind
def test_a_payload_that_contains_itself_is_an_error(kind: Kind):
    cycle: dict[str, Any] = {**PAYLOAD}
    cycle["metadata"] = {"again": cycle}

    with pytest.raises(SerializationError, match="contains itself"):
        kind().structure(cycle, Event)


@every_kind
def test_a_payload_is_copied_not_kept(kind: Kind):
    payload = {**PAYLOAD, "metadata": {"a": [1]}}
    event = kind().structure(payload, Event)
    payload["metadata"]["a"].append(2)  # type: ignore[index]

    assert event.metadata == {"a": [1]}


@every_kind
def test_unstructure_gives_plain_data(kind: Kind):
    data = kind().unstructure(EVENT, Event)

    assert data["tags"] == {"_type": "Set", "frozen": True, "data": []}
    assert EVENT == kind().structure(data, Event)


@every_kind
def test_functions_are_compiled_once(kind: Kind):
    serializer = kind()

    assert serializer.encoder(Event) is serializer.encoder(Event)
    assert serializer.decoder(list[Event]) is serializer.decoder(list[Event])


def test_a_field_name_that_cattrs_needs_is_refused_clearly():
    @frozen
    class Named:
        converter: set[int]

    with pytest.raises(SerializationError, match="another name"):
        JsonSerializer().encode(Named({1}), as_type=Named)


@every_kind
def test_a_secret_inside_an_untyped_class_is_masked_in_a_view(kind: Kind):
    serializer = extended(kind)
    value = {"place": Place("x", extra=Secret("hunter2"))}

    assert b"hunter2" in serializer.encode(value)
    assert b"hunter2" not in serializer.encode(value, mask_secrets=True)


@every_kind
@pytest.mark.parametrize(
    "value",
    [
        collections.Log([b"a", {1}]),
        collections.Map({"a": 1, 2: [3], UUID(int=1): EVENT.at}),
        collections.Set([b"b", UUID(int=1)]),
        collections.Entities([Place("home")], key="name"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_persistent_collections_come_back(kind: Kind, value: Any):
    serializer = register_collections(kind())
    serializer.register(Place)
    restored = serializer.decode(serializer.encode({"in": [value]}))["in"][0]

    assert (type(value), value) == (type(restored), restored)


@every_kind
def test_a_store_needs_no_more_than_bytes_whatever_the_serializer(kind: Kind):
    serializer = kind()
    value = {"at": EVENT.at, "ids": (EVENT.user,)}
    contents = [serializer.encode(value), serializer.encode(EVENT, as_type=Event)]

    assert [bytes, bytes] == list(map(type, contents))
    assert same(value, serializer.decode(contents[0]))
    assert same(EVENT, serializer.decode(contents[1], as_type=Event))
    assert serializer.encoder(Event)(EVENT) == contents[1]
