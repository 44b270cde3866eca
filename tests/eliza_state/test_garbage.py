"""What is done leaves nothing to the garbage collector: old states go at once, and no walk looks for them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eliza_state.dispatcher import Dispatch
from eliza_state.manager import StateManager
from tests.eliza_state.chat import OTHER, TALK, Said, TalkModule

HELLO = Said(user="ada", text="hello")


@asynccontextmanager
async def collected() -> AsyncGenerator[list[Any]]:
    """Gather the objects of the framework and its modules that a collection finds after the block."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = (type(each) for each in gc.garbage)
        found += [kind for kind in kinds if kind.__module__.startswith(("eliza_state", "tests"))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def alone(manager: StateManager) -> None:
    await manager.dispatch(HELLO, to=TALK)


async def at_once(manager: StateManager) -> None:
    await asyncio.gather(*(manager.dispatch(HELLO, to=path) for path in (TALK, OTHER, TALK)))


async def as_one(manager: StateManager) -> None:
    await manager.dispatch_all([Dispatch(HELLO, TALK), Dispatch(HELLO, OTHER)])


async def decided(manager: StateManager) -> None:
    await manager.at(TALK).execute(lambda _: [HELLO])


async def read(manager: StateManager) -> None:
    await manager.at(TALK).state(TalkModule)


@pytest.mark.parametrize("act", [alone, at_once, as_one, decided, read])
async def test_there_is_nothing_to_collect(
    manager: StateManager, act: Callable[[StateManager], Awaitable[None]]
) -> None:
    await act(manager)
    await act(manager)
    async with collected() as found:
        for _ in range(5):
            await act(manager)

    assert [] == found
