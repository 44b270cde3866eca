"""What a SQL storage asks of a database, whichever it is."""

from __future__ import annotations

import abc
import datetime
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, TypeVar

import attrs
from sqlalchemy import Executable

from eliza_state.errors import Busy
from eliza_state.servers import Lost
from eliza_state.sqlite import Synchronous
from eliza_state.storage.backend import GONE, Entry, Mark
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.sql.batch import Changes, Place, Row
from eliza_state.storage.sql.schema import COLUMNS
from eliza_state.storage.sql.statements import ROLLED, Statements, end_of

T = TypeVar("T")

_PAUSES_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_NUMBER: Final = (int, type(None))


@attrs.frozen(kw_only=True)
class Options:
    """How a database is to be opened; see `SqlStorage` for what they mean."""

    synchronous: Synchronous
    read_only: bool
    readers: int | None
    timeout_ms: int
    sweep_interval_ms: float | None

    def __attrs_post_init__(self) -> None:
        if self.synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous is 'FULL' or 'NORMAL', got {self.synchronous!r}")
        for name in ("timeout_ms", "readers", "sweep_interval_ms"):
            number = getattr(self, name)
            if number is not None and not 0 < number < math.inf:  # false for NaN too
                raise ValueError(f"{name} is a number above 0, got {number!r}")
        if self.read_only and self.sweep_interval_ms is not None:
            raise ValueError("a storage that is read only cannot be swept; leave sweep_interval_ms out")

    @property
    def timeout_s(self) -> float:
        """How long something that is in the way is waited out, in seconds."""
        return self.timeout_ms / 1_000


class Number(NamedTuple):
    """What a server calls a transaction, and when it began by the server's clock."""

    number: int
    began: datetime.datetime


class LostInCommit(Lost):
    """The connection was lost while a commit was under way: it may have been done or not."""


class Session(abc.ABC):
    """A transaction under way: the statements that change a table, inside it."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        """The statements for the table and the dialect."""
        self.number: Number | None = None
        """What the database calls this transaction, where it has told."""

    @abc.abstractmethod
    def fetch(self, statement: Executable, parameters: dict[str, Any]) -> Iterable[Sequence[Any]]:
        """Run a query and return its rows."""

    @abc.abstractmethod
    def run(self, statement: Executable, parameters: dict[str, Any]) -> None:
        """Run a statement that returns nothing."""

    @abc.abstractmethod
    def lock(self, keys: Iterable[str]) -> dict[str, Mark]:
        """Return the marks of those keys that have a row, and keep others from changing these rows."""

    @abc.abstractmethod
    def change(self, statement: Executable, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Run `insert`, `update` or `roll` for rows of these columns."""

    @abc.abstractmethod
    def delete(self, places: Sequence[Place]) -> None:
        """Delete rows."""

    def apply(self, changes: Changes) -> None:
        """Make changes to rows that are locked, and new ones. Raises `Busy` where others made them first."""
        statements = self.statements
        if changes.gone:
            self.delete(changes.gone)
        if changes.new:
            self.change(statements.insert, COLUMNS, changes.new)
        if changes.changed:
            self.change(statements.update, COLUMNS, changes.changed)
        if changes.rolled:
            self.change(statements.roll, ROLLED, changes.rolled)

    def was_committed(self, number: Number | None) -> bool | None:
        """Tell whether an earlier transaction was committed, by its number; `None`: nobody knows.

        Raises `Busy` while it is under way.
        """
        if number is None or self.statements.outcome is None:
            return None
        ((outcome,),) = self.fetch(self.statements.outcome, number._asdict())
        if outcome == "in progress":
            raise Busy("cannot tell yet what becomes of a write whose connection was lost")
        return None if outcome is None else outcome == "committed"

    def clear(self, space: str) -> None:
        """Delete the rows of a namespace and of those below it; the empty text: all."""
        self.run(self.statements.clear, {"first": space, "end": end_of(space)})

    def sweep(self, now_ms: int, *, limit: int) -> list[str]:
        """Delete rows past their deadline that nobody else is changing; return their keys."""
        rows = self.fetch(self.statements.sweepable, {"now_ms": now_ms, "limit": limit})
        places = [(space, name) for space, name in rows]
        self.delete(places)
        return [space + name for space, name in places]


