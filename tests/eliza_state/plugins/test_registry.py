"""The plugins of one store: names, storages of their own, purging, closing."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_state.errors import StoreError
from eliza_state.plugins import Plugins
from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.backend import GONE
from eliza_state.storage.errors import InvalidKey, Unsupported, ValueTooLarge
from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.wrappers import SizeLimit, enhance_storage
from eliza_state.storage.wrappers.encryption import Encryption
from eliza_state.testing import ManualClock
from tests.eliza_state.plugins.theirs import Theirs, TheirsListed


@pytest.fixture
def url(tmp_path: FilePath) -> str:
    return f"sqlite:///{tmp_path}/state.db"


async def test_a_plugin_has_one_container(plugins: Plugins):
    assert plugins["a"] is plugins["a"]
    assert plugins["a"] is not plugins["b"]


@pytest.mark.parametrize(
    "name", ["", None, 7, b"a", "x" * 513, "x" * 10_000, "\ud800"], ids=lambda n: repr(n)[:9]
)
async def test_a_bad_name_is_refused(name: Any):
    with pytest.raises(InvalidKey, match="a plugin's name is one that a key may have: a key ") as refused:
        Plugins(MemoryStorage())[name]

    assert len(str(refused.value)) < 200


async def test_the_longest_names_and_keys_fit(plugins: Plugins):
    await plugins["x" * 512].set("y" * 512, 1)

    assert ["x" * 512] == await plugins.names()
    assert ["y" * 512] == await plugins["x" * 512].keys()


async def test_state_stays_in_the_database(url: str):
    async with Plugins.in_database(url) as plugins:
        await plugins["trader"].set("key", {"a": [1]})

    async with Plugins.in_database(url) as plugins:
        assert {"a": [1]} == await plugins["trader"].get("key")
        assert ["trader"] == await plugins.names()


async def test_all_plugins_share_one_table_whose_name_is_a_choice(url: str, tmp_path: FilePath):
    async with Plugins.in_database(url) as one, Plugins.in_database(url, table="other") as other:
        await one["a"].set("key", 1)
        await one["b"].set("key", 2)
        await other["a"].set("key", 3)
    connection = sqlite3.connect(tmp_path / "state.db")
    rows = connection.execute("select count(*) from plugin_state union all select count(*) from other")

    assert [(2,), (1,)] == rows.fetchall()
    connection.close()


async def test_other_keys_of_the_same_storage_are_not_met():
    storage = MemoryStorage[Any]()
    plugins = Plugins(storage)
    await storage.set("key", "theirs")
    await storage.namespace("plugin").set("key", "theirs")
    await storage.namespace("session", "a").set("key", "theirs")

    assert [] == await plugins.names()
    assert 0 == await plugins.purge("a")
    assert [] == await plugins["session"].keys()
    assert "theirs" == await storage.get("key")


async def test_plugins_in_a_namespace_are_apart_from_those_in_another():
    storage = MemoryStorage[Any]()
    one, other = Plugins(storage.namespace("one")), Plugins(storage.namespace("other"))
    await one["a"].set("key", 1)

    assert (["a"], []) == (await one.names(), await other.names())
    assert await other["a"].get("key") is None


async def test_names_are_those_with_keys_that_exist(plugins: Plugins, clock: ManualClock):
    for name in ("b", "a", "never"):
        await plugins[name].get("key")
    await plugins["b"].set("key", 1)
    await plugins["a"].set("key", 1)
    await plugins["expired"].set_with_ttl("key", 1, 1_000)
    await plugins["deleted"].set("key", 1)
    await plugins["deleted"].update("key", lambda _: GONE)
    clock.advance(ms=1_000)

    assert ["a", "b"] == await plugins.names()


# Purging


async def test_purging_removes_everything_of_a_plugin(plugins: Plugins, clock: ManualClock):
    for number in range(3):
        await plugins["gone"].set(f"key/{number}", number)
    await plugins["gone"].set_with_ttl("expired", 1, 1_000)
    await plugins["gone"].set("deleted", 1)
    await plugins["gone"].delete("deleted")
    await plugins["stays"].set("key", 1)
    clock.advance(ms=1_000)

    assert 4 == await plugins.purge("gone")
    assert 0 == await plugins.purge("gone")
    assert ["stays"] == await plugins.names()
    assert [] == await plugins["gone"].keys()


async def test_purging_leaves_nothing_in_the_table(url: str, tmp_path: FilePath):
    async with Plugins.in_database(url) as plugins:
        await plugins["gone"].set("key", 1)
        await plugins["gone"].update("deleted", lambda _: 1)
        await plugins["gone"].update("deleted", lambda _: GONE)

        assert 1 == await plugins.purge("gone")
    connection = sqlite3.connect(tmp_path / "state.db")
    assert [(0,)] == connection.execute("select count(*) from plugin_state").fetchall()
    connection.close()


async def test_purging_needs_no_container_and_leaves_one_that_works(url: str):
    async with Plugins.in_database(url) as plugins:
        await plugins["gone"].set("key", 1)
    async with Plugins.in_database(url) as plugins:
        assert 1 == await plugins.purge("gone")
        await plugins["gone"].set("key", 2)
        assert 2 == await plugins["gone"].get("key")


async def test_purging_removes_what_cannot_be_read(url: str):
    keys = [secrets.token_bytes(32) for _ in range(2)]
    async with Plugins.in_database(url, transforms=[Encryption({"one": keys[0]})]) as plugins:
        await plugins["gone"].set("key", Secret("s3cret"))
    async with Plugins.in_database(url, transforms=[Encryption({"two": keys[1]})]) as plugins:
        with pytest.raises(StoreError):
            await plugins["gone"].get("key")

        assert 1 == await plugins.purge("gone")
        assert not await plugins["gone"].has("key")


async def test_purging_removes_what_lies_in_wrappers(clock: ManualClock):
    storage = MemoryStorage[Any](clock=clock)
    enhanced = enhance_storage(storage, migrations={1: lambda value: [value]})
    await storage.namespace("plugin", "gone").set("old", 1)
    plugins = Plugins(enhanced)
    await plugins["gone"].set_with_ttl("new", 2, 1_000)

    assert [1] == await plugins["gone"].get("old")
    clock.advance(ms=1_000)
    assert 2 == await plugins.purge("gone")
    assert 0 == storage.size


# Storages of one's own


async def test_a_factory_gives_a_plugin_its_own_storage_and_others_the_shared_one(url: str):
    asked: list[str] = []
    own = MemoryStorage[Any]()

    def factory(name: str) -> Storage[Any] | None:
        asked.append(name)
        return own if name == "scalper" else None

    async with Plugins.in_database(url, state_factory=factory) as plugins:
        await plugins["scalper"].set("key", 1)
        await plugins["trader"].set("key", 2)

        assert ["scalper", "trader"] == await plugins.names() == asked
        assert 1 == own.size
    async with Plugins.in_database(url) as plugins:
        assert ["trader"] == await plugins.names()


@pytest.mark.parametrize("make", [MemoryStorage, TheirsListed])
async def test_plugins_stay_apart_in_a_storage_that_a_factory_gives_to_all(make: Any):
    own = make()
    async with Plugins(MemoryStorage(), state_factory=lambda _: own) as plugins:
        await plugins["a"].set("b:c", 1)
        await plugins["a:b"].set("c", 2)

        assert (["b:c"], ["c"]) == (await plugins["a"].keys(), await plugins["a:b"].keys())
        assert ["a", "a:b"] == await plugins.names()
        assert 1 == await plugins.purge("a")
        assert 2 == await plugins["a:b"].get("c")


async def test_a_factory_may_give_a_namespace_of_the_shared_storage():
    storage = MemoryStorage[Any]()
    async with Plugins(storage, state_factory=lambda _: storage.namespace("elsewhere")) as plugins:
        await plugins["a"].set("key", 1)

        assert ["a"] == await plugins.names()
        assert 1 == await plugins.purge("a")
    assert 0 == storage.size


async def test_a_storage_of_its_own_may_have_a_time_to_live(clock: ManualClock):
    own = MemoryStorage[Any](ttl_ms=1_000, clock=clock)
    async with Plugins(MemoryStorage(), state_factory=lambda _: own) as plugins:
        await plugins["a"].set("key", 1)
        clock.advance(ms=1_000)

        assert not await plugins["a"].has("key")


async def test_purging_removes_what_a_plugin_stored_before_it_had_its_own_storage():
    storage = MemoryStorage[Any]()
    await Plugins(storage)["a"].set("old", 1)
    async with Plugins(storage, state_factory=lambda _: MemoryStorage()) as plugins:
        await plugins["a"].set("new", 1)

        assert 2 == await plugins.purge("a")
    assert 0 == storage.size


async def test_a_plugin_whose_storage_cannot_list_is_left_out_of_the_names():
    async with Plugins(MemoryStorage(), state_factory=lambda _: Theirs()) as plugins:
        await plugins["a"].set("key", 1)

        assert [] == await plugins.names()
        with pytest.raises(Unsupported, match="Theirs has no method keys"):
            await plugins.purge("a")


async def test_what_a_factory_raises_is_raised_and_it_is_asked_again():
    made: list[Any] = [MemoryStorage(), ConnectionError("down")]

    def factory(name: str) -> Any:
        if isinstance(made[-1], Exception):
            raise made.pop()
        return made[-1]

    plugins = Plugins(MemoryStorage(), state_factory=factory)
    with pytest.raises(ConnectionError):
        plugins["a"]

    assert "a" == plugins["a"].name


# Options


async def test_encrypted_state_shows_nothing(url: str, tmp_path: FilePath):
    encryption = Encryption({"one": secrets.token_bytes(32)})
    async with Plugins.in_database(url, transforms=[encryption]) as plugins:
        await plugins["trader"].set("api", Secret("s3cret"))

        assert Secret("s3cret") == await plugins["trader"].get("api")
    assert b"s3cret" not in content_of(tmp_path)


def content_of(folder: FilePath) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_transforms_hold_in_memory_too():
    async with Plugins.in_database(transforms=[SizeLimit(max_bytes=100)]) as plugins:
        with pytest.raises(ValueTooLarge):
            await plugins["trader"].set("key", "x" * 100)


async def test_the_table_may_be_written_with_another_serializer(url: str, tmp_path: FilePath):
    async with Plugins.in_database(url, serializer="msgpack") as plugins:
        await plugins["trader"].set("key", {1: 2})

        assert {1: 2} == await plugins["trader"].get("key")
    connection = sqlite3.connect(tmp_path / "state.db")
    assert connection.execute("select value from plugin_state").fetchone()[0].startswith(b"msgpack:")
    connection.close()


# Closing


async def test_closing_closes_what_it_opened(url: str):
    plugins = Plugins.in_database(url)
    trader = plugins["trader"]
    await plugins.close()
    await plugins.close()

    with pytest.raises(StoreError, match="closed"):
        await trader.set("key", 1)
    with pytest.raises(StoreError, match="closed"):
        plugins["another"]


async def test_closing_leaves_the_given_storage_open(url: str):
    async with SqlStorage[Any](url) as storage:
        async with Plugins(storage) as plugins:
            await plugins["trader"].set("key", 1)

        assert 1 == await Plugins(storage)["trader"].get("key")


async def test_closing_closes_what_a_factory_made_and_not_what_it_lent():
    lent, made, theirs = MemoryStorage[Any](), MemoryStorage[Any](), TheirsListed()
    storages = {"lent": lent.namespace("plugins"), "made": made, "theirs": theirs}
    async with Plugins(MemoryStorage(), state_factory=storages.get) as plugins:
        for name in storages:
            await plugins[name].set("key", 1)

    assert 1 == theirs.closed
    assert 1 == lent.size
    with pytest.raises(StoreError, match="closed"):
        await made.set("key", 1)


async def test_a_factory_that_gives_the_shared_storage_itself_gives_nothing_of_its_own():
    storage = MemoryStorage[Any]()
    async with Plugins(storage, state_factory=lambda _: storage) as plugins:
        await plugins["a"].set("key", 1)

    assert 1 == await Plugins(storage)["a"].get("key")


async def test_a_storage_that_cannot_be_closed_keeps_no_other_open():
    class Broken(TheirsListed):
        async def close(self) -> None:
            raise ConnectionError("down")

    made = MemoryStorage[Any]()
    storages = {"made": made, "broken": Broken()}
    plugins = Plugins(MemoryStorage(), state_factory=storages.get)
    for name in storages:
        await plugins[name].set("key", 1)
    with pytest.raises(StoreError, match="down"):
        await plugins.close()

    with pytest.raises(StoreError, match="closed"):
        await made.set("key", 1)


async def test_closing_ends_the_coroutine_receivers():
    async def receive(change: Any) -> None:
        raise AssertionError("nobody told")

    plugins = Plugins.in_database()
    stop = plugins["a"].listen(receive)
    await plugins.close()
    stop()

    await plugins.settled()
