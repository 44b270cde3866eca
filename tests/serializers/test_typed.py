"""Values of a declared type: by their field types, checked both ways, errors with the field's path."""

import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import JsonSerializer, Secret, SerializationError
from tests.effort import examples
from tests.serializers.formats import Kind, document, every_kind, registered
from tests.serializers.strategies import Level, Mood, Place, same, values

T = TypeVar("T")
K = TypeVar("K")
UserId = NewType("UserId", str)
BERLIN = ZoneInfo("Europe/Berlin")
NAN, INFINITY = float("nan"), float("inf")


class Role(StrEnum):
    USER = "user"
    AGENT = "agent"


class Rank(IntEnum):
    ONE = 1
    MANY = 2**70


class Rights(Flag):
    READ = 1
    WRITE = 2


@frozen
class Point:
    x: int
    y: float = 0.0


@frozen
class Circle:
    radius: float
    centre: Point


@frozen(kw_only=True)
class Everything:
    _hidden: int
    named: str = field(alias="called")
    made: list[int] = field(factory=list)
    seen: set[UserId] = field(factory=set)
    by_day: Mapping[date, tuple[int, ...]] = field(factory=dict)
    role: Role = Role.USER


@frozen
class Tree:
    name: str
    children: "list[Tree]" = field(factory=list)
    parent: Optional["Tree"] = None


@frozen
class Box(Generic[T]):
    item: T
    others: dict[str, T] = field(factory=dict)


@frozen
class IntBox(Box[int]):
    label: str = ""


@define
class Counted:
    count: int = 0


@frozen(eq=False)
class Opaque:
    items: set[int]


@frozen
class Bounded:
    n: int = field(validator=attrs.validators.ge(3))


@dataclass(frozen=True)
class Data:
    x: int
    tags: frozenset[str] = frozenset()


@frozen
class Untyped:
    x = attrs.field()
    y = attrs.field(default=1)


def name(item: object) -> str:
    """A test's name that is the same in every process: no order of a set, no address."""
    return item if isinstance(item, str) else getattr(item, "__name__", type(item).__name__)


