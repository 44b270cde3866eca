"""Things that belong to the event loop they were made in, such as connections."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.define(eq=False)
class _Held(Generic[T]):
    thing: T
    life: AsyncGenerator[None]
    is_closed: bool = False


class PerLoop(Generic[T]):
    """Make one thing for each event loop that asks for it, and close it when its loop ends at the latest.

    `asyncio.run` ends asynchronous generators before it closes its loop, so a generator holds each thing.
    A loop that was closed in another way leaves its thing to the next one, which drops it in silence:
    nobody can wait for anything in a closed loop.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._held: dict[asyncio.AbstractEventLoop, _Held[T]] = {}

    async def get(self) -> T:
        """Return the thing of the running event loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        return (await self._hold(loop) if held is None else held).thing

    async def _hold(self, loop: asyncio.AbstractEventLoop) -> _Held[T]:
        await self._drop_dead()
        held = self._held.get(loop)  # another task may have been faster
        if held is None:
            held = self._held[loop] = _Held(self._make(), _nothing())
            held.life = _life(held, self._close)
            await anext(held.life)
        return held

    async def _drop_dead(self) -> None:
        for loop in [loop for loop in self._held if loop.is_closed()]:
            held = self._held.pop(loop)
            if not held.is_closed:
                with contextlib.suppress(RuntimeError):  # the event loop is closed
                    await held.life.aclose()
                del held
                await asyncio.sleep(0)  # until then the loop holds what was waited for last, and its errors
                _collect_sockets()

    async def close(self) -> None:
        """Close the thing of the running event loop; those of others end with them."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.life.aclose()
        await self._drop_dead()
        self._held.clear()


async def _nothing() -> AsyncGenerator[None]:
    return
    yield


async def _life(held: _Held[T], close: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await close(held.thing)
        held.is_closed = True


def _collect_sockets() -> None:
    """Collect what nothing refers to any more, without the warning that its sockets were left open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
