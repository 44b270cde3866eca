"""Who hears what of a plugin's keys, in which order, and what a receiver cannot do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from eliza_serializers import Secret
from eliza_state.plugins import KeyChange, Plugins, PluginState
from eliza_state.plugins.changes import QUEUE_SIZE
from eliza_state.problems import Problems
from eliza_state.storage import MemoryStorage
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.wrapper import Wrapper
from eliza_state.testing import ManualClock


@pytest.fixture
def heard(trader: PluginState) -> list[KeyChange]:
    """What a plain receiver of the trader's hears."""
    heard: list[KeyChange] = []
    trader.listen(heard.append)
    return heard


async def test_setting_is_told_with_what_was_before(trader: PluginState, heard: list[KeyChange]):
    await trader.set("key", None)
    await trader.set_with_ttl("key", [1], 1_000)

    assert [KeyChange("key", "set", GONE, None), KeyChange("key", "set", None, [1])] == heard
    assert [1] == await trader.get("key")


async def test_a_deadline_holds_where_somebody_listens(
    trader: PluginState, heard: list[KeyChange], clock: ManualClock
):
    await trader.set_with_ttl("key", 1, 1_000)
    clock.advance(ms=1_000)
    await trader.set("key", 2)

    assert [GONE, GONE] == [change.before for change in heard]


async def test_deleting_is_told_where_there_was_something(trader: PluginState, heard: list[KeyChange]):
    await trader.set("key", 1)
    told = [await trader.delete("key") for _ in range(2)]

    assert [True, False] == told
    assert [KeyChange("key", "deleted", 1, GONE)] == heard[1:]


async def test_an_update_is_told_as_what_it_did(trader: PluginState, heard: list[KeyChange]):
    await trader.update("key", lambda _: 1)
    await trader.update("key", lambda value: value + 1)
    await trader.update("key", lambda value: value)
    await trader.update("key", lambda _: GONE)
    await trader.update("key", lambda _: GONE)
    await trader.update("key", lambda _: None)
    await trader.update("key", lambda default: default, default=[])

    assert [
        KeyChange("key", "set", GONE, 1),
        KeyChange("key", "set", 1, 2),
        KeyChange("key", "deleted", 2, GONE),
        KeyChange("key", "set", GONE, []),
    ] == heard


async def test_a_failed_write_is_not_told(trader: PluginState, heard: list[KeyChange]):
    with pytest.raises(InvalidKey, match="plugin 'trader'"):
        await trader.set("", 1)
    with pytest.raises(ZeroDivisionError):
        await trader.update("key", lambda _: 1 / 0)

    assert [] == heard


async def test_a_secret_is_masked_in_the_repr_of_a_change(trader: PluginState, heard: list[KeyChange]):
    await trader.set("key", Secret("s3cret"))

    assert Secret("s3cret") == heard[0].after
    assert "s3cret" not in repr(heard)


async def test_a_prefix_chooses_keys(trader: PluginState):
    heard: list[str] = []
    trader.listen(lambda change: heard.append(change.key), prefix="ban:")
    for key in ("ban:1", "ban", "x", "ban:2", "Ban:3"):
        await trader.set(key, 1)

    assert ["ban:1", "ban:2"] == heard


async def test_an_unsubscribed_receiver_hears_no_more(trader: PluginState):
    plain: list[KeyChange] = []
    queued: list[KeyChange] = []

    async def receive(change: KeyChange) -> None:
        queued.append(change)

    stops = [trader.listen(plain.append), trader.listen(receive)]
    for stop in stops:
        stop()
        stop()
    await trader.set("key", 1)
    await asyncio.sleep(0)

    assert ([], []) == (plain, queued)


async def test_the_changes_of_a_key_follow_each_other_for_every_receiver(plugins: Plugins):
    trader = plugins["trader"]
    plain: list[KeyChange] = []
    queued: list[KeyChange] = []

    async def receive(change: KeyChange) -> None:
        await asyncio.sleep(0)
        queued.append(change)

    trader.listen(plain.append)
    trader.listen(receive)
    await asyncio.gather(*(trader.set(f"key:{number % 3}", number) for number in range(60)))
    await plugins.settled()

    assert 60 == len(plain)
    assert plain == queued
    for key in ("key:0", "key:1", "key:2"):
        of_key = [change for change in plain if change.key == key]
        assert [GONE, *(change.after for change in of_key[:-1])] == [change.before for change in of_key]
        assert of_key[-1].after == await trader.get(key)


async def test_nobody_waits_for_a_coroutine_receiver(trader: PluginState, plugins: Plugins):
    gate, heard = asyncio.Event(), []

    async def slow(change: KeyChange) -> None:
        await gate.wait()
        heard.append(change.after)

    trader.listen(slow)
    for number in range(3):
        await trader.set("key", number)

    assert heard == []
    gate.set()
    await plugins.settled()
    assert [0, 1, 2] == heard


