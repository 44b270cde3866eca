"""Values as bytes that say what they were written by."""

from __future__ import annotations

from typing import ClassVar

import attrs
import pytest

from eliza_serializers import SerializationError
from eliza_state.errors import StoreError
from eliza_state.storage.encoding import Encoding, Transform
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.immutable import WrittenForm


@attrs.frozen
class Point:
    x: int
    y: int = 0


class Reversed(Transform):
    """Turn bytes around, and put a mark in front."""

    name: ClassVar[str] = "reversed"

    def seal(self, content, *, key):
        return b"<" + content[::-1]

    def unseal(self, content, *, key):
        if content[:1] != b"<":
            raise DamagedValue(key, "it has no mark in front")
        return content[:0:-1]


class Keyed(Transform):
    """Write the key in front, and insist on it."""

    name = "keyed"
    is_required = True

    def seal(self, content, *, key):
        return key.encode() + b"|" + content

    def unseal(self, content, *, key):
        head, _, rest = content.partition(b"|")
        if head != key.encode():
            raise DamagedValue(key, "it was written for another key")
        return rest


class LargeOnly(Reversed):
    """Leave what is small as it is."""

    name = "large"

    def seal(self, content, *, key):
        return None if len(content) < 100 else super().seal(content, key=key)


class Watching(Transform):
    """Look at what passes, and leave it as it is."""

    name = ""

    def __init__(self):
        self.seen = []

    def seal(self, content, *, key):
        self.seen.append((key, content))

    def unseal(self, content, *, key):
        raise AssertionError


VALUES = [None, 0, "", False, {}, [1, (2,)], {"_type": "x"}, "ä:🙂", b"json:", {1: b"\xff"}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize(
    "transforms",
    [(), (Reversed(),), (Reversed(), Keyed()), (Keyed(), LargeOnly()), (Watching(), Keyed())],
    ids=["plain", "one", "two", "one that passes", "one that looks"],
)
def test_what_is_written_is_read(transforms, value):
    encoding = Encoding(transforms=transforms)
    found = encoding.decode(encoding.encode(value, key="a"), key="a")

    assert (type(value), value) == (type(found), found)


def test_written_bytes_begin_with_the_serializers_name():
    assert b'json:{"a":1}' == Encoding().encode({"a": 1}, key="a")


def test_the_last_transform_is_the_outermost():
    content = Encoding(transforms=[Reversed(), Keyed()]).encode(1, key="a")

    assert b"keyed:a|reversed:<1:nosj" == content


def test_a_transform_may_leave_bytes_as_they_are():
    encoding = Encoding(transforms=[LargeOnly()])
    small, large = encoding.encode("x", key="a"), encoding.encode("x" * 100, key="a")

    assert (b"json:", b"large:") == (small[:5], large[:6])
    assert "x" * 100 == encoding.decode(large, key="a")


def test_a_transform_knows_the_key():
    watching = Watching()
    Encoding(transforms=[watching]).encode(1, key="n/a")

    assert [("n/a", b"json:1")] == watching.seen


def test_values_may_all_be_of_one_type():
    encoding = Encoding(value_type=Point)

    assert b'json:{"x":1,"y":2}' == encoding.encode(Point(1, 2), key="a")
    assert Point(1) == encoding.decode(b'json:{"x":1}', key="a")


def test_what_was_written_before_a_transform_was_added_is_read():
    content = Encoding().encode([1], key="a")

    assert [1] == Encoding(transforms=[Reversed(), LargeOnly()]).decode(content, key="a")


def test_what_was_written_before_the_transforms_were_turned_around_is_read():
    content = Encoding(transforms=[Reversed(), LargeOnly()]).encode("x" * 200, key="a")

    assert "x" * 200 == Encoding(transforms=[LargeOnly(), Reversed()]).decode(content, key="a")


@pytest.mark.parametrize("value", [object(), {"a": [lambda: None]}, float], ids=["object", "lambda", "class"])
def test_a_value_that_could_not_be_read_back_is_refused(value):
    with pytest.raises(SerializationError):
        Encoding().encode(value, key="a")


def test_a_value_of_another_type_is_refused():
    with pytest.raises(SerializationError):
        Encoding(value_type=Point).encode({"x": 1}, key="a")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", ""),
        (b"json", ""),
        (b":1", ""),
        (b"json:", ""),
        (b'json:{"a":', ""),
        (b"json:\xff", ""),
        (b'json:{"_type":"set","data":7}', ""),
        (b"x" * 40 + b":1", ""),
        (b"\xff\xfe:1", ""),
        (b"zstd:abc", "it was written through 'zstd', which this storage was not given"),
        (b"reversed:abc", "it has no mark in front"),
        (b"reversed:<1", ""),
        (b"reversed:<cba<:desrever", "it went through 'reversed' twice"),
    ],
)
def test_bytes_that_cannot_be_read_are_told_with_their_key(content, reason):
    with pytest.raises(DamagedValue) as damaged:
        Encoding(transforms=[Reversed()]).decode(content, key="n/a")

    assert "n/a" == damaged.value.key
    assert reason in damaged.value.reason
    assert isinstance(damaged.value, StoreError)


