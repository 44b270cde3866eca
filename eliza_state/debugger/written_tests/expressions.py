"""Values as the expressions that make them."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger.masking import PLACEHOLDERS
from eliza_state.debugger.written_tests.imports import Imports
from eliza_state.debugger.written_tests.layout import Group, Item, Node, flat
from eliza_state.errors import StateError
from eliza_state.path import Path


class Expressions:
    """Write values as expressions, whose names `imports` collects."""

    def __init__(self, imports: Imports) -> None:
        self.imports = imports
        self.secrets = 0

    def node(self, value: Any, place: str = "") -> Node:
        """Return the expression that makes a value.

        Raises `StateError` naming the place inside the value where there is none, or whose class cannot be
        imported.
        """
        cls: Any = type(value)
        way = _way(cls)
        if way is None:
            raise StateError(
                f"no expression makes the {cls.__module__}.{cls.__qualname__} at {place or 'the top'}: an"
                " attrs class, a collection or a plain value has one"
            )
        return way(self, value, place)

    def call(self, name: Any, *arguments: tuple[str, Node]) -> Group:
        """Return a call of a class or a function, or of what an expression names."""
        called = name if isinstance(name, str) else self.imports.name(name)
        items = tuple(Item(f"{key}=" if key else "", node) for key, node in arguments)
        return Group(f"{called}(", items, ")")

    # Objects

    def fields(self, value: Any, place: str) -> Node:
        """Return the call that makes an attrs object: with the fields that are not as by default."""
        arguments = [
            (field.alias or field.name, self.node(found, f"{place}.{field.name}"))
            for field in attrs.fields(type(value))
            if field.init and not _is_default(field, found := getattr(value, field.name))
        ]
        return self.call(type(value), *arguments)

    def member(self, value: enum.Enum, place: str) -> Node:
        """Return a member of an enum by its name; a combination of flags by its value."""
        cls = type(value)
        if value.name in cls.__members__:
            return f"{self.imports.name(cls)}.{value.name}"
        return self.call(cls, ("", self.node(value.value, place)))

    def secret(self, value: Secret[Any], place: str) -> Node:
        """Return a secret with the placeholder in it; anything else that it may hold is told to nobody."""
        content = value.reveal()
        if not any(type(content) is type(known) and content == known for known in PLACEHOLDERS):
            raise StateError(
                f"the secret at {place or 'the top'} comes from no record: a test cannot tell it"
            )
        self.secrets += 1
        return self.call(Secret, ("", self.node(content, place)))

    # Collections

    def sequence(self, opening: str, values: Iterable[Any], closing: str, place: str) -> Group:
        """Return a display of values in brackets."""
        nodes = (self.node(value, f"{place}[{number}]") for number, value in enumerate(values))
        return Group(opening, tuple(Item("", node) for node in nodes), closing, is_display=True)

    def mapping(self, value: Mapping[Any, Any], place: str) -> Group:
        """Return the display of a dict."""
        items = (
            Item(f"{flat(self.node(key, f'{place} key'))}: ", self.node(value[key], f"{place}[{key!r}]"))
            for key in value
        )
        return Group("{", tuple(items), "}", is_display=True)

    def elements(self, value: Iterable[Any], place: str) -> Node:
        """Return the display of a set, in an order that does not depend on hashes."""
        nodes = sorted((self.node(element, place) for element in value), key=flat)
        if not nodes:
            return "set()"
        return Group("{", tuple(Item("", node) for node in nodes), "}", is_display=True)

    def collection(self, value: Any, place: str) -> Node:
        """Return the call that makes a persistent collection, or a frozenset."""
        if not len(value):
            content: Node | None = None
        elif isinstance(value, Map):
            content = self.mapping(value, place)
        elif isinstance(value, frozenset):
            content = self.elements(value, place)
        else:
            content = self.sequence("[", value, "]", place)
        cls: Any = type(value)
        arguments = [] if content is None else [("", content)]
        if isinstance(value, Entities) and value.key != "id":
            arguments.append(("key", text(value.key)))
        return self.call("frozenset" if cls is frozenset else cls, *arguments)

    # Times

    def moment(self, value: datetime.datetime, place: str) -> Node:
        """Return the call that makes a datetime."""
        clock = _without_zeros(value.second, value.microsecond)
        parts = (value.year, value.month, value.day, value.hour, value.minute, *clock)
        return self._at(f"{self.imports.module('datetime')}.datetime", parts, value, place)

    def time(self, value: datetime.time, place: str) -> Node:
        """Return the call that makes a time of the day."""
        parts = (value.hour, value.minute, *_without_zeros(value.second, value.microsecond))
        return self._at(f"{self.imports.module('datetime')}.time", parts, value, place)

    def _at(self, name: str, parts: Iterable[int], value: Any, place: str) -> Node:
        arguments = [("", str(part)) for part in parts]
        if value.tzinfo is not None:
            arguments.append(("tzinfo", flat(self._zone(value.tzinfo, place))))
        if value.fold:
            arguments.append(("fold", "1"))
        return self.call(name, *arguments)

    def _zone(self, zone: datetime.tzinfo, place: str) -> Node:
        module = self.imports.module("datetime")
        if zone is datetime.UTC:
            return f"{module}.UTC"
        if type(zone) is datetime.timezone:
            return self.call(f"{module}.timezone", ("", self.duration(zone.utcoffset(None), place)))
        if isinstance(zone, ZoneInfo) and zone.key:
            return self.call(ZoneInfo, ("", text(zone.key)))
        raise StateError(f"no expression makes the time zone {zone!r} at {place or 'the top'}")

    def day(self, value: datetime.date, _place: str) -> Node:
        """Return the call that makes a date."""
        parts = (("", str(part)) for part in (value.year, value.month, value.day))
        return self.call(f"{self.imports.module('datetime')}.date", *parts)

    def duration(self, value: datetime.timedelta, _place: str) -> Node:
        """Return the call that makes a duration."""
        parts = ((name, getattr(value, name)) for name in ("days", "seconds", "microseconds"))
        arguments = [(name, str(part)) for name, part in parts if part]
        return self.call(f"{self.imports.module('datetime')}.timedelta", *arguments)


def text(value: str) -> str:
    """Return a text in quotes, in double ones unless more of them would have to be escaped."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    plain = "".join(character if character in "'\"" else repr(character)[1:-1] for character in value)
    return f"{quote}{plain.replace(quote, chr(92) + quote)}{quote}"


