"""Updates that carry only what changes, and the test for "nothing changed" that they need."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from eliza_state.evolve import evolve

S = TypeVar("S")


def updated(value: S, update: Any) -> S:
    """Return `value` with the fields that `update` sets; the same object when none of them differs.

    Both are of attrs classes. The fields of `update` are named as in `value`; one that is None leaves its
    namesake as it is.
    """
    given = attrs.asdict(update, recurse=False, filter=lambda _attribute, field: field is not None)
    return evolve(value, **{name: field for name, field in given.items() if field != getattr(value, name)})


def is_unchanged(before: Any, after: Any) -> bool:
    """Tell whether a plain value certainly stayed what it was: one object, or equal scalars of one type.

    `==` alone would take `{"debug": True}` for `{"debug": 1}`, so containers that are not one object count
    as changed.
    """
    if before is after:
        return True
    return type(before) is type(after) and isinstance(before, str | int | float) and bool(before == after)
