"""The contract of a journal: an ordered log of records.

A journal is synchronous. It is driven by one writer at a time (`eliza_state.journal.writer`) and by
readers in other threads; `append`, `erase`, `settle_erasures`, `tell`,
`expunge`, `give_back`, `rewrite` and `maintain` are the writer's, the rest is anyone's.
`find` and `knows` are look-ups by index that the event loop makes in its own thread where `is_local`.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from eliza_state.change import Record
from eliza_state.errors import InvalidPath, StoreError
from eliza_state.event import ERASURE, RESTORE, ScopeErased, ScopeRestored, event_type
from eliza_state.ids import encode_id
from eliza_state.path import Path


class Draft(NamedTuple):
    """A record before the journal has given it a position; `content` as in `Record`.

    `recorded_at_us` is 0 where the journal's clock at the time of writing is to be taken.
    """

    key: bytes
    path: Path
    version: int
    event: str
    schema_version: int
    content: Any
    cause: str | None = None
    recorded_at_us: int = 0


class Appended(NamedTuple):
    """Where a batch landed: its first position, its time, and what others had written just before it."""

    first_position: int
    recorded_at_us: int
    missed: Sequence[Record] = ()


class Conflict(Exception):  # an answer of the journal to its writer, not an error for users
    """Others wrote to a path of the batch first; nothing of it was stored.

    `missed` are all records after the position that the writer had seen, in order; `known` are records that
    have ids of the batch, where the writer had seen them or could not know of them.
    """

    def __init__(self, missed: Sequence[Record], *, known: Sequence[Record] = ()) -> None:
        self.missed = missed
        self.known = known
        super().__init__(f"{len(missed)} records came first")


class InArchive(Exception):  # as `Conflict`
    """Paths of a batch are in the archive, or below `scopes` that are; nothing of it was stored."""

    def __init__(self, scopes: Sequence[Path]) -> None:
        self.scopes = scopes
        super().__init__(f"{len(scopes)} scopes are in the archive")


class Unclear(StoreError):
    """The connection was lost while a batch was being stored: it may be stored, or not."""


class Wiped(NamedTuple):
    """What one transaction of an erasure took.

    As many `records` lost `size_bytes` of content (0 in memory); each of the `paths` they were addressed to
    has a record of that now.
    """

    records: int = 0
    size_bytes: int = 0
    paths: Sequence[Path] = ()


class Erasure(NamedTuple):
    """A scope that lost records, or one above it, and the position of the last record that says so."""

    path: Path
    position: int


def account_of(events: Sequence[str], *, until: int) -> ScopeErased:
    """Return what the journal is to say of the erasure of a scope's records of these events."""
    return ScopeErased(until=until, count=len(events), events=tuple(sorted({*events} - {""})))


class Restore(NamedTuple):
    """A record that gave a scope back its state at an earlier position, the `target`.

    `last_event` names the event last addressed to the scope by then.
    """

    position: int
    target: int
    last_event: str


Find: TypeAlias = Callable[[Path, bytes], Record | None]
"""Return the record with an id addressed to exactly a path, or `None`."""


def told_restore(record: Record) -> ScopeRestored | None:
    """Return what a record says of a restore; `None` if it is none, or cannot be read."""
    if record.event != RESTORE or record.schema_version > event_type(ScopeRestored).version:
        return None
    if not isinstance(record.content, bytes):
        told: ScopeRestored = record.content
        return told
    try:
        return msgspec.json.decode(record.content, type=ScopeRestored)
    except msgspec.MsgspecError:
        return None


def restore_of(record: Record, find: Find) -> Restore | None:
    """Return what a record restores; `None` where it is no restore, or of what is not on the journal."""
    told = told_restore(record)
    if told is None:
        return None
    if not told.record:
        return Restore(record.position, 0, told.last_event)
    try:
        below = Path.decode(told.below)
        found = find(Path((*record.path.steps, *below.steps)), encode_id(told.record))
    except (InvalidPath, UnicodeEncodeError):
        return None
    if found is None or found.position >= record.position:
        return None
    return Restore(record.position, found.position, told.last_event)


