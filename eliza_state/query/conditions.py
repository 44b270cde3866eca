"""Conditions on entries, written in Python: `(F.user == "ada") & (F.at >= yesterday)`.

A condition is a value: it can be kept, compared, printed in the form that `parse` reads, and asked of any
collection that has the fields it names. Which those are is seen when it is asked.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal, NoReturn, TypeAlias

import attrs

from eliza_serializers import Secret
from eliza_state.ordering import Kind, kind_of
from eliza_state.query.errors import InvalidQuery

Op: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in", "between", "startswith", "contains", "exists"]
"""How a field is compared."""

_ORDERS: Final = ("<", "<=", ">", ">=", "between")
_LOOSE, _AND, _NOT = 0, 1, 2


@attrs.frozen
class Param:
    """Stand for a value that is given when a prepared query runs; `$name` in text."""

    name: str


def param(name: str) -> Param:
    """Return what stands for a value that is given when a prepared query runs."""
    if not name.isidentifier():
        raise InvalidQuery(f"a parameter has a name, got {name!r}")
    return Param(name)


class Condition:
    """Something that holds of an entry or does not; combined by `&`, `|` and `~`."""

    __slots__ = ()
    _binding: ClassVar[int] = _NOT

    def __and__(self, other: Condition) -> Condition:
        return All((*_members(self, All), *_members(other, All)))

    def __or__(self, other: Condition) -> Condition:
        return AnyOf((*_members(self, AnyOf), *_members(other, AnyOf)))

    def __invert__(self) -> Condition:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("conditions are combined by & | ~ and in(), not by `and`, `or`, `not`, `in`")

    def _within(self, binding: int) -> str:
        return f"({self})" if self._binding < binding else str(self)


@attrs.frozen
class Comparison(Condition):
    """Compare a field with a value; `operand` is a tuple for `in` and `between`, None for `exists`."""

    field: str
    op: Op
    operand: Any = None

    def __str__(self) -> str:
        match self.op:
            case "exists":
                return f"{self.field} exists"
            case "in":
                return f"{self.field} in [{', '.join(map(_shown, self.operand))}]"
            case "between":
                low, high = self.operand
                return f"{self.field} between {_shown(low)} and {_shown(high)}"
            case _:
                return f"{self.field} {self.op} {_shown(self.operand)}"


@attrs.frozen
class All(Condition):
    """Hold when all of the conditions hold; of none, always."""

    _binding: ClassVar[int] = _AND
    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(each._within(_NOT) for each in self.conditions)


@attrs.frozen
class AnyOf(Condition):
    """Hold when one of the conditions holds; of none, never."""

    _binding: ClassVar[int] = _LOOSE
    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(each._within(_AND) for each in self.conditions)


@attrs.frozen
class Not(Condition):
    """Hold when the condition does not."""

    condition: Condition

    def __str__(self) -> str:
        return f"not {self.condition._within(_NOT)}"


def _members(condition: Condition, kind: type[All | AnyOf]) -> tuple[Condition, ...]:
    if not isinstance(condition, Condition):
        raise TypeError(f"expected a condition such as F.user == 'ada', got {condition!r:.60}")
    if isinstance(condition, All | AnyOf) and isinstance(condition, kind):
        return condition.conditions
    return (condition,)


def _shown(value: Any) -> str:
    """A value as `parse` reads it, as far as it can be written there."""
    if isinstance(value, Param):
        return f"${value.name}"
    if isinstance(value, datetime.date):
        return json.dumps(value.isoformat())
    if isinstance(value, uuid.UUID):
        return json.dumps(str(value))
    kind = kind_of(value)
    if kind in (Kind.NOTHING, Kind.TRUTH, Kind.TEXT):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


class Field:
    """Name a field, to be compared: `==`, `!=`, `<`, `<=`, `>`, `>=` and the methods make conditions.

    `field["lang"]` is a field of its value. Values of another kind than the field's own are different from it
    and neither less nor greater; where the declared type of a field shows that, the query is refused.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, name: str) -> Field:
        return Field(f"{self._name}.{name}")

    def __repr__(self) -> str:
        return f"field({self._name!r})"

    def __eq__(self, other: object) -> Comparison:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Comparison(self._name, "==", _checked(other))

    def __ne__(self, other: object) -> Comparison:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Comparison(self._name, "!=", _checked(other))

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __lt__(self, other: Any) -> Comparison:
        return self._ordered("<", other)

    def __le__(self, other: Any) -> Comparison:
        return self._ordered("<=", other)

    def __gt__(self, other: Any) -> Comparison:
        return self._ordered(">", other)

    def __ge__(self, other: Any) -> Comparison:
        return self._ordered(">=", other)

    def _ordered(self, op: Op, other: Any) -> Comparison:
        return Comparison(self._name, op, _orderable(other))

    def in_(self, values: Iterable[Any]) -> Comparison:
        """Hold where the value is one of these; of none, nowhere."""
        return Comparison(self._name, "in", tuple(map(_checked, values)))

    def between(self, low: Any, high: Any) -> Comparison:
        """Hold where the value is neither less than `low` nor greater than `high`."""
        bounds = _orderable(low), _orderable(high)
        if not any(isinstance(bound, Param) for bound in bounds) and kind_of(low) is not kind_of(high):
            raise InvalidQuery(f"{self._name}: bounds of one kind are wanted, got {low!r} and {high!r}")
        return Comparison(self._name, "between", bounds)

    def startswith(self, text: str | Param) -> Comparison:
        """Hold where the value is a text that begins with this one."""
        if not isinstance(text, str | Param):
            raise InvalidQuery(f"{self._name} startswith takes a text, got {text!r}")
        return Comparison(self._name, "startswith", text)

    def contains(self, element: Any) -> Comparison:
        """Hold where the value is a collection with this element, a mapping with this key, or a text in
        which this text stands.
        """
        return Comparison(self._name, "contains", _checked(element))

    def exists(self) -> Comparison:
        """Hold where there is a value other than None."""
        return Comparison(self._name, "exists")


def field(name: str) -> Field:
    """Return the field of a name; a dot leads into its value, as in `field("metadata.lang")`."""
    if not isinstance(name, str) or not name:
        raise InvalidQuery(f"a field is named by a text, got {name!r}")
    return Field(name)


class Fields:
    """Make fields of attributes: `F.user` is `field("user")`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Field:
        if name.startswith("__"):
            raise AttributeError(name)
        return Field(name)


F: Final = Fields()
"""All fields: `F.user == "ada"`."""


def _checked(value: Any) -> Any:
    if isinstance(value, Param):
        return value
    if isinstance(value, Secret):
        raise InvalidQuery("a secret is nothing to search by")
    if kind_of(value) is Kind.OTHER:
        raise InvalidQuery(f"a value to compare with is a text, number, time or the like, got {value!r:.60}")
    return value


def _orderable(value: Any) -> Any:
    if value is None or kind_of(_checked(value)) is Kind.CHOICE:
        raise InvalidQuery(f"less and greater take a value with an order, got {value!r}")
    return value
