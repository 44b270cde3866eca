"""How a batch of a SQL storage gets into the database once, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.backend import Mark, Write, Written
from eliza_state.storage.errors import OutcomeUnknown
from eliza_state.storage.sql.batch import Batch, Overwriting
from eliza_state.storage.sql.database import Database, LostInCommit, Number, Session, patiently


@attrs.define(eq=False)
class Job:
    """What a caller wants: to act on the entries of some keys, or alone on a transaction (`keys` `None`).

    Where that is to store entries and nothing else, `writes` are these. The outcome goes to `future`.
    """

    act: Callable[[Any], Any]
    keys: Sequence[str] | None = None
    writes: Sequence[Write[bytes]] | None = None
    future: asyncio.Future[Any] | None = None

    @classmethod
    def of_writes(cls, writes: Sequence[Write[bytes]]) -> Job:
        """Return the job to store entries."""

        def act(batch: Batch) -> list[Written]:
            return [batch.put(write) for write in writes]

        return cls(act, [write.key for write in writes], writes)


class Commit:
    """Bring jobs into a database in one transaction, and do it once though the connection may be lost."""

    def __init__(self, database: Database, jobs: Sequence[Job], clock: Clock) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._keys = {key for job in jobs for key in job.keys or ()}
        self._overwrites = database.statements.overwrite is not None and self._are_unconditional()
        self._batch: Batch | Overwriting = Batch({}, now_us=0)
        self._outcomes: list[Any] = []
        self._number: Number | None = None
        self._is_doubtful = False

    def _are_unconditional(self) -> bool:
        """Tell whether all jobs store entries, each under a key of its own, whatever is there."""
        keys = sum(len(job.keys or ()) for job in self._jobs)
        return keys == len(self._keys) and all(
            job.writes is not None
            and all(write.expected is None and write.version is None for write in job.writes)
            for job in self._jobs
        )

    def once(self, *, wait: bool = True) -> list[Any]:
        """Return what the jobs return. Raises what the database raises."""
        if not self._keys:
            return [job.act(self._batch) for job in self._jobs]
        if self._overwrites and not self._is_doubtful and self._overwrite(wait=wait):
            return self._outcomes
        with self._database.transaction("write", wait=wait) as session:
            found = session.lock(self._keys)
            if self._is_doubtful and self._was_stored(session, found):
                return self._outcomes
            self._is_doubtful = False
            self._batch = batch = Batch(found, now_us=self._clock())
            self._outcomes = [job.act(batch) for job in self._jobs]
            session.apply(batch.changes())
            self._number = session.number
        return self._outcomes

    def _overwrite(self, *, wait: bool) -> bool:
        """Store all entries without a look at what is there, and tell whether that was possible."""
        writes = [write for job in self._jobs for write in job.writes or ()]
        self._batch = batch = Overwriting(writes, now_us=self._clock())
        self._number = None
        try:
            versions = self._database.overwrite(batch.rows(), wait=wait)
        except LostInCommit:
            # Which ones were higher nobody tells any more. Under a lower one, nobody replaces what they did
            # not see: the next write that expects it is refused.
            self._outcomes = self._stored_under(dict.fromkeys(self._keys, batch.version))
            raise
        if versions is not None:
            self._outcomes = self._stored_under(versions)
        return versions is not None

    def _stored_under(self, versions: Mapping[str, int]) -> list[list[Written]]:
        return [
            [Written(versions[write.key], is_stored=True) for write in job.writes or ()] for job in self._jobs
        ]

    def _was_stored(self, session: Session, found: Mapping[str, Mark]) -> bool:
        stored = session.was_committed(self._number)
        if stored is None:
            stored = self._batch.was_stored(found)
        if stored is None:
            raise OutcomeUnknown(
                "the connection was lost while a write was committed, and nobody can tell whether it was:"
                " others may have written its keys since, or removed them"
            )
        return stored

    def persist(self, *, timeout_s: float) -> list[Any]:
        """Do it with patience; after a lost connection, look first whether it is done."""
        try:
            return patiently(self._attempt, timeout_s=timeout_s)
        except StoreError as error:
            if self._is_doubtful and not isinstance(error, OutcomeUnknown):
                raise OutcomeUnknown(f"{error}; it may have been done or not") from error
            raise

    def _attempt(self) -> list[Any]:
        try:
            return self.once()
        except LostInCommit:
            self._is_doubtful = True
            raise
