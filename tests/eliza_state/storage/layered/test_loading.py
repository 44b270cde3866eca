from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from eliza_state.storage.layered.loading import Loads


class Loader:
    """Loads keys when its gate opens, and counts."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(keys))
        await self.gate.wait()
        return {key: len(key) for key in keys if not key.startswith("missing")}


async def test_keys_under_way_are_joined_and_others_loaded() -> None:
    loads, loader = Loads[int](), Loader()
    first = asyncio.create_task(loads.get(["a", "bb"], loader))
    await asyncio.sleep(0)
    second = asyncio.create_task(loads.get(["bb", "ccc", "missing"], loader))
    await asyncio.sleep(0)
    loader.gate.set()

    assert await first == {"a": 1, "bb": 2}
    assert await second == {"bb": 2, "ccc": 3}
    assert loader.asked == [["a", "bb"], ["ccc", "missing"]]


async def test_a_load_is_forgotten_when_it_is_done() -> None:
    loads, loader = Loads[int](), Loader()
    loader.gate.set()
    await loads.get(["a"], loader)
    await loads.get(["a"], loader)

    assert len(loader.asked) == 2


async def test_the_version_that_a_key_has_reached_is_known_while_it_is_watched() -> None:
    loads = Loads[int]()
    loads.reached("a", 9)
    before = loads.floor("a")
    with loads.watching(["a"]):
        with loads.watching(["a", "b"]):
            loads.reached("a", 7)
            loads.reached("a", 5)
        during = loads.floor("a")

    assert (before, during, loads.floor("a")) == (0, 7, 0)


async def test_an_error_that_nobody_waits_for_any_more_is_not_complained_of() -> None:
    loads = Loads[int]()
    gate = asyncio.Event()

    async def fail(keys: Sequence[str]) -> Mapping[str, int]:
        await gate.wait()
        raise OSError(keys)

    task = asyncio.create_task(loads.get(["a"], fail))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    gate.set()
    await loads.settle()
    with pytest.raises(OSError, match="a"):
        await loads.get(["a"], fail)


def test_what_a_stopped_event_loop_was_loading_is_loaded_again() -> None:
    loads, loop = Loads[int](), asyncio.new_event_loop()
    stuck = Loader()
    task = loop.create_task(loads.get(["a"], stuck))
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))

    async def anew() -> dict[str, int]:
        loader = Loader()
        loader.gate.set()
        return await loads.get(["a"], loader)

    assert asyncio.run(anew()) == {"a": 1}
    stuck.gate.set()
    loop.run_until_complete(task)
    loop.close()
