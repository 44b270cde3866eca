"""Conditions bound to the fields of a collection: names looked up, values checked, tests of entries."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Collection as Holder
from typing import Any, Final, Protocol, TypeAlias

import attrs

from eliza_state.indexes import Column, nearest
from eliza_state.ordering import Kind, kind_of
from eliza_state.query.conditions import All, AnyOf, Comparison, Condition, Not, Op, Param
from eliza_state.query.errors import InvalidQuery
from eliza_state.shapes import Shape, shape_of

Test: TypeAlias = Callable[[Any, Any, Any], bool]
"""Tell of a key, its entry and the state around it whether a condition holds."""

_Check: TypeAlias = Callable[[Any], bool]

NOTHING_GIVEN: Final[Mapping[str, Any]] = {}
_ALWAYS: Final = All(())


class Source(Protocol):
    """What has columns: a `Collection`, or the scopes themselves."""

    def find(self, name: str) -> Column | None:
        """Return the column of a name."""
        ...

    def names(self) -> list[str]:
        """Return the names that can be asked for."""
        ...


@attrs.frozen(eq=False)
class Leaf(Condition):
    """A comparison with its column; the operand may still be, or hold, a `Param`."""

    column: Column
    op: Op
    operand: Any

    @property
    def text(self) -> str:
        """The comparison as it was asked."""
        return str(Comparison(self.column.name, self.op, self.operand))


def column_of(source: Source, name: str) -> Column:
    """Return a column by its name; `InvalidQuery` if there is none, naming the nearest, or it is secret."""
    column = source.find(name)
    if column is None:
        raise InvalidQuery(f"there is no field {name!r}{nearest(name, source.names())}")
    if column.shape.is_secret:
        raise InvalidQuery(f"{name!r} is a secret: it is neither searched nor sorted by")
    return column


def bind(condition: Condition | None, source: Source) -> Condition:
    """Return a condition with `Leaf` in place of its comparisons; of None, one that always holds.

    Raises `InvalidQuery` for a field that is not there, a secret one, and a value of a kind that the field's
    declared type excludes.
    """
    match condition:
        case None:
            return _ALWAYS
        case Comparison(name, op, operand):
            column = column_of(source, name)
            return Leaf(column, op, _operand(column, op, operand))
        case All(conditions):
            return All(tuple(bind(each, source) for each in conditions))
        case AnyOf(conditions):
            return AnyOf(tuple(bind(each, source) for each in conditions))
        case Not(inner):
            return Not(bind(inner, source))
        case _:
            raise InvalidQuery(f"expected a condition such as F.user == 'ada', got {condition!r:.60}")


def leaves(condition: Condition) -> list[Leaf]:
    """Return all comparisons of a bound condition."""
    match condition:
        case Leaf():
            return [condition]
        case All(conditions) | AnyOf(conditions):
            return [leaf for each in conditions for leaf in leaves(each)]
        case Not(inner):
            return leaves(inner)
        case _:
            return []


def parameters(condition: Condition) -> set[str]:
    """Return the names of the parameters of a bound condition."""
    operands = [leaf.operand for leaf in leaves(condition)]
    single = [
        each for operand in operands for each in (operand if isinstance(operand, tuple) else (operand,))
    ]
    return {each.name for each in single if isinstance(each, Param)}


def give(condition: Condition, given: Mapping[str, Any]) -> Condition:
    """Return a bound condition with values in place of its parameters, checked as those in `bind` are."""
    match condition:
        case Leaf(column, op, operand):
            filled = _filled(operand, given)
            return condition if filled is operand else Leaf(column, op, _operand(column, op, filled))
        case All(conditions):
            return All(tuple(give(each, given) for each in conditions))
        case AnyOf(conditions):
            return AnyOf(tuple(give(each, given) for each in conditions))
        case Not(inner):
            return Not(give(inner, given))
        case _:
            return condition


def _filled(operand: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(operand, Param):
        return given[operand.name]
    if isinstance(operand, tuple) and any(isinstance(each, Param) for each in operand):
        return tuple(_filled(each, given) for each in operand)
    return operand


# Values to compare with


def _operand(column: Column, op: Op, operand: Any) -> Any:
    """Return an operand as the column's values are; `InvalidQuery` where they cannot be compared."""
    shape = column.shape
    if op == "exists":
        return None
    if op == "contains":
        shape = _contained(column)
    if op == "startswith" and shape.kinds is not None and Kind.TEXT not in shape.kinds:
        raise InvalidQuery(f"{column.name!r} holds {_named(shape)}: startswith is for text")
    if op in ("in", "between"):
        return tuple(_fitting(column.name, shape, each, op) for each in operand)
    return _fitting(column.name, shape, operand, op)


def _contained(column: Column) -> Shape:
    shape = column.shape
    if not shape.holds_elements and Kind.TEXT not in (shape.kinds or ()):
        raise InvalidQuery(f"{column.name!r} holds {_named(shape)}: there is nothing in it to look for")
    elements = shape if shape.elements is None else shape_of(shape.elements)
    if elements.is_secret:
        raise InvalidQuery(f"{column.name!r} holds secrets: they are not searched")
    return elements


