"""An event loop in a thread of its own, for callers that cannot wait for one of theirs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from eliza_state.errors import StoreError

T = TypeVar("T")


class LoopThread:
    """Run coroutines in an event loop that runs in a daemon thread. Any thread may call, except that one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()

    @property
    def is_alive(self) -> bool:
        """Whether it runs: not closed, and not left behind by a fork, which no thread outlives."""
        return not self._closed and self._thread.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin to run a coroutine and return its future. Raises `StoreError` when the thread has ended."""
        with self._lock:
            if not self.is_alive:
                coroutine.close()
                raise StoreError(f"{self._name} is closed")
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return what it returns, or raise what it raises.

        A caller that is interrupted cancels it. Raises `StoreError` when the thread has ended, or ends
        meanwhile.
        """
        assert threading.current_thread() is not self._thread, "it would wait for itself"
        future = self.submit(coroutine)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise StoreError(f"{self._name} was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread, cancelling what still runs in it; closing twice does nothing."""
        with self._lock:
            is_alive, self._closed = self.is_alive, True
        if is_alive:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
