"""Change fields of an immutable attrs object."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import attrs

S = TypeVar("S")


def evolve(state: S, /, **changes: Any) -> S:
    """Return `state` with these fields changed; `state` itself when they hold those very objects already.

    Otherwise the class is called as `attrs.evolve` calls it, so validators and converters run. Fields go by
    the names that the constructor takes. Raises `TypeError` for a field that the class does not have and for
    a `state` that is not of an attrs class.
    """
    cls: Any = type(state)
    attributes, places, read, make = _plan(cls)
    try:
        for name, value in changes.items():
            if getattr(state, attributes[name]) is not value:
                break
        else:
            return state
        values = [*read(state)]
        for name, value in changes.items():
            values[places[name]] = value
    except KeyError:
        raise _unknown(cls, changes, attributes) from None
    changed: S = make(*values)
    return changed


class _Plan(NamedTuple):
    attributes: dict[str, str]
    """The attribute behind each name that the constructor takes, in its order."""
    places: dict[str, int]
    """Where each name is in that order."""
    read: Callable[[Any], tuple[Any, ...]]
    """Reads the attributes."""
    make: Callable[..., Any]
    """Takes their values by position and calls the constructor."""


@cache
def _plan(cls: Hashable) -> _Plan:
    if not isinstance(cls, type) or not attrs.has(cls):
        raise TypeError(f"expected an object of an attrs class, got one of {cls!r}")
    fields = [field for field in attrs.fields(cls) if field.init]
    attributes = {field.alias or field.name: field.name for field in fields}
    own: Mapping[str, Any] = vars(cls)
    has_own_constructor = "__attrs_attrs__" not in own or "__attrs_init__" in own or "__init__" not in own
    is_by_name = has_own_constructor or any(field.kw_only for field in fields)
    return _Plan(
        attributes,
        {name: place for place, name in enumerate(attributes)},
        _reader(tuple(attributes.values())),
        _naming(cls, attributes) if is_by_name else cls,
    )


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        read: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)  # one name alone would give no tuple
        return read
    return lambda state: tuple(getattr(state, name) for name in names)


def _naming(cls: type, names: Iterable[str]) -> Callable[..., Any]:
    """Return what takes values by position and hands them to a class by these names.

    It is compiled, as attrs compiles the constructor itself: through a dict it would take half as long again.
    """
    taken = ", ".join(names)
    named = ", ".join(f"{name}={name}" for name in names)
    make: Callable[..., Any] = eval(f"lambda {taken}: __class__({named})", {"__class__": cls})  # noqa: S307  # names of parameters
    return make


def _unknown(cls: type, changes: dict[str, Any], attributes: dict[str, str]) -> TypeError:
    name = next(name for name in changes if name not in attributes)
    near = get_close_matches(name, attributes, n=1)
    known = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(attributes) or 'none'}"
    return TypeError(f"{cls.__qualname__} has no field {name!r}: {known}")