CASES: list[tuple[Any, Any]] = [
    (Any, {1: {2}}),
    (object, (1, 2)),
    (None, None),
    (bool, True),
    (int, 2**200),
    (int, -(2**63) - 1),
    (float, NAN),
    (float, -INFINITY),
    (float, -0.0),
    (str, "a\u2028\x00é"),
    (bytes, b"\x00\xff"),
    (Decimal, Decimal("1.50")),
    (UUID, UUID(int=7)),
    (datetime, datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)),
    (datetime, datetime.fromisoformat("2024-01-01T01:02:03.000004")),
    (datetime, datetime(2024, 1, 1, tzinfo=UTC)),
    (date, date(1, 1, 1)),
    (time, time(1, tzinfo=BERLIN)),
    (timedelta, timedelta.min),
    (UserId, "u1"),
    (Annotated[int, "metadata"], 3),
    (Literal["a", 1, None, True], 1),
    (Literal["a", 1, None, True], True),
    (Literal[Role.AGENT, "x"], Role.AGENT),
    (Mood, Mood.CURIOUS),
    (Role, Role.AGENT),
    (Rank, Rank.ONE),
    (Rank, Rank.MANY),
    (Literal[2**70, "a"], 2**70),
    (int | dict[str, int], 2**70),
    (dict[int, int], {2**70: -(2**70)}),
    (Rights, Rights.READ | Rights.WRITE),
    (list[int], [1, 2]),
    (list, [1, {2}]),
    (Sequence[float], [1.0, NAN]),
    (Sequence[int], (1, 2)),
    (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "a")),
    (tuple[()], ()),
    (tuple, (1, (2,))),
    (dict[str, int], {"a": 1, "_type": 2}),
    (dict[int, str], {1: "a"}),
    (dict[int, str], {}),
    (dict[tuple[int, int], Point], {(1, 2): Point(1)}),
    (dict[Role, int], {Role.USER: 1}),
    (dict[Any, Any], {"a": {1: 2}}),
    (dict[Any, Any], {"a": 1, 2: "b"}),
    (Mapping[str, Any], {"a": {"_type": "Set", "data": []}, "b": {1}}),
    (dict, {1: 2}),
    (set[int], {3, 1}),
    (frozenset[UUID], frozenset({UUID(int=1)})),
    (AbstractSet[int], {1}),
    (AbstractSet[int], frozenset({1})),
    (Point | None, None),
    (Point | None, Point(1, INFINITY)),
    (int | str | None, "a"),
    (int | float, 1),
    (int | float, 1.0),
    (int | float | bool, True),
    (float | None, NAN),
    (datetime | str, "2024-01-01T00:00:00"),
    (datetime | str, datetime.fromisoformat("2024-01-01")),
    (datetime | None, datetime(2024, 7, 1, tzinfo=BERLIN)),
    (bytes | UUID | str, b"ab"),
    (bytes | UUID | str, UUID(int=1)),
    (Place | Mood, Mood.CALM),
    (Place | dict[str, int], Place("x")),
    (Place | dict[str, int], {"name": 1, "_type": 2}),
    (Literal["a"] | int, "a"),
    (Literal["a"] | int, 5),
    (Literal[Role.AGENT, b"x"] | int, Role.AGENT),
    (Literal[Role.AGENT, b"x"] | int, b"x"),
    (Literal[Role.AGENT] | Point | None, Point(1)),
    (list[int] | tuple[int, ...], (1,)),
    (list[int] | tuple[int, ...], [1]),
    (list[int] | list[str], ["a"]),
    (set[int] | frozenset[int] | list[int], frozenset({1})),
    (dict[int, int] | None, {1: 2}),
    (Any | None, {1}),
    (Secret[int], Secret(5)),
    (Secret, Secret({"a": {1}})),
    (dict[str, Secret[bytes]], {"a": Secret(b"x")}),
    (Circle, Circle(1.5, Point(1, 2.5))),
    (Everything, Everything(hidden=1, called="x", seen={UserId("u")}, by_day={date(2024, 1, 1): (1,)})),
    (Tree, Tree("a", [Tree("b", [Tree("c")])], Tree("d"))),
    (Box[int], Box(1, {"a": 2})),
    (Box[set[int]], Box({1}, {"a": {2}})),
    (Box[Box[Point]], Box(Box(Point(1)))),
    (Box, Box({1})),
    (IntBox, IntBox(1, {"a": 2}, "l")),
    (Counted, Counted(3)),
    (Bounded, Bounded(3)),
    (Data, Data(1, frozenset({"a"}))),
    (Untyped, Untyped({1})),
    (list[Point], [Point(1), Point(2)]),
    (dict[str, list[Point | None]], {"a": [None, Point(1)]}),
]


@every_kind
@pytest.mark.parametrize(("annotation", "value"), CASES, ids=name)
def test_a_value_of_a_declared_type_comes_back_equal_and_of_the_same_types(
    kind: Kind, annotation: Any, value: Any
):
    typed = registered(kind)
    content = typed.encode(value, as_type=annotation)

    assert same(value, typed.decode(content, as_type=annotation))


@every_kind
@pytest.mark.parametrize(("annotation", "value"), CASES, ids=name)
def test_what_unstructure_gives_structure_takes(kind: Kind, annotation: Any, value: Any):
    typed = registered(kind)

    assert same(value, typed.structure(typed.unstructure(value, annotation), annotation))


@frozen
class Held:
    anything: Any
    number: float
    place: Place | None
    by_key: dict[Any, Any]


@every_kind
@given(held=st.builds(Held, anything=values, number=st.floats(), place=st.none(), by_key=st.just({1: 2})))
@settings(max_examples=examples(100), deadline=None)
def test_any_value_may_sit_in_a_field_of_any_type(kind: Kind, held: Held):
    typed = registered(kind)

    assert same(held, typed.decode(typed.encode(held, as_type=Held), as_type=Held))


@every_kind
def test_a_class_that_compares_by_identity_comes_back_with_its_fields(kind: Kind):
    typed = kind()
    read = typed.decode(typed.encode(Opaque({1, 2}), as_type=Opaque), as_type=Opaque)

    assert read.items == {1, 2}


