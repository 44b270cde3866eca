"""Serializers by name, as installed distributions announce them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from eliza_serializers.errors import RegistryError
from eliza_serializers.secret import Seal
from eliza_serializers.serializer import Serializer

GROUP: Final = "eliza_state.serializers"
"""The entry-point group in which distributions announce serializers: a class each, or what makes one."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def serializer(name: str, *, secrets: Seal | None = None) -> Serializer:
    """Make the serializer that is announced under a name: `json`, `msgpack`, or one of another distribution.

    Every call makes a new one, without registrations; what makes it is looked up and imported once. It is
    called without arguments, or with the keys for `secrets` where there are some. Raises `RegistryError` for
    a name that nobody announces, or two do, and for what makes no serializer of it.
    """
    factory = _factory(name)
    made = factory() if secrets is None else factory(secrets=secrets)
    if not isinstance(made, Serializer):
        raise RegistryError(f"expected the serializer {name!r} to be a Serializer, got {made!r:.80}")
    if made.name != name:
        raise RegistryError(f"expected a serializer named {name!r} as it is announced, got {made.name!r}")
    return made


@cache
def _factory(name: str) -> Callable[..., Any]:
    # Only for a name: whoever makes a serializer of a class does without it.
    from importlib.metadata import entry_points  # noqa: PLC0415

    points = entry_points(group=GROUP)
    found = [point for point in points if point.name == name]
    if not found:
        known = ", ".join(sorted({repr(point.name) for point in points}))
        raise RegistryError(
            f"expected the name of a serializer ({known}), got {name!r}: install the distribution that has it"
        )
    if len(found) > 1:
        values = " and ".join(sorted(point.value for point in found))
        raise RegistryError(f"expected one serializer named {name!r}, got {values}: remove one distribution")
    if _NAME.fullmatch(name) is None:
        raise RegistryError(f"expected a name that matches {_NAME.pattern}, got {name!r} ({found[0].value})")
    try:
        factory: Callable[..., Any] = found[0].load()
    except Exception as error:
        raise RegistryError(
            f"the serializer {name!r} ({found[0].value}) cannot be loaded: {error!r};"
            " repair or remove its package"
        ) from error
    return factory
