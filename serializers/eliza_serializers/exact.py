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
from eliza_serializers.kinds import Kind, RecordField, record_fields, shape_of
from eliza_serializers.native import Check
from eliza_serializers.plain import Plain
from eliza_serializers.tags import TYPE_KEY, TagTable, class_of


class _NotTold(Exception):
    """Say that the types do not tell, and that what is written must be read back."""


@attrs.frozen
class _Rule:
    """Hold what values of one declared type must be: of these exact types, and what else is to check."""

    types: frozenset[type]
    check: Check | None = None

    def holds(self, values: Sequence[Any]) -> bool:
        """Check values together, of which there is at least one."""
        return _are_of(self.types, values) and (self.check is None or self.check(values))


_Column = tuple[Callable[[Any], Any], _Rule]
"""What takes a field's value from a record, and the rule for it."""


@attrs.frozen
class _Scope:
    """Carry what the format can do, and the levels that remain below a part."""

    plain: Plain
    tags: TagTable
    budget: int

    def below(self) -> _Scope:
        return attrs.evolve(self, budget=self.budget - 1)


def exact_check(annotation: Any, *, plain: Plain, tags: TagTable, max_depth: int) -> Check | None:
    """Give what tells that values of a type come back the same, or None where only reading tells.

    The type must be one for which `native_part` found a plan. Values that the check refuses may come back the
    same nevertheless.
    """
    try:
        return _rule(annotation, _Scope(plain, tags, max_depth)).holds
    except (_NotTold, SerializationError):
        return None


def _rule(annotation: Any, scope: _Scope) -> _Rule:
    shape = shape_of(annotation, scope.tags)
    factory = _FACTORIES.get(shape.kind)
    if factory is None:
        raise _NotTold
    return factory(shape.cls, shape.arguments, scope)


def _scalar(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    fits = scope.plain.within.get(cls)
    if fits is None:
        return _Rule(frozenset({cls}))
    return _Rule(frozenset({cls}), partial(_extremes_fit if cls is int else _all_fit, fits))


def _tagged(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    # Another offset comes back as it is in JSON only, and one of seconds in no format.
    return _Rule(frozenset({cls}), _are_utc_or_naive if cls is datetime else None)


def _enum(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    return _Rule(frozenset({cls}))


def _literal(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    types = frozenset(class_of(value) for value in arguments)
    return _Rule(types, frozenset(arguments).issuperset)


def _list(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    return _Rule(frozenset({list}), partial(_items, _rule(arguments[0], scope.below())))


def _mapping(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    kind = frozenset({dict})
    if shape_of(arguments[1], scope.tags).kind is Kind.ANY:
        if arguments[0] is not str:
            raise _NotTold
        return _Rule(kind, partial(_carried, scope.plain, scope.budget))
    keys = frozenset({arguments[0]})
    return _Rule(kind, partial(_entries, keys, _rule(arguments[1], scope.below())))


def _optional(cls: Any, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    # Which member of another union data is read as, msgspec alone knows.
    others = [argument for argument in arguments if argument is not NoneType]
    if len(others) != 1:
        raise _NotTold
    rule = _rule(others[0], scope)
    check = None if rule.check is None else partial(_present, rule.check)
    return _Rule(rule.types | {NoneType}, check)


def _record(cls: type, arguments: tuple[Any, ...], scope: _Scope) -> _Rule:
    is_validated = any(field.validator is not None for field in attrs.fields(cls))
    is_made_otherwise = any("__new__" in vars(parent) for parent in cls.__mro__ if parent is not object)
    if is_validated or is_made_otherwise:
        raise _NotTold
    fields = record_fields(cls)
    return _Rule(frozenset({cls}), _record_check(fields, scope.below()))


def _record_check(fields: Sequence[RecordField], scope: _Scope) -> Check:
    return partial(_records, [(attrgetter(field.name), _rule(field.type, scope)) for field in fields])


def _records(columns: Sequence[_Column], values: Sequence[Any]) -> bool:
    if len(values) == 1:
        return _one_record(columns, values[0])
    for get, rule in columns:
        if rule.check is None:
            if not _are_of(rule.types, map(get, values)):
                return False
        elif not rule.holds(list(map(get, values))):
            return False
    return True


def _one_record(columns: Sequence[_Column], record: Any) -> bool:
    # Without the calls that pay for themselves only where there are many.
    for get, rule in columns:
        value = get(record)
        if type(value) not in rule.types or (rule.check is not None and not rule.check((value,))):
            return False
    return True


def _are_of(types: frozenset[type], values: Iterable[Any]) -> bool:
    return types.issuperset(map(type, values))


def _all_fit(fits: Callable[[Any], bool], values: Sequence[Any]) -> bool:
    return all(map(fits, values))


def _extremes_fit(fits: Callable[[Any], bool], values: Sequence[int]) -> bool:
    return fits(min(values)) and fits(max(values))


def _are_utc_or_naive(moments: Sequence[datetime]) -> bool:
    for moment in moments:
        if (moment.tzinfo is not UTC and moment.tzinfo is not None) or moment.fold:
            return False
    return True


def _items(rule: _Rule, values: Sequence[list[Any]]) -> bool:
    items = values[0] if len(values) == 1 else list(chain.from_iterable(values))
    return not items or rule.holds(items)


def _entries(keys: frozenset[type], rule: _Rule, values: Sequence[dict[Any, Any]]) -> bool:
    for value in values:
        if TYPE_KEY in value or not keys.issuperset(map(type, value)):
            return False
    items = [item for value in values for item in value.values()]
    return not items or rule.holds(items)


def _carried(plain: Plain, budget: int, values: Sequence[dict[str, Any]]) -> bool:
    carries = plain.carries
    for value in values:  # noqa: SIM110 - a generator would cost more than the checks
        if value and not carries(value, budget):
            return False
    return True


def _present(check: Check, values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return not present or check(present)


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
