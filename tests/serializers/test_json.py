"""The serializer's face: registration, further types, payloads, compiled functions."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from uuid import UUID

import pytest
from attrs import field, frozen

from eliza_serializers import JsonSerializer, Secret, SerializationError
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


def extended() -> JsonSerializer:
    serializer = JsonSerializer()
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


def test_a_further_type_is_tagged_where_no_annotation_says_it():
    serializer = extended()
    value = {"log": Log((1, {2}, Place("x"))), "table": Table({(1,): Log()})}

    assert serializer.serialize(Log((1,))) == '{"_type":"Log","data":[1]}'
    assert serializer.serialize(Table({1: 2})) == '{"_type":"Map","persistent":true,"data":[[1,2]]}'
    assert same(value["log"], serializer.deserialize(serializer.serialize(value))["log"])
    assert value == serializer.deserialize(serializer.serialize(value))


def test_a_further_type_uses_its_type_arguments_where_it_is_annotated():
    serializer = extended()
    room = Room(Log((Place("a"),)), Table({UUID(int=1): {1}}))
    text = serializer.serialize(room, as_type=Room)

    assert '"messages":[{"name":"a",' in text
    assert '"members":{"_type":"Map","persistent":true,"data":[["00000000-' in text
    assert room == serializer.deserialize(text, as_type=Room)
    assert Log((1,)) == serializer.deserialize("[1]", as_type=Log[int])


@pytest.mark.parametrize(
    ("room", "path"),
    [
        (Room(Log((Place("a"), Place(5))), Table({})), "$.messages[1].name"),  # type: ignore[arg-type]
        (Room(Log(), Table({UUID(int=1): {"x"}})), "$.members['00000000-0000-0000-0000-000000000001']"),  # type: ignore[arg-type]
        (Room([], Table({})), "$.messages"),  # type: ignore[arg-type]
    ],
)
def test_an_error_inside_a_further_type_has_its_path(room: Room, path: str):
    with pytest.raises(SerializationError) as caught:
        extended().serialize(room, as_type=Room)

    assert path == caught.value.path


def test_a_further_type_that_fails_is_a_serialization_error():
    def fail(*arguments: object) -> None:
        raise RuntimeError("broken")

    serializer = JsonSerializer()
    serializer.register_type(Log, tag="Log", to_data=fail, from_data=fail)
    with pytest.raises(SerializationError, match="broken"):
        serializer.serialize(Log())
    with pytest.raises(SerializationError, match="broken"):
        serializer.deserialize('{"_type":"Log","data":[]}')


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
    ):
        with pytest.raises(SerializationError):
            register()


def test_registering_takes_effect_on_what_was_refused_before():
    serializer = JsonSerializer()
    with pytest.raises(SerializationError, match="register"):
        serializer.serialize(Place("a"))
    serializer.register(Place, name="place")

    assert serializer.deserialize(serializer.serialize([Place("a")])) == [Place("a")]


def test_two_serializers_do_not_share_registrations():
    extended()

    with pytest.raises(SerializationError):
        JsonSerializer().serialize(Place("a"))


PAYLOAD = {"at": "2024-01-02T03:04:05+00:00", "user": "00000000-0000-0000-0000-000000000001"}
EVENT = Event(datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), UUID(int=1))


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
def test_a_payload_becomes_its_class(more: dict[str, Any], event: Event):
    assert same(event, JsonSerializer().structure({**PAYLOAD, **more}, Event))


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
def test_a_payload_that_does_not_fit_names_the_field(more: dict[str, Any], path: str):
    with pytest.raises(SerializationError) as caught:
        JsonSerializer().structure({**PAYLOAD, **more}, Event)

    assert path == caught.value.path


def test_a_payload_that_contains_itself_is_an_error():
    cycle: dict[str, Any] = {**PAYLOAD}
    cycle["metadata"] = {"again": cycle}

    with pytest.raises(SerializationError, match="contains itself"):
        JsonSerializer().structure(cycle, Event)


def test_a_payload_is_copied_not_kept():
    payload = {**PAYLOAD, "metadata": {"a": [1]}}
    event = JsonSerializer().structure(payload, Event)
    payload["metadata"]["a"].append(2)  # type: ignore[index]

    assert event.metadata == {"a": [1]}


def test_unstructure_gives_plain_data():
    data = JsonSerializer().unstructure(EVENT, Event)

    assert data["tags"] == {"_type": "Set", "frozen": True, "data": []}
    assert data["at"] == PAYLOAD["at"]


def test_functions_are_compiled_once():
    serializer = JsonSerializer()

    assert serializer.encoder(Event) is serializer.encoder(Event)
    assert serializer.decoder(list[Event]) is serializer.decoder(list[Event])


def test_a_field_name_that_cattrs_needs_is_refused_clearly():
    @frozen
    class Named:
        converter: set[int]

    with pytest.raises(SerializationError, match="another name"):
        JsonSerializer().serialize(Named({1}), as_type=Named)


def test_a_secret_inside_an_untyped_class_is_masked_in_a_view():
    serializer = extended()
    value = {"place": Place("x", extra=Secret("hunter2"))}

    assert "hunter2" in serializer.serialize(value)
    assert "hunter2" not in serializer.serialize(value, mask_secrets=True)
