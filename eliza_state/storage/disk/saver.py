"""A thread that saves what has changed, a while later: once for many changes, again after a failure."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from eliza_state.errors import StoreError

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 30.0
_DOUBLINGS: Final = 10


class Saver(Generic[T]):
    """Save what somebody changes under `lock`, in a daemon thread, at most `interval_ms` later.

    `snapshot` is called with the lock held and returns what `save` then writes without it, one save at a
    time. `failed` is told of each exception that `save` raises, with their number in a row; the next attempt
    comes by itself after a pause that doubles up to 30 seconds, or with the next request.
    """

    def __init__(
        self,
        *,
        snapshot: Callable[[], T],
        save: Callable[[T], None],
        failed: Callable[[Exception, int], None],
        interval_ms: float,
    ) -> None:
        self.lock = threading.Lock()
        """Held while something is changed, never while it is saved."""
        self._wake = threading.Condition(self.lock)
        self._snapshot = snapshot
        self._save = save
        self._failed = failed
        self._interval_s = interval_ms / 1_000
        self._revision = 0
        self._saved = 0
        self._failures = 0
        self.due_s: float | None = None
        """When it saves by itself, by the monotonic clock; `None` where nothing has changed."""
        self._waiting: list[Future[None]] = []
        self._ended = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._work, name="eliza-state-saver", daemon=True)
        self._thread.start()

    @property
    def is_clean(self) -> bool:
        """Whether all changes are saved."""
        return self._saved == self._revision

    def check_process(self) -> None:
        """Raise `StoreError` in a process that was forked off: its thread is not there to save."""
        if self.is_left_behind:
            raise StoreError("the storage was opened before this process was forked; open one after it")

    @property
    def is_left_behind(self) -> bool:
        """Whether the thread stayed in the process that this one was forked off."""
        return os.getpid() != self._process

    def changed(self) -> None:
        """Note a change; the caller holds the lock."""
        self._revision += 1
        if self.due_s is None:
            self.due_s = time.monotonic() + self._interval_s
            self._wake.notify()

    def request(self) -> Future[None]:
        """Save now; the future is done when all changes until now are saved, or has what `save` raised."""
        self.check_process()
        future: Future[None] = Future()
        with self.lock:
            if self.is_clean:
                future.set_result(None)
            else:
                self._waiting.append(future)
                self._wake.notify()
        return future

    def end(self) -> None:
        """End the thread; what is not saved stays so. Twice does nothing."""
        with self.lock:
            self._ended = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._wait():
            self._save_changes()

    def _wait(self) -> bool:
        with self.lock:
            while not self._waiting and not self._ended:
                pause_s = None if self.due_s is None else self.due_s - time.monotonic()
                if pause_s is not None and pause_s <= 0:
                    return True
                self._wake.wait(pause_s)
            return bool(self._waiting)

    def _save_changes(self) -> None:
        with self.lock:
            waiting, self._waiting = self._waiting, []
            is_clean = self.is_clean
            self.due_s = None
        error = None if is_clean else self._attempt()
        for future in waiting:
            _settle(future, error)

    def _attempt(self) -> Exception | None:
        try:
            with self.lock:
                revision = self._revision
                taken = self._snapshot()
            self._save(taken)
        except Exception as error:  # noqa: BLE001  # whatever it is: those who wait are told, it is tried again
            self._failures += 1
            with self.lock:
                self.due_s = time.monotonic() + self._pause_s()
            self._failed(error, self._failures)
            return error
        self._failures = 0
        with self.lock:
            self._saved = revision
        return None

    def _pause_s(self) -> float:
        first_s = max(self._interval_s, _FIRST_PAUSE_S)
        return max(first_s, min(_LONGEST_PAUSE_S, first_s * 2.0 ** min(self._failures - 1, _DOUBLINGS)))


def _settle(future: Future[None], error: Exception | None) -> None:
    if not future.set_running_or_notify_cancel():
        return  # nobody waits any more
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
