"""What a `StateStore` asks of the place that it writes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Protocol, TypeAlias

import attrs

from eliza_state.errors import StoreError
from eliza_state.storage.backend import Gone

JSON: Final = b"json:"
"""What a written value begins with, as everywhere in storages: the name of its format."""

Change: TypeAlias = bytes | Literal[Gone.GONE]
"""A written value, or that the key is to go."""


@attrs.frozen
class Stored:
    """What is found at the start: written values by key, and what could not be made out.

    `unreadable` are keys under which there is something else, with the reason; `problems` what concerns
    no one key.
    """

    contents: Mapping[str, bytes]
    unreadable: Mapping[str, str]
    problems: tuple[StoreError, ...] = ()


class StateSink(Protocol):
    """A place for written values. Only one thread at a time calls it."""

    name: str
    """What and where it is, for people."""

    def check_key(self, key: str) -> None:
        """Raise `InvalidKey` for a key that it cannot hold, though others can. Called from any thread."""

    def load(self) -> Stored:
        """Return what it holds. Raises `StoreError` if it cannot be read."""
        ...

    def write(self, changes: Mapping[str, Change]) -> None:
        """Make all changes durable or, raising `StoreError`, none or all of them; repeating does no harm."""

    def close(self) -> None:
        """Release what is held; twice does nothing."""
