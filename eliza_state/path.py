"""Where a piece of state lives: levels, paths, and their text form.

>>> path = Path().child("agent", "eliza").child("room", "a/b")
>>> path.encode()
'agent:eliza/room:a%2Fb'
>>> Path.decode(path.encode()) == path
True
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import attrs

from eliza_state.errors import InvalidPath, RegistrationError
from eliza_state.escaping import escape, unescape

MAX_ID_BYTES = 512

Step: TypeAlias = tuple[str, str]
"""A level's name and an id."""

_LEVEL = re.compile(r"[a-z][a-z0-9_]{0,63}")
_STRUCTURE = "/:"


def _check_step(step: Step) -> None:
    level, identifier = step
    if not isinstance(level, str) or _LEVEL.fullmatch(level) is None:
        raise InvalidPath(f"a level is a lower-case word such as 'room', got {level!r}")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidPath(f"the id of a {level} is a non-empty text, got {identifier!r}")
    try:
        size_bytes = len(identifier.encode())
    except UnicodeEncodeError:
        raise InvalidPath(
            f"the id of a {level} is Unicode text, got a lone surrogate in {identifier!r}"
        ) from None
    if size_bytes > MAX_ID_BYTES:
        raise InvalidPath(
            f"the id of a {level} takes at most {MAX_ID_BYTES} bytes in UTF-8, got {size_bytes}:"
            f" {identifier[:40]!r}…"
        )


@attrs.frozen(cache_hash=True, repr=False)
class Path:
    """Name a scope by (level, id) steps from the root down; `Path()` is the root.

    An id is any non-empty Unicode text of at most 512 bytes in UTF-8. Whether the levels fit together is
    the hierarchy's business (`Hierarchy.check`).
    Raises `InvalidPath` for a malformed level or id.
    """

    steps: tuple[Step, ...] = ()

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.steps, tuple):
            raise InvalidPath(f"steps are a tuple of (level, id) pairs, got {self.steps!r}")
        for step in self.steps:
            _check_step(step)

    def child(self, level: str, identifier: str) -> Path:
        """Return the path one step further down."""
        return Path((*self.steps, (level, identifier)))

    @property
    def level(self) -> str | None:
        """The level of the last step; `None` for the root, whose level only the hierarchy names."""
        return self.steps[-1][0] if self.steps else None

    @property
    def id(self) -> str | None:
        """The id of the last step; `None` for the root."""
        return self.steps[-1][1] if self.steps else None

    @property
    def parent(self) -> Path | None:
        """The path one step up; `None` for the root."""
        return Path(self.steps[:-1]) if self.steps else None

    def chain(self) -> Iterator[Path]:
        """Yield the root, then each path down to this one."""
        return iter(_chain(self))

    def is_below(self, other: Path) -> bool:
        """Tell whether `other` is a proper ancestor of this path."""
        depth = len(other.steps)
        return len(self.steps) > depth and self.steps[:depth] == other.steps

    def encode(self) -> str:
        """Return the text form: `agent:eliza/room:general`; empty for the root.

        Injective and prefix-safe: two paths never share a text, and the paths below `p` are exactly those
        whose text starts with `p.encode() + "/"`.
        """
        return self._text

    @functools.cached_property
    def _text(self) -> str:
        return "/".join(
            f"{level}:{escape(identifier, structure=_STRUCTURE)}" for level, identifier in self.steps
        )

    @classmethod
    def decode(cls, text: str) -> Path:
        """Return the path of a text form.

        Raises `InvalidPath` for anything `encode` does not write, another spelling of a path included.
        """
        if not isinstance(text, str):
            raise InvalidPath(f"the text form of a path is a str, got {text!r}")
        if not text:
            return cls()
        path = cls(tuple(_decode_step(part, text) for part in text.split("/")))
        if path.encode() != text:
            raise InvalidPath(f"{text!r} is not the canonical text of a path; that is {path.encode()!r}")
        return path

    def __str__(self) -> str:
        return self.encode()

    def __repr__(self) -> str:
        return f"Path({self.encode()!r})"


@functools.lru_cache(maxsize=4_096)
def _chain(path: Path) -> tuple[Path, ...]:
    return (*(Path(path.steps[:depth]) for depth in range(len(path.steps))), path)


def _decode_step(part: str, text: str) -> Step:
    level, colon, identifier = part.partition(":")
    if not colon:
        raise InvalidPath(
            f"a path is written level:id/level:id, as in 'agent:eliza/room:general', got {text!r}"
        )
    return level, unescape(identifier)


Levels: TypeAlias = Mapping[str, "Levels"]
"""A tree of level names: each name with the levels right below it."""


class Hierarchy:
    """Say which levels exist and which lies below which.

    `levels` is a nested mapping with one root, for example
    `{"global": {"agent": {"room": {"conversation": {"message": {}}}, "user": {}}}}`.
    Raises `RegistrationError` for more or fewer than one root, a malformed name or one used twice.
    """

    def __init__(self, levels: Levels) -> None:
        if len(levels) != 1:
            raise RegistrationError(f"a hierarchy has exactly one root level, got {sorted(levels)!r}")
        self._chains: dict[str, tuple[str, ...]] = {}
        self._add((), levels)
        self.root = next(iter(levels))

    def _add(self, above: tuple[str, ...], levels: Levels) -> None:
        for name, below in levels.items():
            if not isinstance(name, str) or _LEVEL.fullmatch(name) is None:
                raise RegistrationError(f"a level is a lower-case word such as 'room', got {name!r}")
            if name in self._chains:
                raise RegistrationError(f"level {name!r} stands twice in the hierarchy; names are unique")
            self._chains[name] = (*above, name)
            self._add(self._chains[name], below)

    @property
    def levels(self) -> tuple[str, ...]:
        """All level names, each after the one above it."""
        return tuple(self._chains)

    def chain(self, level: str) -> tuple[str, ...]:
        """Return the levels from the root down to `level`; `InvalidPath` if there is no such level."""
        try:
            return self._chains[level]
        except KeyError:
            known = ", ".join(self._chains)
            raise InvalidPath(f"no level {level!r} in the hierarchy; its levels are {known}") from None

    def level(self, path: Path) -> str:
        """Return the level of a path, the root's own included."""
        return path.level or self.root

    def check(self, path: Path) -> Path:
        """Return `path` if its levels follow the hierarchy, step by step; else raise `InvalidPath`."""
        levels = (self.root, *(level for level, _ in path.steps))
        if levels != self.chain(levels[-1]):
            wanted = " → ".join(self.chain(levels[-1]))
            raise InvalidPath(f"{path.encode()!r} leaves the hierarchy; a {levels[-1]} lies at {wanted}")
        return path


DEFAULT_HIERARCHY = Hierarchy(
    {"global": {"agent": {"room": {"conversation": {"message": {}}}, "user": {}}}},
)
