"""What a plugin can do with its state, over each kind of database."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret, SerializationError
from eliza_state.collections import Log
from eliza_state.plugins import Plugins, PluginState
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import InvalidKey
from eliza_state.testing import ManualClock
from tests.forking.process import start_program

PATIENCE_S = 60
VALUES: list[Any] = [
    None, 0, False, "", {}, [], 7, 1.5, "text", {"a": [1, {"b": None}]}, (1, (2,)), {1: 2}, {3, 4}, Log([1]),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_a_value_comes_back_as_it_was_set(trader: PluginState, value: Any):
    await trader.set("key", value)
    found = await trader.get("key", "missing")

    assert (type(value), value) == (type(found), found)
    assert value == await trader.get_or_default("key", "missing")
    assert await trader.has("key")


async def test_a_key_that_was_never_set_is_missing(trader: PluginState):
    assert await trader.get("key") is None
    assert "none" == await trader.get("key", "none") == await trader.get_or_default("key", "none")
    assert not await trader.has("key")
    assert [] == await trader.keys()


async def test_deleting_is_idempotent_and_tells(trader: PluginState):
    await trader.set("key", 1)

    assert [True, False] == [await trader.delete("key") for _ in range(2)]
    assert not await trader.has("key")


async def test_a_value_with_a_time_to_live_goes_with_it(trader: PluginState, clock: ManualClock):
    await trader.set_with_ttl("cooldown", 7, 1_000)
    clock.advance(ms=999)

    assert 7 == await trader.get("cooldown")
    clock.advance(ms=1)
    assert await trader.get("cooldown") is None
    assert not await trader.has("cooldown")
    assert [] == await trader.keys()


async def test_setting_without_a_time_to_live_clears_the_old_one(trader: PluginState, clock: ManualClock):
    await trader.set_with_ttl("key", 1, 1_000)
    await trader.set("key", 2)
    clock.advance(ms=5_000)

    assert 2 == await trader.get("key")


@pytest.mark.parametrize("ttl_ms", [0, -1, math.nan, math.inf, -math.inf, 1e30])
async def test_a_time_to_live_that_is_none_is_refused(trader: PluginState, ttl_ms: float):
    with pytest.raises(ValueError, match="time to live"):
        await trader.set_with_ttl("key", 1, ttl_ms)

    assert not await trader.has("key")


@pytest.mark.parametrize("ttl_ms", [None, True, "1000"])
async def test_a_time_to_live_that_is_no_number_is_refused(trader: PluginState, ttl_ms: Any):
    with pytest.raises(TypeError, match="time to live"):
        await trader.set_with_ttl("key", 1, ttl_ms)


async def test_keys_are_listed_in_order_and_by_prefix(trader: PluginState):
    for key in ("b", "a/2", "a/1", "ab", "a%", "ä"):
        await trader.set(key, None)

    assert ["a%", "a/1", "a/2", "ab", "b", "ä"] == await trader.keys()
    assert ["a/1", "a/2"] == await trader.keys(prefix="a/")


async def test_a_text_enumeration_is_its_text(trader: PluginState):
    class Key(StrEnum):
        LAST = "last"

    await trader.set(Key.LAST, 1)

    assert ["last"] == await trader.keys()
    assert 1 == await trader.get("last") == await trader.get(Key.LAST)


@pytest.mark.parametrize("key", ["", None, 7, b"key", "x" * 513, "\ud800", "ä" * 257], ids=repr)
@pytest.mark.parametrize("use", ["get", "has", "delete", "set", "set_with_ttl", "update", "get_or_default"])
async def test_a_bad_key_is_refused_with_the_plugins_name(use: str, key: Any):
    more: dict[str, tuple[Any, ...]] = {
        "set": (1,),
        "set_with_ttl": (1, 1_000),
        "update": (str,),
        "get_or_default": (1,),
    }
    async with Plugins.in_database() as plugins:
        with pytest.raises(InvalidKey, match="plugin 'trader': a key"):
            await getattr(plugins["trader"], use)(key, *more.get(use, ()))


@pytest.mark.parametrize("prefix", ["x" * 513, "\ud800", 7])
async def test_a_bad_prefix_is_refused_with_the_plugins_name(trader: PluginState, prefix: Any):
    with pytest.raises(InvalidKey, match="plugin 'trader'"):
        await trader.keys(prefix=prefix)
    with pytest.raises(InvalidKey, match="plugin 'trader'"):
        trader.share(prefix)


async def test_a_value_that_cannot_be_written_is_refused(trader: PluginState):
    await trader.set("key", 1)
    with pytest.raises(SerializationError):
        await trader.set("key", {"lock": object()})
    with pytest.raises(TypeError, match="delete"):
        await trader.set("key", GONE)

    assert 1 == await trader.get("key")


async def test_a_secret_stays_one(trader: PluginState):
    await trader.set("api", {"token": Secret("s3cret")})
    found = await trader.get("api")

    assert {"token": Secret("s3cret")} == found
    assert "{'token': [SECRET]}" == repr(found)


# Updates


async def test_an_update_makes_a_value_of_the_one_there(trader: PluginState):
    assert 1 == await trader.update("count", lambda count: count + 1, default=0)
    assert 2 == await trader.update("count", lambda count: count + 1)
    assert 2 == await trader.get("count")


async def test_an_update_keeps_the_deadline(trader: PluginState, clock: ManualClock):
    await trader.set_with_ttl("count", 1, 1_000)
    await trader.update("count", lambda count: count + 1)
    clock.advance(ms=1_000)

    assert not await trader.has("count")


async def test_an_update_may_delete(trader: PluginState):
    await trader.set("count", 1)

    assert await trader.update("count", lambda _: GONE) is None
    assert not await trader.has("count")


async def test_an_update_that_raises_changes_nothing(trader: PluginState):
    await trader.set("count", 1)
    with pytest.raises(ZeroDivisionError):
        await trader.update("count", lambda count: count / 0)

    assert 1 == await trader.get("count")


@pytest.mark.parametrize("heard", [False, True])
async def test_no_update_is_lost_between_tasks(trader: PluginState, heard: bool):
    told: list[Any] = []
    if heard:
        trader.listen(lambda change: told.append(change.after))
    await asyncio.gather(
        *(trader.update("count", lambda count: count + 1, default=0) for _ in range(50)),
    )

    assert 50 == await trader.get("count")
    assert told == (list(range(1, 51)) if heard else [])


COUNT = """
import asyncio, sys
from eliza_state.plugins import Plugins

