"""The fast way is taken where it is faithful, and agrees with the careful way everywhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import JsonSerializer, MsgpackSerializer, Secret, SerializationError, Serializer
from eliza_serializers.codec import Codec, careful_codec
from eliza_serializers.native import native_part
from eliza_serializers.tags import built_in_table
from tests.effort import examples
from tests.serializers.formats import Kind, document, ready_made_kinds, registered
from tests.serializers.strategies import datetimes, same, text, values

T = TypeVar("T")


class Role(StrEnum):
    USER = "user"
    AGENT = "agent"


class Nothing(IntEnum):
    ZERO = 0


@frozen
class Received:
    id: str
    text: str
    at: datetime | None = None
    reply_to: str | None = None


@frozen
class Described(Received):
    metadata: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Rich:
    count: int
    share: float
    role: Role
    kind: Literal["a", "b"] = "a"
    nested: list[Described] = field(factory=list)
    named: dict[str, Received] = field(factory=dict)
    ref: UUID | None = None
    flag: bool = False
    anything: Any = None


@frozen(kw_only=True)
class Packed(Rich):
    key: bytes | None = None
    counts: dict[int, str] = field(factory=dict)


FAITHFUL = [
    str,
    int | None,
    Any,
    Received,
    Described,
    Rich,
    list[Described],
    dict[str, list[Rich]],
    Sequence[int],
    Role,
]


def part(annotation: Any, kind: Kind) -> object:
    native, plain = kind.format.native, kind.format.plain
    assert native is not None
    return native_part(
        annotation, native=native, plain=plain, tags=built_in_table(kind.format.tags), max_depth=200
    )


@ready_made_kinds
@pytest.mark.parametrize("annotation", FAITHFUL, ids=str)
def test_these_types_take_the_fast_way(kind: Kind, annotation: Any):
    assert part(annotation, kind) is not None


@pytest.mark.parametrize("annotation", [bytes, bytes | None, dict[int, str], Packed])
def test_these_take_it_where_the_format_has_them(annotation: Any):
    assert part(annotation, MsgpackSerializer) is not None
    assert part(annotation, JsonSerializer) is None


@frozen
class Converting:
    x: int = field(converter=int)


@frozen
class Private:
    _x: int


@frozen
class Aliased:
    x: int = field(alias="y")


@frozen
class Derived:
    x: int
    y: int = field(init=False, default=1)


@frozen
class AfterInit:
    x: int

    def __attrs_post_init__(self) -> None: ...


@frozen
class OwnInit:
    x: int

    def __init__(self, x: int) -> None:
        self.__attrs_init__(x * 2)  # type: ignore[attr-defined]


@frozen
class OwnEquality:
    x: int

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


@frozen
class PartlyEqual:
    x: int
    y: int = field(eq=False)


@frozen(slots=False)
class WithDict:
    x: int


@frozen(cache_hash=True)
class Hashed:
    x: int


@frozen
class SelfDefault:
    x: int = field(default=attrs.Factory(lambda self: 1, takes_self=True))


@frozen
class Recursive:
    children: "list[Recursive]"


@frozen
class Box(Generic[T]):
    item: T


class Odd(Enum):
    A = (1, 2)


@ready_made_kinds
@pytest.mark.parametrize(
    "annotation",
    [
        set[int],
        tuple[int, ...],
        dict[date, str],
        Secret[str],
        Odd,
        str | datetime,
        Received | Described,
        Annotated[int, msgspec.Meta(ge=0)],
        Converting,
        Private,
        Aliased,
        Derived,
        AfterInit,
        OwnInit,
        OwnEquality,
        PartlyEqual,
        WithDict,
        Hashed,
        SelfDefault,
        Recursive,
        Box[int],
    ],
    ids=str,
)
def test_these_types_take_the_careful_way(kind: Kind, annotation: Any):
    assert part(annotation, kind) is None


metadata = st.dictionaries(text, values, max_size=3)
received = st.builds(Received, id=text, text=text, at=st.none() | datetimes, reply_to=st.none() | text)
described = st.builds(Described, id=text, text=text, at=st.none() | datetimes, metadata=metadata)
fields: dict[str, Any] = {
    "count": st.integers(),
    "share": st.floats(),
    "role": st.sampled_from(Role),
    "kind": st.sampled_from(["a", "b"]),
    "nested": st.lists(described, max_size=2),
    "named": st.dictionaries(st.one_of(text, st.just("_type")), received, max_size=2),
    "ref": st.none() | st.uuids(),
    "flag": st.booleans(),
    "anything": values,
}
rich = st.builds(Rich, **fields)
packed = st.builds(
    Packed,
    **fields,
    key=st.none() | st.binary(max_size=5),
    counts=st.dictionaries(st.integers(), text, max_size=2),
)


def both_ways(annotation: Any, kind: Kind) -> tuple[Serializer, Codec[Any]]:
    made = registered(kind)
    careful = careful_codec(
        made._writer.writer_for(annotation),
        read=made._reader.reader_for(annotation),
        bounded_format=made._bounded_format,
    )
    return made, careful


def check_both_ways(value: Any, *, ways: tuple[Serializer, Codec[Any]]) -> None:
    serializer, careful = ways
    for data in (serializer.encoder(type(value))(value), careful.encode(value)):
        assert same(value, serializer.decoder(type(value))(data))
        assert same(value, careful.decode(data))


@ready_made_kinds
@given(value=rich)
@settings(max_examples=examples(75), deadline=None)
def test_both_ways_read_what_either_wrote(kind: Kind, value: Rich):
    check_both_ways(value, ways=both_ways(Rich, kind))


@given(packed)
@settings(max_examples=examples(75), deadline=None)
def test_both_ways_read_what_only_messagepack_has(value: Packed):
    check_both_ways(value, ways=both_ways(Packed, MsgpackSerializer))


wrong = st.one_of(
    values,
    st.sampled_from([Role.USER, Nothing.ZERO, bytearray(), Received("a", "b"), [Received("a", "b")]]),
)


@ready_made_kinds
@given(first=wrong, second=wrong, third=wrong)
@settings(max_examples=examples(150), deadline=None)
def test_a_value_of_wrong_types_is_refused_or_comes_back_the_same(
    kind: Kind, first: Any, second: Any, third: Any
):
    value = Described(first, "text", second, None, third)
    serializer = registered(kind)
    try:
        data = serializer.encoder(Described)(value)
    except SerializationError:
        return

    assert same(value, serializer.decoder(Described)(data))


@ready_made_kinds
@pytest.mark.parametrize("value", [Nothing.ZERO, (), set(), bytearray(), Decimal(0), timedelta(0)])
def test_an_empty_value_keeps_its_type_or_is_refused(kind: Kind, value: Any):
    serializer = kind()
    try:
        data = serializer.encode(Rich(count=1, share=1.0, role=Role.USER, anything=value), as_type=Rich)
    except SerializationError:
        assert type(value) in (Nothing, bytearray)
        return

    assert same(value, serializer.decode(data, as_type=Rich).anything)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
BINARY = SCALARS | st.binary(max_size=20) | st.datetimes(timezones=st.just(UTC)) | st.floats()


def documents(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["id", "text", "at", "metadata", "_type", "data", "x"])
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | keys, inner, max_size=4),
        max_leaves=8,
    )


def check_same_outcome(kind: Kind, data: Any) -> None:
    serializer, careful = both_ways(Described, kind)
    try:
        content = kind.format.encode({"id": "a", "text": "b", **data} if isinstance(data, dict) else data)
    except OverflowError:
        return  # no document of this format
    outcomes: list[Any] = []
    for read in (serializer.decoder(Described), careful.decode):
        try:
            outcomes.append(read(content))
        except SerializationError:
            outcomes.append(None)

    assert same(outcomes[0], outcomes[1])


@ready_made_kinds
@given(data=documents(SCALARS, st.nothing()))
@settings(max_examples=examples(150), deadline=None)
def test_both_ways_take_and_refuse_the_same_data(kind: Kind, data: Any):
    check_same_outcome(kind, data)


@given(documents(BINARY, BINARY | st.tuples(BINARY)))
@settings(max_examples=examples(150), deadline=None)
def test_both_ways_take_and_refuse_the_same_messagepack(data: Any):
    check_same_outcome(MsgpackSerializer, data)


@ready_made_kinds
@pytest.mark.parametrize(
    "at",
    [
        datetime.fromisoformat("2024-01-01T01:02:03.456789"),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(minutes=-90))),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(seconds=-3661))),
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime.fromisoformat("2024-01-01").replace(fold=1),
    ],
)
def test_a_moment_survives_whichever_way_it_takes(kind: Kind, at: datetime):
    serializer = kind()
    value = Received("a", "b", at)

    assert same(value, serializer.decoder(Received)(serializer.encoder(Received)(value)))


@ready_made_kinds
@pytest.mark.parametrize("value", [True, 1.0, Role.USER, 2**60])
def test_a_float_field_takes_whole_numbers_as_floats_and_nothing_else(kind: Kind, value: Any):
    serializer = kind()
    rich = Rich(count=1, share=value, role=Role.USER)
    if type(value) in (int, float):
        read = serializer.decoder(Rich)(serializer.encoder(Rich)(rich))

        assert (float, value) == (type(read.share), read.share)
    else:
        with pytest.raises(SerializationError, match=r"\$\.share"):
            serializer.encoder(Rich)(rich)


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":"a","text":"b","metadata":{"x":{"_type":"Set","data":[1]}}}',
        b'{"id":"a","text":"b","metadata":{"x":{"\\u005ftype":"Set","data":[1]}}}',
        b'{"id":"a","text":"b","metadata":{"_type":"Object","data":[["x",{"_type":"Set","data":[1]}]]}}',
    ],
)
def test_tags_are_read_however_they_are_spelt(data: bytes):
    assert JsonSerializer().decoder(Described)(data).metadata == {"x": {1}}


@ready_made_kinds
def test_depth_inside_a_field_is_bounded_in_both_directions(kind: Kind):
    serializer = kind(max_depth=20)
    deep: Any = 0
    for _ in range(18):
        deep = [deep]
    value = Described("a", "b", metadata={"deep": deep})

    assert serializer.decoder(Described)(serializer.encoder(Described)(value)) == value
    with pytest.raises(SerializationError):
        serializer.encoder(Described)(attrs.evolve(value, metadata={"deep": [deep]}))
    text = kind().encoder(Described)(attrs.evolve(value, metadata={"deep": [deep]}))
    with pytest.raises(SerializationError):
        serializer.decoder(Described)(text)


@ready_made_kinds
def test_a_validator_that_raises_anything_is_a_serialization_error(kind: Kind):
    def refuse(instance: object, attribute: object, value: int) -> None:
        if value < 0:
            raise KeyError("negative")

    @frozen
    class Checked:
        n: int = field(validator=refuse)

    serializer = kind()

    assert serializer.decoder(Checked)(document(kind, '{"n":1}')) == Checked(1)
    with pytest.raises(SerializationError, match="refuses"):
        serializer.decoder(Checked)(document(kind, '{"n":-1}'))


@ready_made_kinds
def test_size_is_bounded_in_both_directions(kind: Kind):
    serializer = kind(max_size_bytes=60)
    long = Received("a" * 60, "b")
    with pytest.raises(SerializationError, match="60 bytes"):
        serializer.encoder(Received)(long)
    with pytest.raises(SerializationError, match="60 bytes"):
        serializer.decoder(Received)(kind().encoder(Received)(long))
