"""Plugins whose storage is somebody else's, with four methods and none more."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eliza_state.plugins import KeyChange, Plugins, PluginState
from eliza_state.storage import MemoryStorage
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import Unsupported
from eliza_state.testing import ManualClock
from tests.eliza_state.plugins.theirs import Theirs, TheirsListed


@pytest.fixture
async def plugins(clock: ManualClock) -> AsyncIterator[Plugins]:
    made = {"listed": TheirsListed(), "plain": Theirs()}
    async with Plugins(MemoryStorage(clock=clock), state_factory=made.get) as plugins:
        yield plugins


@pytest.fixture(params=["plain", "listed"])
def state(request: pytest.FixtureRequest, plugins: Plugins) -> PluginState:
    return plugins[request.param]


@pytest.mark.parametrize("value", [None, 0, False, "", {}, {"a": [1]}, object], ids=repr)
async def test_a_value_comes_back(state: PluginState, value: Any):
    await state.set("a/b:c", value)

    assert value == await state.get("a/b:c", "missing")
    assert await state.has("a/b:c")
    assert [True, False] == [await state.delete("a/b:c") for _ in range(2)]
    assert "missing" == await state.get_or_default("a/b:c", "missing")


async def test_a_time_to_live_ends(state: PluginState, clock: ManualClock):
    await state.set_with_ttl("key", 1, 1_000)
    clock.advance(ms=999)

    assert await state.has("key")
    clock.advance(ms=1)
    assert not await state.has("key")
    assert await state.get("key") is None


async def test_a_bad_time_to_live_is_refused(state: PluginState):
    with pytest.raises(ValueError, match="time to live"):
        await state.set_with_ttl("key", 1, math.nan)


async def test_keys_are_listed_where_the_storage_can(plugins: Plugins, clock: ManualClock):
    await plugins["listed"].set("a/b", 1)
    await plugins["listed"].set("ä", 1)
    await plugins["listed"].set_with_ttl("expired", 1, 1_000)
    clock.advance(ms=1_000)

    assert ["a/b", "ä"] == await plugins["listed"].keys()
    assert ["a/b"] == await plugins["listed"].keys(prefix="a/")
    assert ["listed"] == await plugins.names()


async def test_keys_that_cannot_be_listed_say_what_is_missing(plugins: Plugins):
    with pytest.raises(Unsupported, match="Theirs has no method keys or entries"):
        await plugins["plain"].keys()


async def test_an_update_that_could_be_lost_is_refused(state: PluginState):
    with pytest.raises(Unsupported, match="no versions"):
        await state.update("key", lambda _: 1)


async def test_changes_are_told(state: PluginState):
    heard: list[KeyChange] = []
    state.listen(heard.append)
    await state.set("key", 1)
    await state.set("key", 2)
    await state.delete("key")

    assert [
        KeyChange("key", "set", GONE, 1),
        KeyChange("key", "set", 1, 2),
        KeyChange("key", "deleted", 2, GONE),
    ] == heard


async def test_purging_removes_what_is_expired_too(plugins: Plugins, clock: ManualClock):
    await plugins["listed"].set_with_ttl("expired", 1, 1_000)
    await plugins["listed"].set("key", 1)
    clock.advance(ms=1_000)

    assert 2 == await plugins.purge("listed")
    assert [] == await plugins["listed"].keys()


@pytest.mark.parametrize("made", [object(), {}, lambda: None], ids=["object", "dict", "function"])
def test_what_is_no_storage_is_refused(made: Any):
    plugins = Plugins(MemoryStorage(), state_factory=lambda _: made)

    with pytest.raises(TypeError, match=r"plugin 'a' no storage: .* has no .*has.*; return None"):
        plugins["a"]


async def test_values_lie_in_envelopes_under_the_plugins_name():
    theirs = Theirs()
    async with Plugins(MemoryStorage(), state_factory=lambda _: theirs) as plugins:
        await plugins["trader"].set("position", 7)

    assert {"%/plugin/trader/position": {"__v": 0, "data": 7}} == theirs.held
