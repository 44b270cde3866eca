"""States as plain JSON documents that can be compared and patched place by place.

Fields, keys, ids and elements are members of objects, so that a place has the same JSON pointer whatever
stands before it:

- an attrs object is an object of its fields;
- a mapping is an object of its keys, entities are an object of their ids, in their order;
- a set is an object whose members are its elements, each with the value true;
- a log, a list or a tuple is an array;
- times, numbers that JSON lacks and the like are texts, a secret is its mask;
- what shows itself by a repr of its own is that text.

A key that is a text stands as it is, unless it begins with "["; any other stands in brackets as in a state
path: `[(5)]`, `["[x"]`. Nothing can be read back from a document that is not in it: it is for looking at
and for patches, `eliza_serializers` is for storing.
"""

from __future__ import annotations

import base64
import datetime
import enum
import math
import uuid
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Final

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger.state_paths import key_text
from eliza_state.diff import Element, Field, Index, Key, Step, is_open


def document(value: Any) -> Any:
    """Return a value as plain JSON data: dicts with text keys, lists, texts, numbers, booleans and `None`."""
    cls: Any = type(value)
    if cls in (str, int, bool, type(None)):
        return value
    return _way(cls)(value)


def member(key: Hashable) -> str:
    """Return the name of the member that a key, an id or an element of a set has in a document."""
    if type(key) is str and not key.startswith("["):
        return key
    if isinstance(key, Secret):
        return repr(key)
    if isinstance(key, bool | float) and math.isfinite(key) and key == int(key):
        key = int(key)  # 1, 1.0 and True are one key
    return f"[{key_text(key)}]"


def token(step: Step) -> str:
    """Return the reference token, unescaped, that a step of a state path has in a document."""
    match step:
        case Field(name):
            return name
        case Index(position):
            return str(position)
        case Key(key):
            return member(key)
        case Element(element):
            return member(element)


@cache
def _way(cls: Hashable) -> Callable[[Any], Any]:
    for kind, way in _WAYS.items():
        if isinstance(cls, type) and issubclass(cls, kind):
            return way
    return _fields if is_open(cls) else repr


def _mapping(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    return {member(key): document(value) for key, value in mapping.items()}


def _entities(entities: Entities[Any]) -> dict[str, Any]:
    return {member(getattr(entity, entities.key)): document(entity) for entity in entities}


def _elements(elements: Any) -> dict[str, Any]:
    names = map(member, elements)
    return dict.fromkeys(names if isinstance(elements, Set) else sorted(names), True)


def _items(items: Any) -> list[Any]:
    return [document(item) for item in items]


def _fields(value: Any) -> dict[str, Any]:
    cls: Any = type(value)
    return {name: document(getattr(value, name)) for name in _shown(cls)}


@cache
def _shown(cls: Any) -> tuple[str, ...]:
    """The fields that are compared and shown."""
    return tuple(field.name for field in attrs.fields(cls) if field.eq and field.repr is True)


def _float(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _moment(value: datetime.datetime) -> str:
    # Equal moments are one text, whatever their zones.
    return (value if value.tzinfo is None else value.astimezone(datetime.UTC)).isoformat()


_WAYS: Final[dict[type, Callable[[Any], Any]]] = {
    Secret: repr,
    enum.Enum: lambda value: document(value.value),
    bool: bool,
    str: str,
    int: int,
    float: _float,
    Entities: _entities,
    Map: _mapping,
    Mapping: _mapping,
    Set: _elements,
    set: _elements,
    frozenset: _elements,
    Log: _items,
    list: _items,
    tuple: _items,
    datetime.datetime: _moment,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: str,
    Decimal: lambda value: str(value.normalize()),
    uuid.UUID: str,
    bytes: lambda value: base64.b64encode(value).decode(),
}
