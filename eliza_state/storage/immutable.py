"""Values in memory that nobody can change: shared where they cannot, made anew for each reader otherwise."""

from __future__ import annotations

import datetime
import decimal
import enum
import sys
import uuid
from collections.abc import Callable
from typing import Any, Final

import attrs

from eliza_serializers import Secret
from eliza_serializers.secret import sealed_form
from eliza_state.collections import Entities, Log, Map, Set

_ATOMS: Final = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, decimal.Decimal, uuid.UUID,
        datetime.date, datetime.time, datetime.datetime, datetime.timedelta,
    }
)  # fmt: skip
_OBJECTS_OVER_TEXT: Final = 8
"""What containers take as objects over their written form: `0.5,` is 24 bytes and a pointer to them."""
_MUTABLE: Final = frozenset({dict, list, set})  # most values are one of these: `attrs.has` would take longer
_ELEMENTS: Final = (tuple, frozenset, Log, Set, Entities)


@attrs.frozen
class _Frozen:
    pass


def is_immutable(value: Any) -> bool:
    """Tell whether a value and all that it holds cannot change: known types only, so `False` may be wrong."""
    cls: type = type(value)
    if cls in _ATOMS or isinstance(value, enum.Enum):
        return True
    if cls in _ELEMENTS:
        return all(map(is_immutable, value))
    if cls is Map:
        return all(is_immutable(key) and is_immutable(item) for key, item in value.items())
    if cls is Secret:
        # What was read sealed makes its value anew each time it is asked.
        return sealed_form(value) is not None or is_immutable(value.reveal())
    # attrs gives all its frozen classes one and the same method.
    is_frozen = cls not in _MUTABLE and attrs.has(cls) and cls.__setattr__ is _Frozen.__setattr__
    return is_frozen and all(is_immutable(getattr(value, field.name)) for field in attrs.fields(cls))


@attrs.define(eq=False)
class WrittenForm:
    """A value that could change, kept in its written form and made anew for each reader.

    `Encoding.remade` finds out, the first time, how to `read` it.
    """

    content: bytes
    read: Callable[[bytes], Any] | None = None


def kept(value: Any, content: bytes) -> Any:
    """Return what to keep of a value, given its written form too: itself, or `WrittenForm`."""
    return value if is_immutable(value) else WrittenForm(content)


def size_of(held: Any, content: bytes) -> int:
    """Return how many bytes of memory what `kept` gave takes, about; exact for texts and bytes."""
    cls: type = type(held)
    if cls is WrittenForm:
        return len(content)
    return sys.getsizeof(held) if cls in _ATOMS else _OBJECTS_OVER_TEXT * len(content)
