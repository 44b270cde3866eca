"""Which values a format carries by itself, without a tag, and how deep its data is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from attrs import Factory, field, frozen

from eliza_serializers.errors import Segment, SerializationError
from eliza_serializers.tags import TYPE_KEY, class_of, place_of

Test = Callable[[Any], bool]
"""Tell whether a format carries a value of some type exactly."""

Carries = Callable[[Any, int], bool]
"""Tell whether a format carries a value exactly, without a tag, in at most so many levels."""

_CONTAINERS: Final = frozenset({dict, list})
_NESTED: Final = frozenset({dict, list, tuple})


def _key_test(plain: Plain) -> Carries:
    always, within, keys = plain.always, plain.within, plain.keys

    def carries_key(key: Any, budget: int) -> bool:
        kind = type(key)
        if kind not in keys:
            return kind is str
        if kind is tuple:
            return budget > 0 and all(carries_key(item, budget - 1) for item in key)
        return kind in always or within[kind](key)

    return carries_key


def _value_test(plain: Plain) -> Carries:  # noqa: C901 - three closures, faster than methods
    always, within, carries_key = plain.always, plain.within, plain.carries_key

    def carries(value: Any, budget: int) -> bool:
        kind = type(value)
        if kind is dict:
            return budget > 0 and carries_dict(value, budget - 1)
        if kind is list:
            return budget > 0 and carries_list(value, budget - 1)
        if kind in always:
            return True
        test = within.get(kind)
        return test is not None and test(value)

    def carries_dict(items: dict[Any, Any], budget: int) -> bool:
        if TYPE_KEY in items:
            return False
        for key, item in items.items():
            if type(key) is not str and not carries_key(key, budget):
                return False
            if type(item) not in always and not carries(item, budget):
                return False
        return True

    def carries_list(items: list[Any], budget: int) -> bool:
        for item in items:  # noqa: SIM110 - a generator would cost more than the checks
            if not (type(item) in always or carries(item, budget)):
                return False
        return True

    return carries


@frozen(kw_only=True)
class Plain:
    """Say what a format carries by itself; lists, and mappings with text as keys, it always does.

    `always` are the scalar types of which it carries every value, `within` holds the tests that decide for
    others; that of `int` counts only where no annotation says that it is one. `keys` are the types of keys
    beside text: scalars of `always` and `within`, and `tuple` where a tuple of such keys is one.
    """

    always: frozenset[type]
    within: Mapping[type, Test]
    keys: frozenset[type] = frozenset()
    carries_key: Carries = field(init=False, default=Factory(_key_test, takes_self=True))
    carries: Carries = field(init=False, default=Factory(_value_test, takes_self=True))

    def is_deeper(self, data: Any, *, max_depth: int) -> bool:
        """Tell whether data, known to be a tree, has more than `max_depth` levels, one level at a time."""
        has_tuples = tuple in self.keys
        level: list[Any] = [data] if class_of(data) in _CONTAINERS else []
        for _ in range(max_depth):
            if not level:
                return False
            above = level
            level = [
                child
                for node in above
                for child in (node.values() if node.__class__ is dict else node)
                if type(child) in _NESTED
            ]
            if has_tuples:
                level += _tuple_keys(above)
        return bool(level)


def _tuple_keys(level: list[Any]) -> list[Any]:
    # Mappings of one level mostly have the same few keys.
    keys = set[Any]().union(*(node for node in level if node.__class__ is dict))
    return [key for key in keys if type(key) is tuple]


def check_depth(data: object, *, max_depth: int) -> None:
    """Refuse data of more than `max_depth` levels of lists and mappings; a cycle is such data."""
    if type(data) in _CONTAINERS:
        _check_children(data, budget=max_depth)


def _check_children(data: object, *, budget: int) -> None:
    if budget == 0:
        raise SerializationError(
            "the value is nested too deeply, or contains itself: flatten it or raise max_depth"
        )
    for place, child in _places(data):
        if type(child) in _NESTED:
            try:
                _check_children(child, budget=budget - 1)
            except SerializationError as error:
                raise error.inside(place) from None


def _places(data: object) -> Iterable[tuple[Segment, Any]]:
    if class_of(data) is not dict:
        return enumerate(cast("list[Any]", data))
    items = cast("dict[Any, Any]", data).items()
    return ((place_of(key), child) for key, item in items for child in (key, item))
