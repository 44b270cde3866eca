"""The scopes in memory: loaded on first touch, evicted when idle."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.limits import Limits
from eliza_state.path import Path
from eliza_state.testing import RecordingReceiver
from tests.eliza_state.chat import OTHER, ROOM, TALK, Closed, Said, TalkModule, Typing


def talk(number: int) -> Path:
    return ROOM.child("conversation", f"t{number}")


async def say_in(manager, count: int) -> None:
    for number in range(count):
        await manager.dispatch(Said(user="ada", text="x" * 100), to=talk(number))


def live(manager) -> set[Path]:
    return {scope.path for scope in manager.core.scopes}


async def test_a_scope_comes_with_those_above_it(opened, url):
    manager = await opened(url)
    await manager.at(TALK).state()

    assert set(TALK.chain()) == live(manager)


async def test_concurrent_readers_share_one_reading(opened, sqlite_url, monkeypatch):
    manager = await opened(sqlite_url)
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)
    await manager.close()
    manager = await opened(sqlite_url)
    read = manager.core.scopes._recover
    paths = []

    async def recover(path):
        paths.append(path)
        return await read(path)

    monkeypatch.setattr(manager.core.scopes, "_recover", recover)
    await asyncio.gather(*(manager.at(path).state() for path in (TALK, OTHER, TALK, ROOM, TALK)))

    assert sorted(paths, key=Path.encode) == sorted([*TALK.chain(), OTHER], key=Path.encode)[1:]


async def test_a_cancelled_reader_leaves_the_reading_to_the_others(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)
    await manager.close()
    manager = await opened(sqlite_url)
    first, second = (asyncio.ensure_future(manager.at(TALK).version()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == 1
    assert first.cancelled()
    assert {0} == {scope.held for scope in manager.core.scopes}


async def test_a_reading_that_fails_can_be_tried_again(opened, sqlite_url, monkeypatch):
    manager = await opened(sqlite_url)
    recover = manager.core.scopes._recover

    async def fail(path):
        raise OSError("disk")

    monkeypatch.setattr(manager.core.scopes, "_recover", fail)
    with pytest.raises(OSError, match="disk"):
        await manager.at(TALK).state()
    monkeypatch.setattr(manager.core.scopes, "_recover", recover)

    assert await manager.at(TALK).version() == 0


@pytest.mark.parametrize("max_scopes", [1, 2, 3, 5])
async def test_any_bound_lets_any_depth_through(opened, url, max_scopes):
    manager = await opened(url, limits=Limits(max_scopes=max_scopes))
    async with asyncio.timeout(30):
        for _ in range(2):
            await asyncio.gather(*(manager.dispatch(Said(user="a", text="x"), to=talk(n)) for n in range(6)))
            await asyncio.gather(*(manager.at(talk(number)).state() for number in range(6)))

        assert [2] * 6 == [await manager.at(talk(number)).version() for number in range(6)]


async def test_idle_scopes_beyond_the_number_go(opened, url):
    manager = await opened(url, limits=Limits(max_scopes=10))
    await say_in(manager, 50)
    await asyncio.sleep(0)

    assert len(live(manager)) <= 11
    assert set(ROOM.chain()) <= live(manager)


async def test_idle_scopes_beyond_the_bytes_go(opened, sqlite_url):
    manager = await opened(sqlite_url, limits=Limits(max_scope_bytes=3_000))
    await say_in(manager, 50)
    manager.core.scopes.evict()

    # the room, the agent and the root hold all 50 texts by the measure, and stay while something lives below
    assert len(live(manager)) < 20
    assert manager.core.scopes.size_bytes == sum(scope.size_bytes for scope in manager.core.scopes)


async def test_records_that_no_module_keeps_do_not_count(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=[TalkModule()])
    await say_in(manager, 5)
    sizes = {scope.path: scope.size_bytes for scope in manager.core.scopes}

    assert {0} == {sizes[path] for path in ROOM.chain()}
    assert manager.core.scopes.size_bytes == sum(sizes.values()) > 500


async def test_the_scope_in_use_stays(opened, sqlite_url):
    manager = await opened(sqlite_url, limits=Limits(max_scopes=10))
    for number in range(40):
        await manager.dispatch(Said(user="ada", text="x"), to=talk(number))
        await manager.dispatch(Said(user="ada", text="x"), to=TALK)

        assert TALK in live(manager)


async def test_an_evicted_scope_comes_back_as_it_was(opened, url):
    manager = await opened(url, limits=Limits(max_scopes=5))
    await manager.dispatch(Closed(), to=OTHER)
    await say_in(manager, 30)
    for number in [*range(3, 30), 0, 1]:
        state = await manager.at(talk(number)).state("talk")

        assert ("x" * 100,) == tuple(state.texts)
    assert await manager.at(OTHER).phase() == "archived"


async def test_a_handle_outlives_the_eviction_of_its_scope(opened, url):
    manager = await opened(url, limits=Limits(max_scopes=5))
    handle = manager.at(talk(0))
    await handle.dispatch(Said(user="ada", text="x"))
    await say_in(manager, 30)
    change = await handle.dispatch(Said(user="ada", text="y"))

    assert (3, 3) == (change.version, await handle.version())


async def test_volatile_state_lasts_while_its_scope_is_in_memory(opened, url):
    manager = await opened(url)
    await manager.dispatch(Typing(user="ada"), to=TALK)
    await say_in(manager, 3)

    assert (await manager.at(TALK).state("presence")).typing == ("ada",)


async def test_loading_while_others_write_misses_nothing(opened, sqlite_url):
    writer, reader = await opened(sqlite_url), await opened(sqlite_url, limits=Limits(max_scopes=4))
    heard = RecordingReceiver()
    reader.subscribe(heard)
    for number in range(30):
        await writer.dispatch(Said(user="ada", text=str(number)), to=TALK)
        await asyncio.gather(
            reader.refresh(),
            reader.at(TALK).state(),
            reader.at(talk(number)).state(),
            reader.at(OTHER).state(),
        )
    for path in TALK.chain():
        assert await writer.at(path).state() == await reader.at(path).state()

    assert list(range(1, 31)) == heard.positions
