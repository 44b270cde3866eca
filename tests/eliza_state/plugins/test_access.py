"""What one plugin shares with another: so much, no more, until it is revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eliza_state.errors import StateError
from eliza_state.plugins import KeyChange, NotShared, Plugins, PluginState, SharedState
from eliza_state.storage.errors import InvalidKey
from eliza_state.testing import ManualClock
from tests.eliza_state.plugins.test_isolation import Impostor

Use = Callable[[SharedState, str], Awaitable[Any]]

READS: dict[str, Use] = {
    "get": lambda shared, key: shared.get(key),
    "get_or_default": lambda shared, key: shared.get_or_default(key, 0),
    "has": lambda shared, key: shared.has(key),
    "keys": lambda shared, key: shared.keys(prefix=key),
}
WRITES: dict[str, Use] = {
    "set": lambda shared, key: shared.set(key, 1),
    "set_with_ttl": lambda shared, key: shared.set_with_ttl(key, 1, 1_000),
    "delete": lambda shared, key: shared.delete(key),
    "update": lambda shared, key: shared.update(key, lambda _: 1),
}


@pytest.fixture
async def shared(trader: PluginState) -> SharedState:
    """What the trader shares to be read: what is public, and there is something private."""
    await trader.set("public/price", 7)
    await trader.set("private", 1)
    return trader.share("public/")


async def test_what_is_shared_can_be_read(shared: SharedState):
    assert 7 == await shared.get("public/price") == await shared.get_or_default("public/price", 0)
    assert [True, False] == [await shared.has(f"public/{key}") for key in ("price", "size")]
    assert ["public/price"] == await shared.keys()
    assert ("public/", "trader", False) == (shared.prefix, shared.name, shared.is_writable)


@pytest.mark.parametrize("use", READS.values(), ids=READS)
@pytest.mark.parametrize("key", ["private", "publi", "Public/price", "x/public/price", Impostor("private")])
async def test_what_is_not_shared_cannot_be_read(trader: PluginState, use: Use, key: str):
    with pytest.raises(NotShared):
        await use(trader.share("public/"), "private" if key == "publi" and use is READS["keys"] else key)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("", ["b/1", "b/2"]), ("b", ["b/1", "b/2"]), ("b/", ["b/1", "b/2"]), ("b/2", ["b/2"]), ("b/3", [])],
)
async def test_keys_are_those_shared_however_short_the_prefix(
    trader: PluginState, prefix: str, found: list[str]
):
    for key in ("a", "b", "b/1", "b/2", "c"):
        await trader.set(key, 1)

    assert found == await trader.share("b/").keys(prefix=prefix)


@pytest.mark.parametrize("use", WRITES.values(), ids=WRITES)
async def test_what_is_shared_for_reading_cannot_be_written(
    trader: PluginState, shared: SharedState, use: Use
):
    with pytest.raises(NotShared, match="reading alone"):
        await use(shared, "public/price")

    assert 7 == await trader.get("public/price")


async def test_what_is_shared_for_writing_can_be_written(
    trader: PluginState, shared: SharedState, clock: ManualClock
):
    writable = trader.share("public/", writable=True)
    await writable.set("public/a", 1)
    await writable.update("public/a", lambda value: value + 1)
    await writable.set_with_ttl("public/b", 1, 1_000)
    clock.advance(ms=1_000)
    await writable.delete("public/price")

    assert writable.is_writable
    assert 2 == await trader.get("public/a")
    assert ["public/a"] == await shared.keys()


@pytest.mark.parametrize("use", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("key", ["private", "new", Impostor("private")])
async def test_what_is_not_shared_cannot_be_written(trader: PluginState, use: Use, key: str):
    await trader.set("private", "kept")
    with pytest.raises(NotShared, match="not '"):
        await use(trader.share("public/", writable=True), key)

    assert "kept" == await trader.get("private")
    assert ["private"] == await trader.keys()


@pytest.mark.parametrize("use", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES])
async def test_what_is_revoked_cannot_be_used(trader: PluginState, use: Use):
    shared = trader.share("public/", writable=True)
    shared.revoke()
    shared.revoke()

    assert shared.is_revoked
    with pytest.raises(NotShared, match="revoked"):
        await use(shared, "public/price")


async def test_revoking_one_share_leaves_others(trader: PluginState, shared: SharedState):
    trader.share("public/").revoke()

    assert not shared.is_revoked
    assert 7 == await shared.get("public/price")


async def test_a_share_cannot_be_widened(trader: PluginState):
    shared = trader.share("public/")

    for attribute in ("prefix", "is_writable", "is_revoked", "name"):
        with pytest.raises(AttributeError):
            setattr(shared, attribute, "")
    assert not {"share", "listen"} & {*dir(shared)}


async def test_everything_may_be_shared(trader: PluginState, shared: SharedState):
    assert ["private", "public/price"] == await trader.share().keys()


async def test_the_owner_hears_what_is_written_through_a_share(trader: PluginState):
    heard: list[KeyChange] = []
    trader.listen(heard.append)
    await trader.share("public/", writable=True).set("public/a", 1)

    assert ["public/a"] == [change.key for change in heard]


async def test_a_bad_key_is_refused_with_the_owners_name():
    async with Plugins.in_database() as plugins:
        with pytest.raises(InvalidKey, match="plugin 'trader'"):
            await plugins["trader"].share().get("\ud800")


def test_not_shared_is_an_error_of_permission_and_of_this_package():
    assert issubclass(NotShared, PermissionError)
    assert issubclass(NotShared, StateError)