async def test_a_receiver_that_raises_stops_nobody_and_is_reported(plugins: Plugins):
    trader, heard = plugins["trader"], []

    def broken(change: KeyChange) -> None:
        raise ValueError("plain")

    async def broken_too(change: KeyChange) -> None:
        raise ValueError("queued")

    for receiver in (broken, broken_too, heard.append):
        trader.listen(receiver)
    for number in range(2):
        await trader.set("key", number)
    await plugins.settled()

    assert [0, 1] == [change.after for change in heard]
    assert 1 == await trader.get("key")
    assert ["plain", "plain", "queued", "queued"] == sorted(
        str(problem.error) for problem in plugins.problems
    )
    for problem in plugins.problems:
        assert "receiver" == problem.kind
        assert "broken" in problem.message
        assert "plugin 'trader'" in problem.message


async def test_a_receiver_that_falls_behind_loses_the_oldest_and_it_is_reported():
    gate, heard = asyncio.Event(), []

    async def slow(change: KeyChange) -> None:
        await gate.wait()
        heard.append(change.after)

    async with Plugins.in_database() as plugins:
        trader = plugins["trader"]
        trader.listen(slow)
        # The first is in hand before the others come, each of which waits for its turn at the key.
        for number in range(QUEUE_SIZE + 3):
            await trader.set("key", number)
        gate.set()
        await plugins.settled()

        assert [0, *range(3, QUEUE_SIZE + 3)] == heard
        assert ["overflow"] * 2 == [problem.kind for problem in plugins.problems]


async def test_a_receiver_may_write_the_same_key(trader: PluginState, plugins: Plugins):
    async def answer(change: KeyChange) -> None:
        if change.after < 3:
            await trader.update("key", lambda value: value + 1)

    trader.listen(answer)
    await trader.set("key", 0)
    for _ in range(4):
        await plugins.settled()

    assert 3 == await trader.get("key")


async def test_two_registries_never_hear_each_other(trader: PluginState, plugins: Plugins):
    problems = Problems()
    async with Plugins.in_database(problems=problems) as others:
        others["trader"].listen(lambda change: 1 / 0)
        await trader.set("key", 1)

        assert (0, 0) == (len(problems), len(plugins.problems))
        await others["trader"].set("key", 1)
        assert 1 == len(problems)


class Slow(Wrapper[Any]):
    """A backend whose writes wait for a gate, whoever waits for them."""

    def __init__(self, inner: MemoryBackend[Any]) -> None:
        super().__init__(inner)
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()

    async def write(self, writes: Any) -> Any:
        self.begun.set()
        await self.gate.wait()
        return await super().write(writes)


async def test_a_write_whose_caller_was_cancelled_is_told_nevertheless():
    storage = MemoryStorage[Any]().around(Slow)
    heard: list[KeyChange] = []
    async with Plugins(storage) as plugins:
        plugins["trader"].listen(heard.append)
        caller = asyncio.ensure_future(plugins["trader"].set("key", 1))
        await storage.backend.begun.wait()
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
        storage.backend.gate.set()
        await plugins.settled()

        assert [KeyChange("key", "set", GONE, 1)] == heard
        assert 1 == await plugins["trader"].get("key")


async def test_closing_waits_until_what_is_under_way_is_told():
    storage = MemoryStorage[Any]().around(Slow)
    heard: list[KeyChange] = []
    plugins = Plugins(storage)
    plugins["trader"].listen(heard.append)
    writing = asyncio.ensure_future(plugins["trader"].set("key", 1))
    await storage.backend.begun.wait()
    closing = asyncio.ensure_future(plugins.close())
    storage.backend.gate.set()
    await asyncio.gather(writing, closing)

    assert 1 == len(heard)


async def test_a_damaged_value_may_be_overwritten_and_deleted_while_somebody_listens(tmp_path):
    heard: list[KeyChange] = []
    url = f"sqlite:///{tmp_path}/state.db"
    async with Plugins.in_database(url) as plugins:
        trader = plugins["trader"]
        await trader.set("one", 1)
        await trader.set("two", 2)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("update plugin_state set value = :value"), {"value": b"nonsense"})
        engine.dispose()
        trader.listen(heard.append)
        await trader.set("one", 3)
        await trader.delete("two")

        assert [
            KeyChange("one", "set", GONE, 3),
            KeyChange("two", "deleted", GONE, GONE),
        ] == heard
        assert ["value", "value"] == [problem.kind for problem in plugins.problems]


async def test_what_another_process_writes_is_not_heard(tmp_path):
    heard: list[KeyChange] = []
    url = f"sqlite:///{tmp_path}/state.db"
    async with Plugins.in_database(url) as plugins, Plugins(SqlStorage(url, table="plugin_state")) as other:
        plugins["trader"].listen(heard.append)
        await other["trader"].set("key", 1)
        await plugins["trader"].set("key", 2)
        await other._storage.close()

        assert [KeyChange("key", "set", 1, 2)] == heard
