"""The one writer of a journal: a thread, and a short cut past it when nobody else waits.

Handing a batch to a thread and back costs about as much as the flush itself. So a batch of one dispatch is
written in the event loop's own thread while the disk answers quickly; as soon as it does not, or somebody
else holds the lock, the thread takes over.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from eliza_state.errors import Busy, StoreError
from eliza_state.journal.contract import Appended, Conflict, Draft, InArchive, Journal, Unclear
from eliza_state.path import Path

T = TypeVar("T")

Outcome: TypeAlias = Appended | Conflict | InArchive | StoreError
"""What came of a batch: stored, overtaken by others, for what is in the archive, or not stored at all."""

_logger = logging.getLogger(__name__)
_SMOOTHING: Final = 0.2
# What was overtaken is reduced anew and comes back within some milliseconds, if it comes.
_HOLD_S: Final = 0.1
_RETRY_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


class Writer:
    """Append batches to a journal, one after the other, shielded from the callers' cancellation.

    `inline_below_ms` is how quick the last commits must have been for a lone dispatch to be written without
    the thread (0: never). `busy_timeout_ms` bounds the wait for a lock that another process holds.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        loop: asyncio.AbstractEventLoop,
        inline_below_ms: float = 1.0,
        busy_timeout_ms: int = 5_000,
    ) -> None:
        self._journal = journal
        self._loop = loop
        self._inline_below_s = inline_below_ms / 1_000
        self._busy_timeout_s = busy_timeout_ms / 1_000
        self._recent_s = 0.0
        # A server that says nothing must not keep the event loop waiting.
        self._is_inline = journal.is_local
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = (
            queue.SimpleQueue()
        )
        self._waiting = 0
        self._maintaining = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="eliza-state-writer", daemon=True)
        self._thread.start()

    def append(
        self, drafts: Sequence[Draft], *, after: int, done: Callable[[Outcome], None], alone: bool
    ) -> None:
        """Store a batch and call `done` with the outcome, in the event loop: at once or later.

        `alone` says that no other dispatch waits for this one to get out of the way.
        """
        if alone and self._is_inline and self._is_idle and self._recent_s < self._inline_below_s:
            outcome = self._append(drafts, after)
            if not isinstance(outcome, Busy):
                if self._journal.wants_maintenance:
                    self._put(lambda: None, lambda _nothing: None)
                done(outcome)
                return
        self._put(lambda: self._append_patiently(drafts, after), done)

    async def run(self, work: Callable[[], T]) -> T:
        """Do other work that writes, in the thread; return what it returns, or raise its error.

        A lock that another process holds is waited for. A caller that is cancelled leaves the work to be
        done.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(partial(self._patiently, partial(_attempted, work)), partial(_settle, future))
        return await future

    @property
    def _is_idle(self) -> bool:
        """Tell whether the thread leaves the journal alone: an append would not have to wait for it."""
        return not self._waiting and not self._maintaining

    def _put(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        if self._closed:
            raise StoreError("the writer of the journal is closed; nothing can be stored any more")
        self._waiting += 1

        def finished(outcome: Any) -> None:
            self._waiting -= 1
            done(outcome)

        self._jobs.put((job, finished))

    def _work(self) -> None:
        while (entry := self._next()) is not None:
            job, done = entry
            outcome = job()
            # Said before the outcome is: the event loop must not come in here while a checkpoint runs.
            self._maintaining = self._journal.wants_maintenance
            try:
                self._loop.call_soon_threadsafe(done, outcome)
            except RuntimeError:
                _logger.error("the event loop was closed before the manager; what was written is safe")
                return
            if self._maintaining:
                self._maintain()
                self._maintaining = False

    def _next(self) -> tuple[Callable[[], Any], Callable[[Any], None]] | None:
        """Wait for a job; meanwhile others are told of the last ones, and not locked out for long."""
        held_until = time.monotonic() + _HOLD_S
        while True:
            wait_s = self._journal.tell()
            if self._journal.is_holding:
                hold_s = max(held_until - time.monotonic(), 0)
                wait_s = hold_s if wait_s is None else min(hold_s, wait_s)
            try:
                return self._jobs.get(timeout=wait_s)
            except queue.Empty:
                if self._journal.is_holding and time.monotonic() >= held_until:
                    self._journal.release()

    def _maintain(self) -> None:
        try:
            self._journal.maintain()
        except StoreError as error:
            _logger.warning("journal maintenance failed, it is tried again later: %s", error)

    def _append(self, drafts: Sequence[Draft], after: int) -> Outcome:
        started = time.perf_counter()
        try:
            outcome: Outcome = self._journal.append(drafts, after=after)
        except (Busy, Conflict, InArchive) as answer:
            return answer
        except StoreError as error:
            outcome = self._look_up(drafts, after, error)
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait for the batch are told
            outcome = self._look_up(drafts, after, _not_stored(error))
        self._recent_s += _SMOOTHING * (time.perf_counter() - started - self._recent_s)
        return outcome

    def _append_patiently(self, drafts: Sequence[Draft], after: int) -> Outcome:
        outcome: Outcome = self._patiently(partial(self._append, drafts, after))
        return outcome

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Return the outcome of work, done again while another process holds the lock."""
        deadline = time.monotonic() + self._busy_timeout_s
        for attempt in range(1_000_000):
            outcome = work()
            if not isinstance(outcome, Busy):
                return outcome
            if time.monotonic() > deadline:
                return StoreError(f"{outcome}, for longer than {self._busy_timeout_s:g} s; try again later")
            time.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
        raise AssertionError("the deadline ends the retries")

    def _look_up(self, drafts: Sequence[Draft], after: int, error: StoreError) -> Outcome:
        """Find out whether a batch whose append failed is stored after all: all of it is, or nothing."""
        look = partial(self._found, drafts, after)
        found = self._patiently(look) if isinstance(error, Unclear) else look()
        if isinstance(found, Appended):
            return found
        if found is not None and isinstance(error, Unclear):
            return StoreError(f"{error}; it may be stored or not, which could not be looked up: {found}")
        return error

    def _found(self, drafts: Sequence[Draft], after: int) -> Appended | Busy | None:
        """Return where a batch is stored, `None` if it is not, `Busy` where that cannot be found out now."""
        try:
            self._journal.settle()
            first = self._journal.find(drafts[0].path, drafts[0].key)
            if first is None or first.position <= after or first.writer != self._journal.writer:
                return None
            missed = list(self._journal.read(Path(), after=after, until=first.position - 1))
        except StoreError as error:
            return Busy(str(error))
        return Appended(first.position, first.recorded_at_us, missed)

    async def close(self) -> None:
        """Wait until everything handed over is written, and end the thread."""
        self._closed = True
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)


def _attempted(work: Callable[[], T]) -> T | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # it is raised to who waits
        return error


def _settle(future: asyncio.Future[T], outcome: T | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _not_stored(cause: Exception) -> StoreError:
    error = StoreError(f"cannot append: {cause!r}")
    error.__cause__ = cause
    return error