class Database(abc.ABC):
    """A table in a database, to be read from any thread and written in transactions, one at a time."""

    is_inline: bool = False
    """Whether reading waits for nothing but the disk, and may be done in the event loop's thread."""
    is_durable: bool = True
    """Whether what is committed survives the process."""
    wants_maintenance: bool = False
    """Whether `maintain` should be called soon."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        """The statements for the table and the dialect."""

    def at_hand(self, key: str) -> Entry[bytes] | None:
        """Return the entry of what may be a key where reading is inline; `None` says nothing: ask `read`."""
        return None

    @abc.abstractmethod
    def read(self, keys: Sequence[str]) -> dict[str, Entry[bytes]]:
        """Return the entries of those keys that have a row."""

    @abc.abstractmethod
    def look(self, keys: Sequence[str]) -> dict[str, Mark]:
        """Return the marks of those keys that have a row."""

    @abc.abstractmethod
    def fetch(self, statement: Executable, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """Return what a query finds."""

    @abc.abstractmethod
    def transaction(self, purpose: str, *, wait: bool = True) -> AbstractContextManager[Session]:
        """Begin a transaction, and commit it in the end unless there was an error.

        Raises `Busy` where somebody else is in the way, with `wait=False` at once; `Lost` where there is no
        connection; `LostInCommit` where it was lost while the commit was under way.
        """

    @abc.abstractmethod
    def overwrite(self, rows: Sequence[Row], *, wait: bool = True) -> dict[str, int] | None:
        """Store rows of different keys over what is there, without reading it; return their versions.

        A row that is there gets a version above its own, and at least that of the row that is given. `None`
        where this cannot be done so: then nothing was stored. Only for `statements` with an `overwrite`.
        Raises what `transaction` raises.
        """

    def maintain(self) -> None:  # noqa: B027  # only files need it
        """Do what the database needs from time to time, between transactions. Raises what they raise."""

    def expunge(self) -> bool:
        """Have what was deleted gone from the database's files, and tell whether it is.

        Servers see to that themselves, in their own time.
        """
        return True

    def free_bytes(self) -> int:
        """Return how much of the database's own files holds nothing any more; 0 for a server's."""
        return 0

    def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off its own files, in a transaction; return how many went.

        Raises `Busy` where somebody else is in the way.
        """
        return 0

    @abc.abstractmethod
    def close(self) -> None:
        """Give the connections back or close them, as they came."""


def entry_of(key: str, value: Any, version: Any, deadline_ms: Any, ttl_ms: Any) -> Entry[bytes]:
    """Return the entry of a row's columns. Raises `DamagedValue` for those of other types."""
    if (
        type(value) is bytes
        and type(version) is int
        and type(deadline_ms) in _NUMBER
        and type(ttl_ms) in _NUMBER
    ):
        return Entry(value, version, deadline_ms, ttl_ms)  # as nearly all are
    if value is not None and type(value) is not bytes:
        raise DamagedValue(key, f"its column holds {type(value).__name__}, not bytes")
    mark = mark_of(key, version, deadline_ms, ttl_ms, value is None)
    return Entry(GONE if value is None else value, mark.version, mark.deadline_ms, mark.ttl_ms)


def mark_of(key: str, version: Any, deadline_ms: Any, ttl_ms: Any, is_gone: Any) -> Mark:
    """Return the mark of a row's columns. Raises `DamagedValue` for those of other types."""
    if type(version) is int and type(deadline_ms) in _NUMBER and type(ttl_ms) in _NUMBER:
        return Mark(version, deadline_ms, ttl_ms, bool(is_gone))
    raise DamagedValue(key, "its version, deadline or time to live is no whole number")


def patiently(attempt: Callable[[], T], *, timeout_s: float, since_s: float | None = None) -> T:
    """Repeat what raises `Busy` or `Lost` until it succeeds or the time is up; then raise the last one.

    The time begins now, or began at `since_s` by `time.monotonic`; there is one attempt at least.
    """
    deadline = (time.monotonic() if since_s is None else since_s) + timeout_s
    tries = 0
    while True:
        try:
            return attempt()
        except (Busy, Lost) as error:
            pause_s = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)]
            if time.monotonic() + pause_s > deadline:
                raise type(error)(f"{error}; given up after {timeout_s:g} s") from error
            time.sleep(pause_s)
            tries += 1