def _fitting(name: str, shape: Shape, value: Any, op: Op) -> Any:
    if isinstance(value, Param):
        return value
    kind = kind_of(value)
    if kind is Kind.OTHER or (op not in ("==", "!=", "in", "contains") and kind is Kind.NOTHING):
        raise InvalidQuery(f"{name!r} {op} takes a text, number, time or the like, got {value!r:.60}")
    if shape.kinds is None or kind in shape.kinds or kind is Kind.NOTHING:
        return value
    if isinstance(value, str):
        for wanted in sorted(shape.kinds):
            reader = _FROM_TEXT.get(wanted)
            if reader is not None:
                return _read(name, reader, value, shape)
    raise InvalidQuery(f"{name!r} holds {_named(shape)}, got {value!r:.60}")


def _read(name: str, reader: Callable[[str, Shape], Any], text: str, shape: Shape) -> Any:
    try:
        return reader(text, shape)
    except (ValueError, KeyError):
        raise InvalidQuery(f"{name!r} holds {_named(shape)}, got {text!r:.60}") from None


def _named(shape: Shape) -> str:
    names = {Kind.LOCAL: "MOMENT", Kind.OTHER: "an object"}
    return " or ".join(
        dict.fromkeys(names.get(kind, kind.name).lower() for kind in sorted(shape.kinds or ()))
    )


def _moment(text: str, _shape: Shape) -> datetime.datetime:
    at = datetime.datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=datetime.UTC)


def _choice(text: str, shape: Shape) -> enum.Enum:
    members: dict[Any, enum.Enum] = {}
    for cls in shape.choices:
        members.update({member.name: member for member in cls})
        members.update({member.value: member for member in cls if isinstance(member.value, str)})
    return members[text]


_FROM_TEXT: Final[Mapping[Kind, Callable[[str, Shape], Any]]] = {
    Kind.MOMENT: _moment,
    Kind.DATE: lambda text, _shape: datetime.date.fromisoformat(text),
    Kind.UUID: lambda text, _shape: uuid.UUID(text),
    Kind.CHOICE: _choice,
}


# Tests


def test_of(condition: Condition) -> Test:
    """Return the test that a bound condition without parameters says."""
    match condition:
        case Leaf(column, _, _):
            return _leaf_test(column, check_of(condition))
        case Not(inner):
            inner_test = test_of(inner)
            return lambda key, entry, state: not inner_test(key, entry, state)
        case AnyOf(conditions):
            return _any_test([test_of(each) for each in conditions])
        case All(conditions):
            return _all_test([test_of(each) for each in conditions])
        case _:
            raise AssertionError(condition)


def _leaf_test(column: Column, check: _Check) -> Test:
    get = column.get
    if column.of == "entry":
        return lambda _key, entry, _state: check(get(entry))
    if column.of == "key":
        return lambda key, _entry, _state: check(key)
    return lambda _key, _entry, state: check(get(state))


def _all_test(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda key, entry, state: all(test(key, entry, state) for test in tests)


def _any_test(tests: list[Test]) -> Test:
    return lambda key, entry, state: any(test(key, entry, state) for test in tests)


def check_of(leaf: Leaf) -> _Check:
    """Return what tells of a column's value whether a comparison holds."""
    operand, kinds = leaf.operand, leaf.column.shape.kinds
    if leaf.op == "contains":
        return _contains(operand, in_text=kinds is None or Kind.TEXT in kinds)
    if leaf.op in _CHECKS:
        return _CHECKS[leaf.op](operand)
    return _ordered(leaf.op, operand)


def _differs(operand: Any) -> _Check:
    equals = _equals(operand)
    return lambda value: not equals(value)


def _one_of(operands: tuple[Any, ...]) -> _Check:
    checks = [_equals(each) for each in operands]
    return lambda value: any(check(value) for check in checks)


def _begins(operand: str) -> _Check:
    return lambda value: isinstance(value, str) and value.startswith(operand)


def _equals(operand: Any) -> _Check:
    kind = kind_of(operand)
    if kind is Kind.NOTHING:
        return lambda value: value is None
    if kind is Kind.TEXT:
        return lambda value: isinstance(value, str) and value == operand
    return lambda value: kind_of(value) is kind and value == operand


def _ordered(op: Op, operand: Any) -> _Check:
    kind = kind_of(operand)
    match op:
        case "<":
            return lambda value: kind_of(value) is kind and value < operand
        case "<=":
            return lambda value: kind_of(value) is kind and value <= operand
        case ">":
            return lambda value: kind_of(value) is kind and value > operand
        case _:
            return lambda value: kind_of(value) is kind and value >= operand


def _between(bounds: tuple[Any, Any]) -> _Check:
    low, high = bounds
    kind = kind_of(low)
    if kind_of(high) is not kind:
        raise InvalidQuery(f"bounds of one kind are wanted, got {low!r} and {high!r}")
    return lambda value: kind_of(value) is kind and low <= value <= high


def _contains(operand: Any, *, in_text: bool) -> _Check:
    equals = _equals(operand)

    def contains(value: Any) -> bool:
        if isinstance(value, str):
            return in_text and isinstance(operand, str) and operand in value
        return any(map(equals, elements_of(value)))

    return contains


def elements_of(value: Any) -> Iterable[Any]:
    """Return the elements of a collection, of a mapping its keys; nothing for anything else."""
    return value if isinstance(value, Holder) and not isinstance(value, str | bytes) else ()


_CHECKS: Final[Mapping[Op, Callable[[Any], _Check]]] = {
    "==": _equals,
    "!=": _differs,
    "in": _one_of,
    "exists": lambda _operand: lambda value: value is not None,
    "startswith": _begins,
    "between": _between,
}
