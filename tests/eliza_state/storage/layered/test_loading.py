from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

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


async def test_when_who_loads_is_cancelled_those_who_joined_load_again() -> None:
    loads, loader = Loads[int](), Loader()
    first = asyncio.create_task(loads.get(["a", "bb"], loader))
    await asyncio.sleep(0)
    others = [asyncio.create_task(loads.get(["bb"], loader)) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    for _ in range(5):  # one of the others begins to load, and the next one joins
        await asyncio.sleep(0)
    loader.gate.set()

    assert await asyncio.gather(*others) == [{"bb": 2}, {"bb": 2}]
    assert loader.asked == [["a", "bb"], ["bb"]]


async def test_when_one_who_joined_is_cancelled_the_others_are_not() -> None:
    loads, loader = Loads[int](), Loader()
    first, joined, other = [asyncio.create_task(loads.get(["a"], loader)) for _ in range(3)]
    await asyncio.sleep(0)
    joined.cancel()
    loader.gate.set()

    assert await asyncio.gather(first, other) == [{"a": 1}, {"a": 1}]
    assert loader.asked == [["a"]]


async def test_who_joins_gets_the_error_as_well() -> None:
    loads, gate = Loads[int](), asyncio.Event()

    async def fail(keys: Sequence[str]) -> Mapping[str, int]:
        await gate.wait()
        raise OSError(keys)

    tasks = [asyncio.create_task(loads.get(["a"], fail)) for _ in range(2)]
    await asyncio.sleep(0)
    gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(error, OSError) for error in errors)


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


async def test_a_load_whose_caller_is_cancelled_leaves_nothing_behind() -> None:
    loads, loader = Loads[int](), Loader()
    task = asyncio.create_task(loads.get(["a"], loader))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await loads.settle()
    loader.gate.set()

    assert await loads.get(["a"], loader) == {"a": 1}


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
