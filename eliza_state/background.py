"""An open manager in an event loop of its own, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from eliza_state.errors import StateError, StoreError
from eliza_state.manager import StateManager
from eliza_state.opening import Opening

T = TypeVar("T")

_EXIT_FLUSH_S: Final = 30.0


class Portal:
    """An open manager in an event loop that runs in a daemon thread.

    Raises what opening the manager raises. Any thread may call, except the portal's own.
    """

    def __init__(self, opening: Opening[StateManager]) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._ready: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._work, args=(opening,), name="eliza-state-portal", daemon=True
        )
        self._thread.start()
        try:
            concurrent.futures.wait((self._ready, self._ended), return_when="FIRST_COMPLETED")
        except BaseException:
            self._ready.add_done_callback(lambda _: self._stop())
            raise
        if not self._ready.done():
            self._ended.result()
        self.manager: StateManager = self._ready.result()
        atexit.register(self._flush_at_exit)

    def _work(self, opening: Opening[StateManager]) -> None:
        try:
            asyncio.run(self._serve(opening))
        except BaseException as error:  # noqa: BLE001  # raised where the portal is opened or closed
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self, opening: Opening[StateManager]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with opening as manager:
            self._ready.set_result(manager)
            await self._stopping.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the portal's thread and return what it returns, or raise what it raises.

        A caller that is interrupted cancels its wait. Raises `StateError` when the portal is closed, and in
        the portal's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise StateError(
                "a receiver runs in the manager's own thread and cannot wait there; dispatch from another"
                " thread, or subscribe a coroutine function to a StateManager"
            )
        with self._lock:
            if self._closed or not self._thread.is_alive():  # no thread outlives a fork
                coroutine.close()
                raise _closed()
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function in the portal's thread; at once, where this is it."""
        if threading.current_thread() is self._thread:
            return function()

        async def call() -> T:
            return function()

        return self.run(call())

    @property
    def is_closed(self) -> bool:
        """Tell whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close the manager, raising what that raises, and end the thread; twice does nothing."""
        if threading.current_thread() is self._thread:
            raise StateError("a receiver cannot close the manager that is calling it")
        with self._lock:
            if self._closed:
                concurrent.futures.wait((self._ended,))
                return
            self._closed = True
        atexit.unregister(self._flush_at_exit)
        self._stop()
        self._ended.result()
        self._thread.join()

    def _stop(self) -> None:
        if not self._ended.done():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _flush_at_exit(self) -> None:
        """Write what is buffered; the thread ends with the process, which gives up the store."""
        if self._thread.is_alive():
            self.run(asyncio.wait_for(self.manager.flush(), _EXIT_FLUSH_S))


def _closed() -> StateError:
    return StoreError("the manager is closed; open the store anew")