class LoudPoint(Point):
    pass


@frozen
class Point3(Point):
    z: int = 0


class Word(str):
    pass


class Numbers(list[int]):
    pass


MISMATCHES: list[tuple[Any, Any, str]] = [
    (Point, Point("1"), "$.x"),  # type: ignore[arg-type]
    (Point, Point(True), "$.x"),
    (Point, Point(1.0), "$.x"),  # type: ignore[arg-type]
    (Point, Point(None), "$.x"),  # type: ignore[arg-type]
    (Point, Point(Rank.ONE), "$.x"),
    (Point, Point(1, 2**2000), "$.y"),
    (Point, Point3(1), "$"),
    (Point, LoudPoint(1), "$"),
    (Point, {"x": 1}, "$"),
    (Point, None, "$"),
    (Circle, Circle(1.0, Point3(1)), "$.centre"),
    (Circle, Circle(1.0, Point("1")), "$.centre.x"),  # type: ignore[arg-type]
    (str, 5, "$"),
    (str, Role.USER, "$"),
    (str, Word("a"), "$"),
    (str, datetime.fromisoformat("2024-01-01"), "$"),
    (str, UUID(int=1), "$"),
    (str, b"ab", "$"),
    (str, "\ud800", "$"),
    (Role, "user", "$"),
    (list[int], (1, 2), "$"),
    (list[int], {1}, "$"),
    (list[int], Numbers([1]), "$"),
    (list[Point], [Point(1), Point("2")], "$[1].x"),  # type: ignore[arg-type]
    (tuple[int, int], (1,), "$"),
    (tuple[int, ...], [1], "$"),
    (dict[str, int], {1: 1}, "$[1]"),
    (dict[str, int], {"a": "b"}, "$.a"),
    (set[int], frozenset({1}), "$"),
    (set[int], {"a"}, "$"),
    (datetime, date(2024, 1, 1), "$"),
    (date, datetime.fromisoformat("2024-01-01"), "$"),
    (Literal["a"], "b", "$"),
    (Literal[1], True, "$"),
    (Point | None, 5, "$"),
    (int | str, 1.5, "$"),
    (Mapping[str, Any], {"meta": {"lock": threading.Lock()}}, "$.meta.lock"),
    (Mapping[str, Any], {"a": Role.USER}, "$.a"),
    (Secret[int], 5, "$"),
    (Secret[int], Secret("5"), "$"),
    (Box[int], Box("a"), "$.item"),
    (Tree, Tree("a", [Tree("b", [Tree(5)])]), "$.children[0].children[0].name"),  # type: ignore[arg-type]
    (Data, Data("1"), "$.x"),  # type: ignore[arg-type]
]


@every_kind
@pytest.mark.parametrize(("annotation", "value", "path"), MISMATCHES, ids=name)
def test_a_value_that_contradicts_its_annotation_is_refused_when_written(
    kind: Kind, annotation: Any, value: Any, path: str
):
    with pytest.raises(SerializationError) as caught:
        registered(kind).encode(value, as_type=annotation)

    assert path == caught.value.path


@every_kind
def test_an_integer_of_too_many_digits_is_refused(kind: Kind):
    with pytest.raises(SerializationError) as caught:
        kind().encode([10**5000], as_type=list[int])

    assert caught.value.path in ("$", "$[0]")


UNREADABLE: list[tuple[Any, str, str]] = [
    (Point, '{"x":"1"}', "$.x"),
    (Point, '{"y":1}', "$.x"),
    (Point, "[]", "$"),
    (Circle, '{"radius":1,"centre":{"x":null}}', "$.centre.x"),
    (list[Point], '[{"x":1},{"x":1.5}]', "$[1].x"),
    (Bounded, '{"n":1}', "$"),
    (Role, '"nobody"', "$"),
    (dict[str, set[int]], '{"a":{"_type":"Set","data":["x"]}}', "$.a[0]"),
    (dict[str, set[int]], '{"a":[1]}', "$.a"),
    (set[int], '{"_type":"Map","data":[]}', "$"),
    (dict[int, str], '{"_type":"Map","data":[["1","a"]]}', "$[0]"),
    (float, '{"_type":"Int","data":"5"}', "$"),
    (Sequence[int], '{"_type":"Set","data":[]}', "$"),
    (datetime, '"then"', "$"),
    (Place | Point, '{"_type":"Mood","data":"CALM"}', "$"),
    (int | str, "1.5", "$"),
    (Mapping[str, Any], '{"a":{"_type":"Nobody","data":1}}', "$.a"),
    (Everything, '{"hidden":1}', "$.named"),
]


