"""The one writer of a SQL storage: what waits at a moment goes into one transaction.

Handing a batch to a thread and back costs about as much as a quick commit. So a small batch is written in
the event loop's own thread while the database is a file whose commits are quick; as soon as they are not,
or somebody else holds the lock, the thread takes over. The writer belongs to no event loop: they may come
one after the other.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from eliza_state.clock import Clock
from eliza_state.errors import Busy, StateError, StoreError
from eliza_state.servers import Lost
from eliza_state.storage.backend import Write, Written
from eliza_state.storage.errors import OutcomeUnknown
from eliza_state.storage.sql.batch import Batch
from eliza_state.storage.sql.commit import Commit, Job
from eliza_state.storage.sql.database import Database, LostInCommit, Session, patiently

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_SMOOTHING: Final = 0.2
_INLINE_BELOW_S: Final = 0.001
_INLINE_KEYS: Final = 64
_KEYS_AT_ONCE: Final = 1_000


class Writer:
    """Write to a database, one transaction after the other, shielded from the callers' cancellation.

    `timeout_s` bounds the wait for a lock that somebody else holds and for a connection. `on_idle` runs
    every `interval_s`, in a transaction of its own, and again at once when it returns true. `on_end` runs
    before the database is closed.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        timeout_s: float,
        on_end: Callable[[], None],
        on_idle: Callable[[Session], bool] | None = None,
        interval_s: float | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._timeout_s = timeout_s
        self._on_end = on_end
        self._on_idle = on_idle
        self._interval_s = interval_s
        self._due = time.monotonic() + (interval_s or 0.0)
        self._recent_s = 0.0
        self._pending: list[Job] = []
        self._flushing: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Condition()
        self._handed: deque[Job] = deque()
        self._is_working = False
        self._ended: concurrent.futures.Future[None] | None = None
        self._thread: threading.Thread | None = None
        if interval_s is not None:
            self._start()

    # In the event loop

    def put(self, writes: Sequence[Write[bytes]]) -> asyncio.Future[list[Written]]:
        """Store entries; otherwise as `write`."""
        return self._submit(Job.of_writes(writes))

    def write(self, keys: Sequence[str], act: Callable[[Batch], T]) -> asyncio.Future[T]:
        """Act on the entries of some keys, together with others who want to, and return what `act` does.

        What is awaited raises `StoreError`; then nothing was stored, except with `OutcomeUnknown`.
        """
        return self._submit(Job(act, keys))

    def alone(self, act: Callable[[Session], T]) -> asyncio.Future[T]:
        """Act in a transaction of one's own, after all that was handed over before."""
        return self._submit(Job(act))

    def _submit(self, job: Job) -> asyncio.Future[Any]:
        if self._ended is not None:
            raise StoreError("the storage is closed; make a new one")
        loop = asyncio.get_running_loop()
        job.future = loop.create_future()
        self._pending.append(job)
        if self._flushing is not loop:  # one that ended before it flushed will not do it any more
            self._flushing = loop
            loop.call_soon(self._flush)
        return job.future

    def _flush(self) -> None:
        self._flushing = None
        jobs, self._pending = self._pending, []
        if not self._may_write_here(jobs) or not self._wrote_here(jobs):
            self._hand(jobs)

    def _may_write_here(self, jobs: Sequence[Job]) -> bool:
        return (
            self._database.is_inline
            and self._recent_s < _INLINE_BELOW_S
            and self._is_idle
            and all(job.keys is not None for job in jobs)
            and sum(len(job.keys or ()) for job in jobs) <= _INLINE_KEYS
        )

    @property
    def _is_idle(self) -> bool:
        with self._wake:
            return not self._handed and not self._is_working

    def _wrote_here(self, jobs: Sequence[Job]) -> bool:
        try:
            outcomes = self._timed(Commit(self._database, jobs, self._clock).once, wait=False)
        except Exception:  # noqa: BLE001  # the thread tries again, with patience, and tells what is wrong
            return False
        futures = (job.future for job in jobs)
        _tell([(future, outcome) for future, outcome in zip(futures, outcomes, strict=True) if future])
        if self._database.wants_maintenance:
            self._hand([Job(lambda _batch: None, ())])
        return True

    def _hand(self, jobs: Sequence[Job]) -> None:
        with self._wake:
            self._handed.extend(jobs)
            self._wake.notify()
        self._start()

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: who forgets to close must be able to end the process.
            self._thread = threading.Thread(target=self._work, name="eliza-storage-writer", daemon=True)
            self._thread.start()

    async def close(self) -> None:
        """Wait until everything handed over is written, end the thread and close the database."""
        if self._ended is None:
            self._ended = concurrent.futures.Future()
            jobs, self._pending = self._pending, []
            self._hand(jobs)
        await asyncio.shield(asyncio.wrap_future(self._ended))
        if self._thread is not None:
            self._thread.join()  # it has said so at its very end

    # In the thread

    def _work(self) -> None:
        while (jobs := self._take()) is not None:
            if jobs:
                outcomes = self._outcomes(jobs)
                self._is_working = False
                _settle(jobs, outcomes)
            if self._database.wants_maintenance:
                self._maintain()
            if self._on_idle is not None and time.monotonic() >= self._due:
                self._idle(self._on_idle)
        assert self._ended is not None
        try:
            self._on_end()
            self._database.close()
        except Exception as error:  # noqa: BLE001  # handed to who closes
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def _take(self) -> list[Job] | None:
        """Wait for jobs that may share a transaction; none when it is time to be idle, `None` at the end."""
        with self._wake:
            while not self._handed:
                if self._ended is not None:
                    return None
                left_s = None if self._on_idle is None else self._due - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return []
                self._wake.wait(left_s)
            self._is_working = True
            jobs = [self._handed.popleft()]
            size = len(jobs[0].keys or ())
            while self._handed and size < _KEYS_AT_ONCE and _may_share(jobs[0], self._handed[0]):
                jobs.append(self._handed.popleft())
                size += len(jobs[-1].keys or ())
            return jobs

    def _outcomes(self, jobs: Sequence[Job]) -> list[Any]:
        """Return what came of each job: what it returned, or a `StoreError`."""
        try:
            if jobs[0].keys is None:
                return [self._alone(jobs[0].act)]
            return self._timed(Commit(self._database, jobs, self._clock).persist, timeout_s=self._timeout_s)
        except (Busy, Lost, OutcomeUnknown) as error:
            return [_same(error) for _ in jobs]
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait are told
            if len(jobs) == 1:
                return [error if isinstance(error, StateError) else _not_written(error)]
        # One of them may be to blame: a value too large for the server, a row that is damaged.
        return [self._outcomes([job])[0] for job in jobs]

    def _alone(self, act: Callable[[Session], T]) -> T:
        def attempt() -> T:
            try:
                with self._database.transaction("write") as session:
                    return act(session)
            except LostInCommit as error:
                raise OutcomeUnknown(f"{error}; it may have been done or not") from error

        return patiently(attempt, timeout_s=self._timeout_s)

    def _timed(self, function: Callable[..., T], **options: Any) -> T:
        started = time.perf_counter()
        try:
            return function(**options)
        finally:
            self._recent_s += _SMOOTHING * (time.perf_counter() - started - self._recent_s)

    def _idle(self, act: Callable[[Session], bool]) -> None:
        is_done = True
        try:
            with self._database.transaction("sweep") as session:
                is_done = not act(session)
        except Busy:  # another process writes: there is no hurry
            pass
        except Exception as error:  # noqa: BLE001  # nobody waits for it, and the thread must go on
            _logger.warning("a SQL storage could not be swept, it is tried again: %s", error)
        if is_done:
            self._due = time.monotonic() + (self._interval_s or 0.0)

    def _maintain(self) -> None:
        try:
            self._database.maintain()
        except Busy:  # another process writes: the next commit brings the next attempt
            pass
        except Exception as error:  # noqa: BLE001  # nobody waits for it, and the thread must go on
            _logger.warning("a SQL storage could not be maintained, it is tried again: %s", error)


def _may_share(first: Job, second: Job) -> bool:
    return first.keys is not None and second.keys is not None


def _same(error: StoreError) -> StoreError:
    """Return an error for one of several callers: each raises its own."""
    copied = type(error)(str(error))
    copied.__cause__ = error.__cause__
    return copied


def _not_written(cause: Exception) -> StoreError:
    error = StoreError(f"cannot write: {cause!r}")
    error.__cause__ = cause
    return error


def _settle(jobs: Sequence[Job], outcomes: Sequence[Any]) -> None:
    told: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = defaultdict(list)
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.future is not None:
            told[job.future.get_loop()].append((job.future, outcome))
    for loop, pairs in told.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, pairs)


def _tell(pairs: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in pairs:
        if future.done():  # its caller was cancelled
            continue
        try:
            if isinstance(outcome, StateError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        except RuntimeError:  # of a loop that was closed before it flushed: nobody waits any more
            continue
