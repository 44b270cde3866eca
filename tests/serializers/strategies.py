"""The value model as hypothesis strategies, and the comparison that also looks at types."""

import math
from datetime import timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from zoneinfo import ZoneInfo

import attrs
from hypothesis import strategies as st

from eliza_serializers import Secret


class Mood(Enum):
    CALM = "calm"
    CURIOUS = ("curious", 2)


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@attrs.frozen
class Place:
    name: str
    at: tuple[float, float] = (0.0, 0.0)
    labels: frozenset[str] = frozenset()
    extra: Any = None


def is_nan(value: Any) -> bool:
    return (isinstance(value, float) and math.isnan(value)) or (isinstance(value, Decimal) and value.is_nan())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.one_of(text, st.sampled_from(["_type", "data"]))
offsets = st.builds(timezone, st.timedeltas(min_value=timedelta(hours=-23), max_value=timedelta(hours=23)))
zones = st.one_of(
    st.none(),
    offsets,
    st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
)
datetimes = st.datetimes(timezones=zones).flatmap(
    lambda moment: st.sampled_from([moment, moment.replace(fold=1)])
)
times = st.times(timezones=zones)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(),
    text,
    st.binary(max_size=12),
    datetimes,
    times,
    st.dates(),
    st.timedeltas(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.uuids(),
    st.sampled_from([*Mood, *Level]),
)
# NaN in a set or as a key is found by identity only: what comes back is another NaN.
hashables = st.recursive(
    scalars.filter(lambda value: not is_nan(value)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Secret, inner),
    ),
    max_leaves=4,
)
places = st.builds(
    Place,
    name=text,
    at=st.tuples(st.floats(), st.floats()),
    labels=st.frozensets(text, max_size=3),
    extra=hashables,
)
values = st.recursive(
    st.one_of(scalars, places),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=4),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
        st.builds(Secret, inner),
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal, of the same types at every level, NaN like NaN, zones and folds kept."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, Secret):
        return same(left.reveal(), right.reveal())
    if attrs.has(type(left)):
        return all(same(getattr(left, a.name), getattr(right, a.name)) for a in attrs.fields(type(left)))
    return shown(left) == shown(right) and (is_nan(left) or left == right)


def shown(value: Any) -> str:
    """Text that tells a value's type at every level; the order inside sets is left out."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}{sorted(map(shown, value))}"
    if isinstance(value, tuple):
        return f"({','.join(map(shown, value))})"
    if isinstance(value, Secret):
        return f"secret {shown(value.reveal())}"
    if attrs.has(type(value)):
        return shown((type(value).__name__, *(getattr(value, a.name) for a in attrs.fields(type(value)))))
    return f"{type(value).__name__} {value!r}"
