"""Changing a JSON document without touching the original: only what is changed is copied, once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from eliza_state.debugger.errors import PatchFailed

Tokens: TypeAlias = Sequence[str]
"""The reference tokens of a JSON pointer."""

_POSITION: Final = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)


class Workbench:
    """A document under change.

    Objects are dicts and arrays lists; every method raises `PatchFailed` for a place that is not there or
    cannot be changed so.
    """

    def __init__(self, document: Any) -> None:
        self.document = document
        # By identity, the containers that were made here; kept, so that no identity comes again.
        self._own: dict[int, Any] = {}

    def add(self, place: Tokens, value: Any) -> None:
        """Put a value into an object, or into an array before the position or, with "-", at the end."""
        if not place:
            self.document = value
            return
        container = self._opened(place[:-1])
        if isinstance(container, dict):
            container[place[-1]] = value
        elif place[-1] == "-":
            container.append(value)
        else:
            container.insert(_position(place[-1], len(container)), value)

    def remove(self, place: Tokens) -> Any:
        """Take a value out and return it."""
        if not place:
            raise PatchFailed("the whole document cannot be removed")
        _at(self._looked_up(place[:-1]), place[-1])
        container = self._opened(place[:-1])
        return container.pop(place[-1] if isinstance(container, dict) else int(place[-1]))

    def replace(self, place: Tokens, value: Any) -> None:
        """Put a value in the place of one that is there."""
        if not place:
            self.document = value
            return
        _at(self._looked_up(place[:-1]), place[-1])
        container = self._opened(place[:-1])
        container[place[-1] if isinstance(container, dict) else int(place[-1])] = value

    def move(self, source: Tokens, target: Tokens) -> None:
        """Take a value out and put it elsewhere, not into itself."""
        if len(target) > len(source) and tuple(target[: len(source)]) == tuple(source):
            raise PatchFailed("a value cannot be moved into itself")
        if source:  # the whole document moves nowhere but to where it is
            self.add(target, self.remove(source))

    def copy(self, source: Tokens, target: Tokens) -> None:
        """Put a value elsewhere as well."""
        value = self._looked_up(source)
        self._own.clear()  # what stands in two places belongs to neither
        self.add(target, value)

    def test(self, place: Tokens, value: Any) -> None:
        """Raise unless the value at a place equals the one given, as JSON values do."""
        found = self._looked_up(place)
        if not is_same(found, value):
            raise PatchFailed(f"expected {value!r:.120}, found {found!r:.120}")

    def _looked_up(self, place: Tokens) -> Any:
        value = self.document
        for token in place:
            value = _at(value, token)
        return value

    def _opened(self, place: Tokens) -> Any:
        """Return the container at a place, and all above it, as copies of our own."""
        self._looked_up(place)  # so that nothing is copied for a place that is not there
        container = self.document = self._owned(self.document)
        for token in place:
            key: Any = token if isinstance(container, dict) else int(token)
            container[key] = self._owned(container[key])
            container = container[key]
        return container

    def _owned(self, container: Any) -> Any:
        if not isinstance(container, dict | list):
            raise PatchFailed(f"there is nothing inside {container!r:.60}")
        if id(container) in self._own:
            return container
        copied = container.copy()
        self._own[id(copied)] = copied
        return copied


def _at(container: Any, token: str) -> Any:
    if isinstance(container, dict):
        if token in container:
            return container[token]
        near = difflib.get_close_matches(token, list(container)[:10_000], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PatchFailed(f"there is no member {token!r}{hint}")
    if isinstance(container, list):
        return container[_position(token, len(container) - 1)]
    raise PatchFailed(f"there is no {token!r} inside {container!r:.60}")


def _position(token: str, last: int) -> int:
    if not _POSITION.fullmatch(token):
        raise PatchFailed(f"an array goes by positions from 0, got {token!r}")
    position = int(token)
    if position > last:
        raise PatchFailed(f"there is no position {token} in an array where it would be at most {last}")
    return position


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: numbers by value, true and false equal to no number."""
    if one is other:
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
