"""What a SQL journal asks of a database, whichever it is."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection

from eliza_state.errors import StoreError
from eliza_state.journal.contract import ChoreLease

ROW: Final = (
    "record.position, record.key, record.path, record.version, record.event_type, record.payload,"
    " record.recorded_at_us, record.writer, record.cause, record.checksum"
)
"""The columns of a record, in the order in which `Row` has them."""

Row: TypeAlias = tuple[Any, ...]
"""A record as the table `record` holds it."""

Below: TypeAlias = Sequence[tuple[int, int]]
"""Rows of the table `below`: a scope's integer and the position of a record below it."""


class Found(NamedTuple):
    """Where a transaction begins: the last record's position and time, and who was written to by then.

    `reached` tells how many of the table's records after a position are addressed to which paths, by their
    integers. `generation` counts the changes of the archive.
    """

    head: int
    last_us: int
    reached: Mapping[int, int] = MappingProxyType({})
    generation: int = 0


class Taken(StoreError):
    """A record has the version, or the id, of one that is there."""


class Database(abc.ABC):
    """A database with the tables of one journal: one connection that writes, a few that read.

    One thread writes at a time. Statements are plain text, in which `?` stands for a parameter. All of
    it raises `StoreError` where that cannot be done, `Busy` where somebody else is in the way.
    """

    is_local: bool
    """Whether reading waits for nothing but the disk, and may be done in the event loop's thread."""

    def __init__(self) -> None:
        self._lent = threading.local()

    @contextlib.contextmanager
    def reading(self, purpose: str) -> Generator[Connection]:
        """Lend a connection to read with; each statement reads what is committed when it begins."""
        kept: Connection | None = getattr(self._lent, "connection", None)
        with self._read_errors(purpose):
            if kept is not None:
                yield kept
                return
            with self._reader(purpose) as connection:
                yield connection

    @contextlib.contextmanager
    def keeping(self, purpose: str) -> Generator[None]:
        """Lend this thread one connection for all that it reads in the block, instead of one each time."""
        with self.reading(purpose) as connection:
            before = getattr(self._lent, "connection", None)
            self._lent.connection = connection
            try:
                yield
            finally:
                self._lent.connection = before

    @abc.abstractmethod
    def _reader(self, purpose: str) -> AbstractContextManager[Connection]:
        """Take a connection to read with; leaving the block gives it back."""

    @abc.abstractmethod
    def _read_errors(self, purpose: str) -> AbstractContextManager[None]:
        """Turn what is raised in the block by SQLAlchemy and the driver into `StoreError`."""

    @abc.abstractmethod
    def writing(self, purpose: str) -> AbstractContextManager[Connection]:
        """Begin a transaction that keeps other writers out; commit it in the end if there was no error."""

    @abc.abstractmethod
    def appending(
        self, purpose: str, *, after: int | None = None
    ) -> AbstractContextManager[tuple[Connection, Found]]:
        """Do what `writing` does, and tell where the transaction begins; `reached` where `after` is given."""

    @abc.abstractmethod
    def store(self, connection: Connection, rows: Sequence[Row], below: Below) -> None:
        """Insert records and what finds them from above. Raises `Taken`."""

    @abc.abstractmethod
    def store_last(
        self, connection: Connection, rows: Sequence[Row], below: Below, *, after: int
    ) -> Sequence[Row]:
        """Do what `store` does as the last thing of the transaction, which it may commit.

        Returns the records between a position and those stored, as far as the table has them.
        """

    def prepare(self, connection: Connection) -> None:  # noqa: B027  # a file needs nothing
        """Make what must be there before the tables are."""

    def store_at_once(self, rows: Sequence[Row], below: Below, *, generation: int) -> bool:
        """Insert records in a transaction of their own, and tell whether that was possible.

        It is not where others have written since the position before theirs, or the archive is of another
        generation: then nothing was stored.
        """
        return False

    def tell(self) -> float | None:
        """Tell others what was appended; see `Journal.tell`."""
        return None

    @property
    def is_holding(self) -> bool:
        """Whether a transaction that ended in `Conflict` keeps others out until the next, or `release`."""
        return False

    def release(self) -> None:  # noqa: B027  # nothing is held elsewhere
        """Let others in."""

    def settle(self) -> None:  # noqa: B027  # in a file, what has failed has ended
        """Make sure that no transaction of ours is under way, as one that lost its connection may be."""

    def wrote(self, size_bytes: int) -> None:  # noqa: B027  # as `maintain`
        """Note that a transaction of others has changed so much of the files, about."""

    def maintain(self) -> None:  # noqa: B027  # servers do so themselves
        """Do what is better done between transactions."""

    @property
    def wants_maintenance(self) -> bool:
        """Whether `maintain` has something to do."""
        return False

    def expunge(self) -> bool:
        """Have what was erased gone from the files as well, and tell whether it is."""
        return True

    def lease(self, name: str) -> ChoreLease | None:
        """Return the right to a chore of this name; `None` where it is had by the lock of a file."""
        return None

    def free_bytes(self) -> int:
        """Return how much of the database's files holds nothing any more; 0 for a server's."""
        return 0

    def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off the files, in a short transaction; return how many went."""
        return 0

    def rewrite(self) -> int:
        """Write the files anew without what they do not need; return how many bytes went."""
        return 0

    @abc.abstractmethod
    def close(self) -> None:
        """Release the connections; closing twice does nothing."""