async def main():
    async with Plugins.in_database(sys.argv[1]) as plugins:
        state = plugins["trader"]
        if sys.argv[2] == "heard":
            state.listen(lambda change: None)
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(50):
            await state.update("count", lambda count: count + 1, default=0)

asyncio.run(main())
"""


@pytest.mark.parametrize("heard", ["unheard", "heard"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_update_is_lost_between_processes(
    kind: str, heard: str, request: pytest.FixtureRequest, tmp_path: FilePath
):
    url = f"sqlite:///{tmp_path}/state.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url")
    processes = [start_program(COUNT, url, heard) for _ in range(2)]
    for process in processes:
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=PATIENCE_S)

    assert [0, 0] == [process.returncode for process in processes]
    assert 100 == asyncio.run(count_in(url))


async def count_in(url: str) -> Any:
    async with Plugins.in_database(url) as plugins:
        return await plugins["trader"].get("count")


# The object itself


async def test_a_container_tells_its_plugin(trader: PluginState):
    assert "trader" == trader.name
    assert "<PluginState 'trader'>" == repr(trader)
    assert "<SharedState 'trader'>" == repr(trader.share())


async def test_what_a_plugin_holds_cannot_be_pickled_or_copied(trader: PluginState):
    for held in (trader, trader.share("a"), trader.listen(print)):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(held, protocol)
        for duplicate in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="copied"):
                duplicate(held)