@every_kind
@pytest.mark.parametrize(("annotation", "text", "path"), UNREADABLE, ids=name)
def test_data_that_does_not_fit_the_type_is_refused(kind: Kind, annotation: Any, text: str, path: str):
    typed = registered(kind)
    typed.register(Point)
    with pytest.raises(SerializationError) as caught:
        typed.decode(document(kind, text), as_type=annotation)

    assert path == caught.value.path


@every_kind
@pytest.mark.parametrize("annotation", [Point, Everything, Data])
def test_fields_of_a_newer_version_are_ignored(kind: Kind, annotation: Any):
    known = {Point: '"x":1', Everything: '"hidden":1,"called":"x"', Data: '"x":1'}[annotation]
    typed = kind()
    without = typed.decode(document(kind, f"{{{known}}}"), as_type=annotation)

    newer = document(kind, f'{{{known},"since":{{"v":2}}}}')
    assert without == typed.decode(newer, as_type=annotation)


@every_kind
def test_missing_fields_take_their_default(kind: Kind):
    assert kind().decode(document(kind, '{"x":1}'), as_type=Point) == Point(1, 0.0)


@pytest.mark.parametrize("annotation", [threading.Thread, type[int], complex, list[threading.Thread]])
def test_a_type_that_nobody_taught_is_refused(annotation: Any):
    with pytest.raises(SerializationError, match="register_type"):
        JsonSerializer().encoder(annotation)


def test_two_classes_in_a_union_need_names():
    with pytest.raises(SerializationError, match=r"register\(Circle\)|register\(Point\)"):
        JsonSerializer().encoder(Point | Circle)  # type: ignore[arg-type]


def test_a_class_of_a_function_body_works_once_its_types_are_resolved():
    @frozen
    class Inner:
        x: int

    @frozen
    class Outer:
        inner: "Inner"

    typed = JsonSerializer()
    with pytest.raises(SerializationError, match="resolve_types"):
        typed.serialize(Outer(Inner(1)), as_type=Outer)
    attrs.resolve_types(Outer, globals(), locals())

    assert JsonSerializer().serialize(Outer(Inner(1)), as_type=Outer) == '{"inner":{"x":1}}'


@every_kind
def test_a_constructor_that_changes_its_fields_is_refused_with_the_field(kind: Kind):
    @frozen
    class Growing:
        n: int = field(converter=lambda n: n + 1)

    with pytest.raises(SerializationError, match="come back different") as caught:
        kind().encode(Growing(1), as_type=Growing)

    assert caught.value.path == "$.n"


@every_kind
def test_a_recursive_value_is_bounded(kind: Kind):
    node: Any = Tree("a")
    for _ in range(5_000):
        node = Tree("a", [node])
    endless = Tree("a")
    endless.children.append(endless)
    for value in (node, endless):
        with pytest.raises(SerializationError):
            kind().encode(value, as_type=Tree)


@every_kind
@pytest.mark.parametrize("member", [*Level, *Mood])
def test_enums_come_back_as_members(kind: Kind, member: Enum):
    typed = kind()

    assert typed.decode(typed.encode(member, as_type=type(member)), as_type=type(member)) is member


@every_kind
def test_structure_reads_the_elements_of_a_set_that_is_of_plain_ones(kind: Kind):
    key = UUID(int=1)

    assert frozenset({key}) == kind().structure(frozenset({str(key)}), frozenset[UUID])


@every_kind
def test_structure_names_the_element_of_a_set_that_does_not_fit(kind: Kind):
    with pytest.raises(SerializationError, match=r"\$\[0\]: cannot read the data of .UUID"):
        kind().structure({"no uuid"}, set[UUID])
