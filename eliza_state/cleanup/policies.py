"""What is to be cleaned up: values that say what may go, and what becomes of it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs

from eliza_state.errors import StateError
from eliza_state.path import Path
from eliza_state.storage import Storage

WEEK: Final = datetime.timedelta(days=7)
_NOTHING: Final = datetime.timedelta(0)


def _is_after(_policy: object, field: attrs.Attribute[Any], value: datetime.timedelta | None) -> None:
    if value is not None and value <= _NOTHING:
        raise StateError(f"{field.name} is a time above 0, got {value!r}")


@attrs.frozen(kw_only=True)
class IdleScopes:
    """Let scopes of a level rest in which nothing has happened, at or below them, for as long as `after`.

    They go into the archive, where all they hold can be read as before; with `action="erase"` the content
    of their records goes for good instead. Only scopes at and `below` a path are looked at. One that a
    module holds back (`StateModule.blocks_archive`), an effect or a follower, stays. Raises `StateError` for
    a time that is not above 0.
    """

    after: datetime.timedelta = attrs.field(default=WEEK, validator=_is_after)
    level: str = "conversation"
    below: Path = attrs.field(factory=Path)
    action: Literal["archive", "erase"] = attrs.field(
        default="archive", validator=attrs.validators.in_(("archive", "erase"))
    )


@attrs.frozen(kw_only=True)
class OldMessages:
    """Let scopes hold no more than `max_count` messages, and none older than `max_age`.

    Where there are more, an `event` is dispatched to the scope with two fields: `keep`, how many stay, and
    `before`, the time from which on they stay; either may be `None`. Its records stay on the journal, so the
    past shows all messages. The messages are what a `collection` of the state of a `module` holds, oldest
    first; `at` names the field with their time, and one without a time is never too old. How old they are is
    judged by the first that has a time. Raises `StateError` for a policy that bounds nothing, and for bounds
    that are none.
    """

    max_count: int | None = None
    max_age: datetime.timedelta | None = attrs.field(default=None, validator=_is_after)
    module: str = "conversation"
    collection: str = "messages"
    event: str = "messages_trimmed"
    at: str = "at"

    def __attrs_post_init__(self) -> None:
        if self.max_count is None and self.max_age is None:
            raise StateError("old messages are those beyond a max_count or a max_age; give one of them")
        if self.max_count is not None and self.max_count < 0:
            raise StateError(f"max_count is a number of messages, got {self.max_count!r}")


@attrs.frozen(kw_only=True)
class ExpiredKeys:
    """Remove the entries that are past their deadline, and tombstones, where nobody has swept them yet.

    Looked at are the storages of the store's plugins, and those given. For their readers these entries do not
    exist any more.
    """

    storages: Sequence[Storage[Any]] = ()


@attrs.frozen(kw_only=True)
class Orphans:
    """Let go of what belongs to nothing any more.

    - Scopes of a level below one that has ended, such as the conversations of a closed room, are archived.
    - Snapshots that no state is read from are removed: those of scopes that the journal does not know, and,
      in the file beside the database, those of another journal.
    - `plugins` and `followers` are the names of those that still exist, `None` where that is not known.
      What others have stored, and the places others have come to, is named in the report; with `erase` it
      is removed, for good.
    - With `indexes`, the rows of the index file that no registered module declares are removed: for who has
      registered all there are.
    """

    level: str = "conversation"
    plugins: Sequence[str] | None = None
    followers: Sequence[str] | None = None
    indexes: bool = False
    erase: bool = False


@attrs.frozen(kw_only=True)
class Compaction:
    """Give what the files of a store do not need any more back to the disk, in pieces of some milliseconds.

    A SQLite file that was made before this was possible gets smaller only by being rewritten. With `rewrite`
    that is done to the journal's file, once: nobody can dispatch meanwhile, and it takes as much room again.
    Servers see to their files themselves.
    """

    rewrite: bool = False


Policy: TypeAlias = IdleScopes | OldMessages | ExpiredKeys | Orphans | Compaction

DEFAULT_POLICIES: Final[tuple[Policy, ...]] = (IdleScopes(), ExpiredKeys(), Orphans(), Compaction())
"""What is cleaned up unless told otherwise; nothing of it loses history."""
