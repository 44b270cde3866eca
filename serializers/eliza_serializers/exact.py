"""Which values msgspec certainly reads back the same, told by their types alone.

To read back what was written and to compare costs more than the writing. Text, numbers that the format
carries, enums, UUIDs, moments in UTC, and lists, dicts and records of these need no such test: msgspec has
one form for each, and reads it as nothing else. Whatever is not listed here is still read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any, Final

import attrs

from eliza_serializers.errors import SerializationError
from eliza_serializers.kinds import Kind, record_fields, shape_of
from eliza_serializers.native import Check
from eliza_serializers.plain import Plain
from eliza_serializers.tags import TYPE_KEY, TagTable, class_of


class _NotTold(Exception):
    """Say that the types do not tell, and that what is written must be read back."""


_Test = Callable[[Any], bool]
"""Check one value."""


@attrs.frozen
class _Rule:
    """Hold what values of one declared type must be: of these exact types, and what else is to check.

    `check_one` says it of one value, and `check` of many together, where that costs less.
    """

    types: frozenset[type]
    check_one: _Test | None = None
    check: Check | None = None

    def holds(self, values: Sequence[Any]) -> bool:
        """Check values together, of which there is at least one."""
        if not self.types.issuperset(map(type, values)):
            return False
        if self.check is not None:
            return self.check(values)
        return self.check_one is None or all(map(self.check_one, values))

    def holds_for(self, value: Any) -> bool:
        """Check one value."""
        return type(value) in self.types and (self.check_one is None or self.check_one(value))


@attrs.frozen
class _Scope:
    """Carry what the format can do, and the levels that remain below a part."""

    plain: Plain
    tags: TagTable
    budget: int

    def below(self) -> _Scope:
        return attrs.evolve(self, budget=self.budget - 1)


def exact_check(annotation: Any, *, plain: Plain, tags: TagTable, max_depth: int) -> _Test | None:
    """Give what tells that a value of a type comes back the same, or None where only reading tells.

    The type must be one for which `native_part` found a plan. A value that the check refuses may come back
    the same nevertheless.
    """
    try:
        return _rule(annotation, _Scope(plain, tags, max_depth)).holds_for
    except (_NotTold, SerializationError):
        return None


def _rule(annotation: Any, scope: _Scope) -> _Rule:
    shape = shape_of(annotation, scope.tags)
    factory = _FACTORIES.get(shape.kind)
    if factory is None:
        raise _NotTold
    return factory(shape.cls, shape.arguments, scope)


def _scalar(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    # The test of an integer is for those that no annotation calls one; what was written of these is exact.
    fits = None if cls is int else scope.plain.within.get(cls)
    return _Rule(frozenset({cls}), fits)


def _tagged(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    # Another offset comes back as it is in JSON only, and one of seconds in no format.
    return _Rule(frozenset({cls}), _is_utc_or_naive if cls is datetime else None)


def _enum(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    return _Rule(frozenset({cls}))


def _literal(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    types = frozenset(class_of(value) for value in arguments)
    allowed = frozenset(arguments)
    return _Rule(types, allowed.__contains__)


def _list(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    item = _rule(arguments[0], scope.below())
    return _Rule(frozenset({list}), _items_test(item), partial(_items, item))


def _mapping(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    if shape_of(arguments[1], scope.tags).kind is Kind.ANY:
        if arguments[0] is not str:
            raise _NotTold
        return _Rule(frozenset({dict}), partial(_is_carried, scope.plain, scope.budget))
    item = _rule(arguments[1], scope.below())
    return _Rule(frozenset({dict}), _entries_test(arguments[0], item), partial(_entries, arguments[0], item))


def _optional(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    # Which member of another union data is read as, msgspec alone knows.
    others = [argument for argument in arguments if argument is not NoneType]
    if len(others) != 1:
        raise _NotTold
    rule = _rule(others[0], scope)
    check = None if rule.check is None else partial(_present, rule.check)
    check_one = None if rule.check_one is None else partial(_absent_or, rule.check_one)
    return _Rule(rule.types | {NoneType}, check_one, check)


def _record(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    is_validated = any(field.validator is not None for field in attrs.fields(cls))
    is_made_otherwise = any("__new__" in vars(parent) for parent in cls.__mro__ if parent is not object)
    if is_validated or is_made_otherwise:
        raise _NotTold
    below = scope.below()
    rules = {field.name: _rule(field.type, below) for field in record_fields(cls)}
    if not rules:
        return _Rule(frozenset({cls}))
    columns = [(attrgetter(name), rule) for name, rule in rules.items()]
    return _Rule(frozenset({cls}), _record_test(rules), partial(_records, columns))


def _record_test(rules: Mapping[str, _Rule]) -> _Test:
    names = [*rules, next(iter(rules))]  # twice the first: attrgetter of one name gives no tuple
    types = [rule.types for rule in rules.values()]
    tests = [
        (place, rule.check_one) for place, rule in enumerate(rules.values()) if rule.check_one is not None
    ]
    return partial(_record_holds, attrgetter(*names), types, tests)


def _record_holds(
    fields: Callable[[Any], tuple[Any, ...]],
    types: Sequence[frozenset[type]],
    tests: Sequence[tuple[int, _Test]],
    record: Any,
) -> bool:
    values = fields(record)
    if not all(map(_CONTAINS, types, map(type, values))):
        return False
    for place, test in tests:  # noqa: SIM110 - a generator would cost more than the checks
        if not test(values[place]):
            return False
    return True


_CONTAINS: Final = frozenset[type].__contains__


def _records(columns: Sequence[tuple[Callable[[Any], Any], _Rule]], values: Sequence[Any]) -> bool:
    for get, rule in columns:  # noqa: SIM110 - a generator would cost more than the checks
        if not rule.holds([*map(get, values)]):
            return False
    return True


def _is_utc_or_naive(moment: datetime) -> bool:
    zone = moment.tzinfo
    return (zone is UTC or zone is None) and not moment.fold


def _items(rule: _Rule, values: Sequence[list[Any]]) -> bool:
    items = list(chain.from_iterable(values))
    return not items or rule.holds(items)


def _items_test(rule: _Rule) -> _Test:
    if rule.check is not None:
        return lambda items: not items or rule.holds([*items])
    types, test = rule.types, rule.check_one

    def hold(items: Iterable[Any]) -> bool:
        for item in items:  # noqa: SIM110 - a generator would cost more than the checks
            if type(item) not in types or (test is not None and not test(item)):
                return False
        return True

    return hold


def _entries(key_type: type, rule: _Rule, values: Sequence[dict[Any, Any]]) -> bool:
    keys = frozenset({key_type})
    for value in values:
        if TYPE_KEY in value or not keys.issuperset(map(type, value)):
            return False
    items = [item for value in values for item in value.values()]
    return not items or rule.holds(items)


def _entries_test(key_type: type, rule: _Rule) -> _Test:
    are_items = _items_test(rule)

    def hold(value: dict[Any, Any]) -> bool:
        if TYPE_KEY in value:
            return False
        for key in value:
            if type(key) is not key_type:
                return False
        return are_items(value.values())

    return hold


def _is_carried(plain: Plain, budget: int, value: dict[str, Any]) -> bool:
    return not value or plain.carries(value, budget)


def _present(check: Check, values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return not present or check(present)


def _absent_or(test: _Test, value: Any) -> bool:
    return value is None or test(value)


_FACTORIES: Final[Mapping[Kind, Callable[[Any, tuple[Any, ...], _Scope], _Rule]]] = {
    Kind.NONE: _scalar,
    Kind.BOOL: _scalar,
    Kind.INT: _scalar,
    Kind.FLOAT: _scalar,
    Kind.STR: _scalar,
    Kind.TAGGED: _tagged,
    Kind.ENUM: _enum,
    Kind.LITERAL: _literal,
    Kind.LIST: _list,
    Kind.SEQUENCE: _list,
    Kind.MAPPING: _mapping,
    Kind.UNION: _optional,
    Kind.RECORD: _record,
}
