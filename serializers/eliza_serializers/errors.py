"""The errors of this package, the path inside a value that one names, and how a message shows a value."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Final

Segment = str | int
"""One step into a value: an attribute or text key (`str`), or a position (`int`)."""

_SHOWN_CHARACTERS: Final = 60


class SerializationError(ValueError):
    """Report a value that cannot be written, or data that cannot be read.

    `path` says where inside the value (`$.messages[3].meta.lock`; `$` is the value itself), `reason` what was
    expected, what came and what to do. `segments` is the path as a tuple, outermost first.
    """

    def __init__(self, reason: str, *, segments: tuple[Segment, ...] = ()) -> None:
        self.reason = reason
        self.segments = segments
        super().__init__(f"{self.path}: {reason}")

    @property
    def path(self) -> str:
        """Give the place inside the value as text, `$` first."""
        return "$" + "".join(_segment_text(segment) for segment in self.segments)

    def inside(self, segment: Segment | None) -> SerializationError:
        """Give the same error one level further out, below `segment`; None adds no level."""
        if segment is None:
            return self
        return SerializationError(self.reason, segments=(segment, *self.segments))

    def __reduce__(self) -> tuple[Callable[..., SerializationError], tuple[str, tuple[Segment, ...]]]:
        return _rebuild, (self.reason, self.segments)


class SecretLocked(ValueError):
    """Report a secret that was read encrypted and cannot be opened.

    `reason` says why, `key_id` is that of the key it was sealed with, None where that is damaged too.
    """

    def __init__(self, reason: str, *, key_id: str | None) -> None:
        self.reason = reason
        self.key_id = key_id
        super().__init__(f"the secret is locked: {reason}")

    def __reduce__(self) -> tuple[Callable[..., SecretLocked], tuple[str, str | None]]:
        return _rebuild_locked, (self.reason, self.key_id)


class RegistryError(LookupError):
    """Report that no serializer is to be had by a name: unknown, announced twice, broken or not one."""


def describe(value: object) -> str:
    """Show a value in at most about sixty characters, for a message; a `repr` that raises is replaced.

    Secrets mask themselves in their own `repr`, at any depth.
    """
    return f"{_shorten.repr(value)} ({type(value).__name__})"


def _rebuild(reason: str, segments: tuple[Segment, ...]) -> SerializationError:
    return SerializationError(reason, segments=segments)


def _rebuild_locked(reason: str, key_id: str | None) -> SecretLocked:
    return SecretLocked(reason, key_id=key_id)


def _segment_text(segment: Segment) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    if segment.isidentifier():
        return f".{segment}"
    return f"[{_shorten.repr(segment)}]"


class _Shortener(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # An int of thousands of digits refuses to become text.
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"<int of {x.bit_length()} bits>"


_shorten = _Shortener()
_shorten.maxstring = _SHOWN_CHARACTERS
_shorten.maxother = _SHOWN_CHARACTERS
_shorten.maxlong = _SHOWN_CHARACTERS
_shorten.maxdict = _shorten.maxlist = _shorten.maxtuple = _shorten.maxset = 3
_shorten.maxlevel = 2