def _bytes(_: Expressions, value: bytes, _place: str) -> Node:
    shown = repr(value)
    if shown.startswith("b'") and '"' not in shown:
        return f'b"{shown[2:-1]}"'
    return shown


def _float(_: Expressions, value: float, _place: str) -> Node:
    return repr(value) if math.isfinite(value) else f'float("{value!r}")'


def _tuple(expressions: Expressions, value: Any, place: str) -> Node:
    names = getattr(value, "_fields", None)
    if names is None:
        return expressions.sequence("(", value, ")", place)
    parts = zip(names, value, strict=True)
    arguments = [(name, expressions.node(part, f"{place}.{name}")) for name, part in parts]
    return expressions.call(type(value), *arguments)


def _without_zeros(second: int, microsecond: int) -> tuple[int, ...]:
    return (second, microsecond) if microsecond else (second,) if second else ()


def _is_default(field: Any, value: Any) -> bool:
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # it is a class, whatever its stub says
        if default.takes_self:
            return False
        default = default.factory()
    return type(value) is type(default) and bool(value == default)


_Way = Callable[[Expressions, Any, str], Node]

_WAYS: Final[dict[type, _Way]] = {
    type(None): lambda _, value, _place: repr(value),
    bool: lambda _, value, _place: repr(value),
    int: lambda _, value, _place: repr(value),
    float: _float,
    str: lambda _, value, _place: text(value),
    bytes: _bytes,
    Secret: Expressions.secret,
    Map: Expressions.collection,
    Set: Expressions.collection,
    Log: Expressions.collection,
    Entities: Expressions.collection,
    frozenset: Expressions.collection,
    set: Expressions.elements,
    dict: Expressions.mapping,
    list: lambda expressions, value, place: expressions.sequence("[", value, "]", place),
    tuple: _tuple,
    datetime.datetime: Expressions.moment,
    datetime.date: Expressions.day,
    datetime.time: Expressions.time,
    datetime.timedelta: Expressions.duration,
    Decimal: lambda expressions, value, _: expressions.call(Decimal, ("", text(str(value)))),
    uuid.UUID: lambda expressions, value, _: expressions.call(
        f"{expressions.imports.module('uuid')}.UUID", ("", text(str(value)))
    ),
    Path: lambda expressions, value, _: expressions.call(
        f"{expressions.imports.name(Path)}.decode", ("", text(value.encode()))
    ),
}


@cache
def _way(cls: Any) -> _Way | None:
    if cls in _WAYS:
        return _WAYS[cls]
    if issubclass(cls, enum.Enum):
        return Expressions.member
    if attrs.has(cls):
        return Expressions.fields
    return _tuple if issubclass(cls, tuple) and hasattr(cls, "_fields") else None
