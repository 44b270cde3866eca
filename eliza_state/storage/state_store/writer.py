"""The write-behind of a `StateStore`: what has changed, until a thread has written it."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from eliza_state.errors import StoreError
from eliza_state.storage.disk.saver import Saver
from eliza_state.storage.state_store.sink import Change, StateSink

_logger = logging.getLogger(__name__)
_EXIT_FLUSH_S: Final = 30.0


class StateWriter:
    """Write changes to a sink, all that there are in one go, `flush_interval_ms` after the first of them.

    Of each key only the newest change is held. What could not be written is written with the next changes, or
    after a pause that doubles up to 30 seconds, and `report` is told. The end of the process writes what a
    forgotten `end` has left.
    """

    def __init__(
        self, sink: StateSink, *, flush_interval_ms: float, report: Callable[[StoreError], None]
    ) -> None:
        self._sink = sink
        self._report = report
        self._pending: dict[str, Change] = {}
        self.is_durable = flush_interval_ms == 0
        """Whether whoever changes something should wait until it is written."""
        self._saver: Saver[dict[str, Change]] = Saver(
            snapshot=self._pending.copy,
            save=self._save,
            failed=self._failed,
            interval_ms=flush_interval_ms,
        )
        atexit.register(self._flush_at_exit)

    @property
    def lock(self) -> threading.Lock:
        """Held while something is changed, never while it is written."""
        return self._saver.lock

    @property
    def pending(self) -> int:
        """How many keys have changed since they were last written."""
        return len(self._pending)

    @property
    def is_clean(self) -> bool:
        """Whether everything is written."""
        return self._saver.is_clean

    def check(self, key: str) -> None:
        """Raise `InvalidKey` for a key that the sink cannot hold."""
        self._sink.check_key(key)

    def check_process(self) -> None:
        """Raise `StoreError` in a process that was forked off: the thread is not there to write."""
        self._saver.check_process()

    def changed(self, changes: Mapping[str, Change]) -> None:
        """Note changes; the caller holds the lock."""
        self._pending.update(changes)
        self._saver.changed()

    def _save(self, changes: Mapping[str, Change]) -> None:
        self._sink.write(changes)
        with self.lock:
            for key, change in changes.items():
                if self._pending.get(key) == change:  # set again meanwhile, it may be the same
                    del self._pending[key]

    def _failed(self, error: Exception, in_a_row: int) -> None:
        if in_a_row & (in_a_row - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a disk stays full for hours
            problem = StoreError(
                f"{error} (failure {in_a_row} in a row); kept in memory, written again later"
            )
            problem.__cause__ = error
            self._report(problem)

    def flush(self) -> None:
        """Return when everything is written. Raises `StoreError` if that fails; then nothing is lost."""
        self._saver.request().result()

    def _flush_at_exit(self) -> None:
        if self._saver.is_left_behind:
            return
        try:
            self._saver.request().result(_EXIT_FLUSH_S)
        except (StoreError, TimeoutError) as error:
            _logger.error("what was not yet written to the %s is lost: %s", self._sink.name, error)

    def end(self) -> None:
        """End the thread and close the sink; everything is written by now."""
        atexit.unregister(self._flush_at_exit)
        self._saver.end()
        self._sink.close()