def test_a_value_of_another_shape_is_damaged():
    with pytest.raises(DamagedValue, match=r"\$\.x"):
        Encoding(value_type=Point).decode(b'json:{"x":"one"}', key="a")


@pytest.mark.parametrize("content", [b"json:1", b"reversed:<1:nosj"])
def test_what_did_not_go_through_a_required_transform_is_refused(content):
    with pytest.raises(DamagedValue, match="it was not written through keyed, as it must be"):
        Encoding(transforms=[Reversed(), Keyed()]).decode(content, key="a")


def test_what_was_written_for_another_key_is_refused_where_a_transform_says_so():
    encoding = Encoding(transforms=[Keyed()])
    content = encoding.encode(1, key="a")

    with pytest.raises(DamagedValue, match="it was written for another key"):
        encoding.decode(content, key="b")


class Json(Reversed):
    name = "json"


@pytest.mark.parametrize(
    "transforms", [[Reversed(), Reversed()], [Json()]], ids=["twice", "the serializer's"]
)
def test_names_must_differ(transforms):
    with pytest.raises(ValueError, match="expected transforms and a serializer of different names"):
        Encoding(transforms=transforms)


def test_several_may_only_look():
    assert 1 == Encoding(transforms=[Watching(), Watching()]).decode(b"json:1", key="a")


def test_peeling_tells_what_bytes_went_through():
    encoding = Encoding(transforms=[Reversed(), Keyed()])
    content = encoding.encode(1, key="a")

    assert [
        ("keyed", b"a|reversed:<1:nosj"),
        ("reversed", b"<1:nosj"),
        ("json", b"1"),
    ] == list(encoding.peel(content, key="a"))


def test_what_another_serializer_wrote_can_be_sealed():
    encoding = Encoding(transforms=[Keyed()])

    assert b"keyed:a|json:[1]" == encoding.seal(b"json:[1]", key="a")


def test_an_unknown_serializer_is_refused():
    with pytest.raises(LookupError, match="yaml"):
        Encoding(serializer="yaml")


# what memory keeps


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding(),
        Encoding(serializer="msgpack"),
        Encoding(transforms=[Reversed()]),
        Encoding(transforms=[Keyed()]),
        Encoding(transforms=[LargeOnly()]),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": [1, 2.0, None, True, "ä"], "b": {"c": -0.0}},
        {"big": 2**70, "not a number": float("inf")},
        [(1, 2), {3}, b"bytes"],
        {1: "a key that is no text"},
        {"_type": "Map", "data": []},
        {"\\u005ftype": "_typ"},
        ["x" * 200],
    ],
    ids=repr,
)
def test_what_is_kept_is_made_anew_each_time(encoding, value):
    form = WrittenForm(encoding.encode(value, key="key"))
    first, second, third = (encoding.remade(form, key="key") for _ in range(3))

    assert repr(value) == repr(first) == repr(second) == repr(third)
    assert first is not second is not third


def test_what_was_written_with_tags_by_others_is_read_with_them():
    """A tag may stand for what needs none."""
    content = b'json:[{"_type": "Tuple", "data": [1]}, {"\\u005ftype": "Tuple", "data": [2]}]'
    encoding = Encoding()
    value = encoding.decode(content, key="key")

    form = WrittenForm(content)

    assert value == encoding.remade(form, key="key") == encoding.remade(form, key="key") == [(1,), (2,)]


def test_typed_values_are_made_anew_by_their_type():
    encoding = Encoding(value_type=list[Point])
    value = [Point(1)]

    form = WrittenForm(encoding.encode(value, key="a"))

    assert value == encoding.remade(form, key="a") == encoding.remade(form, key="a")