def last_event_of(own: Iterable[Record], find: Find) -> str:
    """Return the `last_event` of a scope from the records addressed to it, the newest first."""
    for record in own:
        restored = restore_of(record, find)
        if restored is not None:
            return restored.last_event
        if record.event not in (ERASURE, RESTORE):
            return record.event
    return ""


class ScopeFacts(NamedTuple):
    """What the journal knows of a scope without reading its records.

    `version` is that of the last record addressed to it (0: none); `last_position` and `last_activity_us`
    are those of the last record addressed to it or below it (0: none). `last_event` is the name of the
    event last addressed to it (empty: none), erasures left out, and what a restore has undone.
    """

    version: int = 0
    last_position: int = 0
    last_activity_us: int = 0
    last_event: str = ""


class ChoreLease(Protocol):
    """The right to a chore that one process at a time does; it ends with the process that has it."""

    def take(self) -> bool:
        """Take it, without waiting; tell whether it was free. Raises `StoreError` if that cannot be known."""
        ...

    def release(self) -> None:
        """Give it back; twice does nothing."""


class Journal(abc.ABC):
    """An append-only log of records in one total order.

    Every method may raise `StoreError`. `durable` is false for a journal that lives in memory: its methods
    return at once and never fail.
    """

    durable: bool = True
    is_local: bool = True
    """Whether `find`, `find_all` and `knows` wait for nothing but the disk.

    The event loop then asks them in its own thread, and appends there while that is quick; those of a server
    are left to other threads, whatever it costs to hand over.
    """
    epoch: str
    """Identifies the log's life: a text made when the journal was created."""
    writer: str
    """Names who writes through this object, in the records it stores."""
    clock: Callable[[], int]
    """Gives microseconds since 1970."""

    @abc.abstractmethod
    def append(self, drafts: Sequence[Draft], *, after: int, guarded: Path | None = None) -> Appended:
        """Store a batch in one transaction, in order, at consecutive positions; all of it or nothing.

        `after` is the last position the writer has seen. When others wrote since then, their records come
        back as `missed`; if one of them is addressed to a path of the batch, or to `guarded` or below it,
        `Conflict` is raised instead and nothing is stored, as it is where an id is taken. Raises `Busy` when
        the store is locked: without waiting where it `is_local`, else once its time is up.
        """

    def keeping(self) -> AbstractContextManager[None]:
        """Keep hold of what reads in the block need, so that many small ones in this thread are quick."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def head(self) -> int:
        """Return the last position; 0 for an empty journal."""

    @abc.abstractmethod
    def read(
        self,
        path: Path,
        *,
        after: int = 0,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """Yield the records addressed to `path` or below it with `after < position <= until`, in order.

        A path without records yields nothing. A damaged record (its checksum differs) is yielded with an
        empty event name, which no class has.
        """

    def read_small(
        self, paths: Sequence[Path], *, until: int, most: int
    ) -> Iterator[tuple[Path, list[Record] | None]]:
        """Yield paths with all their records up to a position, as `read` has them; in any order.

        `None` stands for one that has more than `most`, or is better read by itself; a path without records
        may be left out. Quicker than reading one after the other.
        """
        for path in paths:
            records = list(self.read(path, until=until, limit=most + 1))
            yield path, records if len(records) <= most else None

    @abc.abstractmethod
    def find(self, path: Path, key: bytes) -> Record | None:
        """Return the record with this id addressed to exactly this path, or `None`."""

    def find_all(self, wanted: Sequence[tuple[Path, bytes]]) -> list[Record | None]:
        """Return what `find` returns for each path and id; quicker than one after the other."""
        return [self.find(path, key) for path, key in wanted]

    @abc.abstractmethod
    def knows(self, path: Path) -> bool:
        """Tell whether any record is addressed to `path` or below it."""

    @abc.abstractmethod
    def facts(self, path: Path, *, until: int) -> ScopeFacts:
        """Return what is known of a scope at a position; zeros for one that had no records by then."""

    @abc.abstractmethod
    def children(self, path: Path) -> list[Path]:
        """Return the scopes right below `path` that have records at or below them, oldest first."""

    @abc.abstractmethod
    def position_at(self, at_us: int) -> int:
        """Return the last position recorded at or before a time in microseconds since 1970; 0 if none."""

    @abc.abstractmethod
    def erase(self, positions: Sequence[int], *, until: int) -> Wiped:
        """Remove the content of the records at these positions for good, all of it or nothing.

        They keep their place, with everything else they have. In the same transaction a record of
        `ScopeErased` is appended to each scope that lost some; `until` is what it is to say. Records
        without content are passed over. Raises `Busy` without waiting when the store is locked.
        """

    @abc.abstractmethod
    def erased_at(self, path: Path) -> int:
        """Return the position of the last erasure at `path` or below it; 0 if there was none."""

    @abc.abstractmethod
    def restored_at(self, path: Path, *, until: int) -> Restore | None:
        """Return the last restore of exactly this scope up to a position; `None` if there was none.

        Damaged records, and those that restore what is not on the journal, are passed over.
        """

    @abc.abstractmethod
    def restores(self, *, after: int, until: int) -> list[Record]:
        """Return the records of restores of all scopes with `after < position <= until`, in order."""

    @abc.abstractmethod
    def unsettled_erasures(self) -> list[Erasure]:
        """Return the scopes of which something may still hold, beside the journal, what was erased."""

    @abc.abstractmethod
    def settle_erasures(self, erasures: Sequence[Erasure]) -> None:
        """Note that nothing holds any more what was erased of these scopes, up to these positions.

        Raises `Busy` without waiting when the store is locked.
        """

    @property
    def is_holding(self) -> bool:
        """Whether, after a `Conflict`, others are kept out so that the next append cannot be overtaken again.

        That append, or `release`, lets them in; it is for who appends to see that it comes soon.
        """
        return False

    def release(self) -> None:  # noqa: B027  # nothing is held elsewhere
        """Let others in."""

    def tell(self) -> float | None:
        """Tell other processes what was appended, if that is due, without waiting for anything.

        Returns in how many seconds to come again, `None`: after the next append. It is for who appends, in
        the same thread; what it fails to tell it tries again.
        """
        return None

    def settle(self) -> None:  # noqa: B027  # elsewhere, what has failed has ended
        """Make sure that no append that failed is under way, as one whose connection was lost may be."""

    def expunge(self) -> bool:
        """Have what was erased gone from the files as well, and tell whether it is.

        It is not while somebody reads what was there before.
        """
        return True

    def archived_scope(self, path: Path) -> Path | None:
        """Return the scope in the archive that a scope is or is below, the highest; `None` if none."""
        return None

    def archived_state(self, path: Path) -> bytes | None:
        """Return the final state that was archived for exactly this scope; `None` if there is none."""
        return None

    def lease(self, name: str) -> ChoreLease | None:
        """Return the right to a chore of this name on a server; `None` where locks are files."""
        return None

    def free_bytes(self) -> int:
        """Return how much of the journal's files holds nothing any more; 0 where that is nobody's to know."""
        return 0

    def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off the files, in a short transaction; return how many went.

        0 where there are none, and where files get smaller only by being rewritten. Raises `Busy` without
        waiting when the store is locked.
        """
        return 0

    def rewrite(self) -> int:
        """Write the files anew without what they do not need; return how many bytes went.

        Nobody can write meanwhile. Raises `Busy` without waiting when the store is locked.
        """
        return 0

    def maintain(self) -> None:  # noqa: B027  # most journals need none
        """Do what is better done off the dispatch path; called by the writer between batches."""

    @property
    def wants_maintenance(self) -> bool:
        """Tell whether `maintain` has something to do."""
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """Release what the journal holds; closing twice does nothing."""
