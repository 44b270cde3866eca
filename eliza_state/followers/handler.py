"""What a follower's handler is given: a recorded event, and where to write what it derives from it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import attrs

from eliza_state.change import Record
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import StateError
from eliza_state.path import Path
from eliza_state.scope import Scope


@attrs.frozen
class RecordedEvent:
    """An event as it stands on the journal: the record, and the event read from it by today's code."""

    record: Record
    event: Any

    @property
    def path(self) -> Path:
        """The address of the event."""
        return self.record.path

    @property
    def position(self) -> int:
        """The record's position on the journal."""
        return self.record.position

    @property
    def id(self) -> str:
        """The record's id: the same at every attempt, so the key under which to do things once elsewhere."""
        return self.record.id


class Write:
    """Takes what a handler derives from one record: `write(event, to=path)`.

    Nothing is dispatched before the handler has returned. The records take the followed one as their
    `cause`, and ids made of the follower's name, the followed record's path and id, and their number: the
    same wherever that record stands.
    """

    def __init__(self, name: str, record: Record, *, at: Callable[[Path | str], Scope]) -> None:
        self.derived: list[Dispatch] = []
        self._prefix = f"{own_prefix(name)}{_digest(record)}"
        self._record = record
        self._at = at
        self._closed = False

    def __call__(
        self,
        event: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        to: Path | str | Scope | None = None,
    ) -> None:
        """Dispatch an event, or a name with its payload, to a scope; to the record's own if none is given.

        Raises `InvalidPath` for a malformed path, `StateError` once the handler has returned.
        """
        if self._closed:
            raise StateError("the handler has returned; what it derives is written before that")
        path = self._record.path
        if to is not None:
            path = to.path if isinstance(to, Scope) else self._at(to).path
        key = f"{self._prefix}:{len(self.derived) + 1}"
        self.derived.append(Dispatch(event, path, payload=payload, id=key, cause=self._record.id))

    def close(self) -> list[Dispatch]:
        """Take no more, and return what was written."""
        self._closed = True
        return self.derived


Handler: TypeAlias = Callable[[RecordedEvent, Write], Awaitable[None] | None]
"""A plain or a coroutine function that is called for one record after the other."""


def _digest(record: Record) -> str:
    """What names a record at any replica: an id is unique at its path."""
    text = f"{record.path.encode()}\0{record.id}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def own_prefix(name: str) -> str:
    """Return what the ids of all records that a follower derives begin with."""
    return f"follower:{name}:"
