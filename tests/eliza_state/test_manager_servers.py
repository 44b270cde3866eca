"""A manager whose store is on a server: what holds when the server, or the way to it, fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from eliza_state import snapshotter
from eliza_state.errors import InvalidEvent, StoreError
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.testing import FaultProxy
from tests.eliza_state import chat
from tests.eliza_state.storage.sql.support import proxy_to, through

if TYPE_CHECKING:
    from tests.servers import PostgresServer

Open = Callable[..., Any]

LIMITS = Limits(busy_timeout_ms=2_000)


@pytest.fixture
async def proxy(postgres_store: str) -> AsyncIterator[FaultProxy]:
    """A proxy to the server of the test's store."""
    async with proxy_to(postgres_store) as proxy:
        yield proxy


@pytest.fixture
async def far(opened: Open, proxy: FaultProxy, postgres_store: str) -> StateManager:
    """A manager whose store is behind the proxy, with two events in it: its statements are prepared."""
    url = f"{through(proxy, postgres_store)}&answer_within_ms=200"
    manager = await opened(url, snapshots=False, limits=Limits(busy_timeout_ms=500))
    await said(manager, "0")
    await said(manager, "1")
    await until_told(manager)
    return manager


async def until_told(manager: StateManager) -> None:
    """Wait until the others have been told of what was written: nothing is under way to the server then."""
    notices = manager.journal._database._notices  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        while notices._sent_at is not None or notices._told != notices._position:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def texts(manager: StateManager) -> list[str]:
    talk: Any = await manager.at(chat.TALK).state("talk")
    return list(talk.texts)


async def said(manager: StateManager, text: str, **options: Any) -> Any:
    return await manager.at(chat.TALK).dispatch(chat.Said(user="ada", text=text), **options)


async def until_it_answers(manager: StateManager, text: str) -> None:
    """Dispatch until that succeeds, which it has to within some seconds; a failed one must not be stored."""
    deadline = time.monotonic() + 20
    while True:
        try:
            await said(manager, text)
        except StoreError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            return


async def test_a_commit_whose_answer_was_lost_is_found(far: StateManager, proxy: FaultProxy) -> None:
    proxy.cut(after_bytes=0, direction="replies", count=1)

    change = await said(far, "2")

    assert (3, 3) == (change.position, change.record.version)
    assert ["0", "1", "2"] == await texts(far)


async def test_a_commit_whose_request_was_lost_is_refused(far: StateManager, proxy: FaultProxy) -> None:
    proxy.cut(after_bytes=0, direction="requests", count=1)
    with pytest.raises(StoreError, match="cannot append"):
        await said(far, "lost")
    proxy.heal()

    assert 3 == (await said(far, "2")).position
    assert ["0", "1", "2"] == await texts(far)


async def test_a_connection_that_ended_while_idle_is_made_anew(far: StateManager, proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.reset()
    async with asyncio.timeout(10):
        while proxy.open_connections:  # noqa: ASYNC110  # the proxy tells nobody
            await asyncio.sleep(0.001)
    proxy.heal()

    await said(far, "2")

    assert ["0", "1", "2"] == await texts(far)


async def test_a_server_that_says_nothing_is_given_up_in_time(far: StateManager, proxy: FaultProxy) -> None:
    proxy.black_hole()
    started = time.monotonic()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(StoreError, match="may be stored or not"):
        await said(far, "lost or not")
    took_s = time.monotonic() - started
    ticking.cancel()

    assert took_s < 8  # the answer, then a connection, which libpq gives two seconds, and the look-up again
    assert ticks > 20, "the event loop was kept waiting"
    proxy.heal()
    await until_it_answers(far, "third")
    await far.refresh()
    assert "third" == (await texts(far))[-1]


async def test_a_server_that_was_killed_and_comes_back_is_used_again(
    opened: Open, own_postgres_server: Callable[..., PostgresServer]
) -> None:
    server = own_postgres_server()
    manager = await opened(server.url, limits=LIMITS)
    await said(manager, "first")
    await asyncio.to_thread(server.kill)
    with pytest.raises(StoreError, match="cannot"):
        await said(manager, "lost")

    await asyncio.to_thread(server.start)
    await until_it_answers(manager, "second")

    assert ["first", "second"] == await texts(manager)
    again = await opened(server.url)
    assert ["first", "second"] == await texts(again)


async def test_an_id_is_stored_once_whoever_dispatches_it(opened: Open, postgres_store: str) -> None:
    here, there = await opened(postgres_store), await opened(postgres_store)
    await said(here, "hello", id="m1")

    repeated = await said(there, "hello", id="m1")
    again = await said(here, "hello", id="m1")

    assert (True, 1) == (repeated.duplicate, repeated.position)
    assert (True, 1) == (again.duplicate, again.position)
    with pytest.raises(InvalidEvent, match="belongs to another event"):
        await said(there, "something else", id="m1")


async def test_of_equal_ids_at_the_same_time_one_is_stored(opened: Open, postgres_store: str) -> None:
    managers = [await opened(postgres_store) for _ in range(3)]

    changes = await asyncio.gather(*(said(manager, "hello", id="m1") for manager in managers))

    assert [False, True, True] == sorted(change.duplicate for change in changes)
    assert {1} == {change.position for change in changes}


async def test_what_others_wrote_first_is_folded_first(opened: Open, postgres_store: str) -> None:
    here, there = await opened(postgres_store), await opened(postgres_store)
    await said(here, "1")
    await said(there, "2")
    await here.at(chat.OTHER).dispatch(chat.Said(user="bob", text="3"))
    await said(here, "4")
    await there.refresh()

    assert ["1", "2", "4"] == await texts(here) == await texts(there)
    assert await here.state() == await there.state()


async def test_buffered_needs_the_store_for_itself(opened: Open, postgres_store: str) -> None:
    manager = await opened(postgres_store, durability="buffered")
    with pytest.raises(StoreError, match="a manager in `buffered` mode has the schema"):
        await opened(postgres_store)
    await said(manager, "announced")
    await manager.close()

    assert ["announced"] == await texts(await opened(postgres_store))


async def test_snapshots_and_plugins_are_in_the_same_schema(
    opened: Open, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 2)
    manager = await opened(postgres_store)
    for number in range(3):
        await said(manager, str(number))
    await manager.plugins["trader"].set("key", 5)
    await manager.close()

    again = await opened(postgres_store)

    assert 5 == await again.plugins["trader"].get("key")
    assert again.core.snapshots is not None
    assert again.core.snapshots.load(chat.TALK, report=pytest.fail)
    assert [] == list(again.problems)


async def test_a_password_is_never_told(opened: Open) -> None:
    with pytest.raises(StoreError) as caught:
        await opened("postgresql://ada:geheim@127.0.0.1:1/none")

    assert "geheim" not in repr(caught.value)
