"""What a network and a server can do to a storage in Redis, and what its callers are told."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis

from eliza_state.errors import StoreError
from eliza_state.storage.backend import Write
from eliza_state.storage.errors import OutcomeUnknown, StaleValue
from eliza_state.storage.redis.storage import RedisBackend, RedisStorage
from eliza_state.testing import FaultProxy
from tests.eliza_state.storage.redis.server import PATIENT_MS, eventually

if TYPE_CHECKING:
    from tests.servers import RedisServer

StartServer = Callable[..., "RedisServer"]

LIMIT_MS = 400
# What a busy machine may add to a time limit.
SLACK_S = 5.0


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(*redis_server.address) as proxy:
        yield proxy


@asynccontextmanager
async def through(proxy: FaultProxy, *, answer_within_ms: float) -> AsyncIterator[RedisStorage[Any]]:
    """Open a storage whose server has seen its scripts."""
    url = f"redis://{proxy.address}"
    async with RedisStorage[Any](url, answer_within_ms=answer_within_ms) as storage:
        await storage.set("warm", 0)
        yield storage


@pytest.fixture
async def patient(proxy: FaultProxy) -> AsyncIterator[RedisStorage[Any]]:
    """A storage behind the proxy that waits for long."""
    async with through(proxy, answer_within_ms=PATIENT_MS) as storage:
        yield storage


@pytest.fixture
async def hasty(proxy: FaultProxy) -> AsyncIterator[RedisStorage[Any]]:
    """A storage behind the proxy that gives up soon."""
    async with through(proxy, answer_within_ms=LIMIT_MS) as storage:
        yield storage


def runs_of_scripts(server: RedisServer) -> int:
    with server.client() as client:
        found: Any = client.info("commandstats")
    return sum(found.get(name, {"calls": 0})["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval"))


async def eventually_so(condition: Callable[[], Any]) -> None:
    async def holds() -> bool:
        return bool(condition())

    await eventually(holds)


# lost answers


@pytest.mark.parametrize("options", [{}, {"expected_version": 0}, {"ttl_ms": 60_000}], ids=str)
async def test_a_write_whose_answer_is_lost_is_done_once_and_known(
    redis_server: RedisServer, proxy: FaultProxy, patient: RedisStorage[Any], options: dict[str, Any]
) -> None:
    before = runs_of_scripts(redis_server)
    proxy.cut(after_bytes=0, direction="replies", count=1)
    version = await patient.set("key", "value", **options)

    assert before + 1 == runs_of_scripts(redis_server)
    entry = await patient.entry("key")
    assert entry is not None
    assert (version, "value") == (entry.version, entry.value)


async def test_each_of_many_writes_whose_answers_are_lost_is_known(
    proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    proxy.cut(after_bytes=25, direction="replies", count=1)
    await patient.set_many({str(number): number for number in range(50)})

    assert 51 == len([key async for key in patient.keys()])


async def test_no_update_is_lost_or_doubled_with_the_answers(
    proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    for _ in range(5):
        proxy.cut(after_bytes=0, direction="replies", count=1)
        await patient.update("warm", lambda n: n + 1)

    assert 5 == await patient.get("warm")


async def test_an_answer_that_never_comes_is_made_up_for_by_looking(
    proxy: FaultProxy, hasty: RedisStorage[Any]
) -> None:
    proxy.drop_replies(1)
    version = await hasty.set("key", "value")

    mark = await hasty.mark("key")
    assert mark is not None
    assert version == mark.version


async def test_a_write_that_is_not_found_may_still_come(
    proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    proxy.cut(after_bytes=0, direction="requests", count=1)

    with pytest.raises(OutcomeUnknown, match="'key' may or may not have been changed"):
        await patient.set("key", "value")
    assert not await patient.has("key")


async def test_a_write_of_somebody_else_is_not_taken_for_its_own(
    redis_server: RedisServer, proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    """Both write the same value, by the same clock."""
    at_us = 1_800_000_000_000_000
    url = f"redis://{proxy.address}"
    lost = RedisBackend(url, answer_within_ms=PATIENT_MS, clock=lambda: at_us)
    other = RedisBackend(redis_server.url, answer_within_ms=PATIENT_MS, clock=lambda: at_us)
    await other.write([Write("key", b"value", expected=0)])
    await lost.read(["key"])
    proxy.cut(after_bytes=0, direction="requests", count=1)

    with pytest.raises(OutcomeUnknown):
        await lost.write([Write("key", b"value", expected=0)])
    await lost.close()
    await other.close()


@pytest.mark.parametrize(("stored", "outcome"), [(4, (5, True)), (5, (5, False)), (9, (9, False))])
async def test_the_outcome_of_a_fenced_write_is_known_from_what_is_there(
    proxy: FaultProxy, patient: RedisStorage[Any], stored: int, outcome: tuple[int, bool]
) -> None:
    backend = patient.backend.inner  # type: ignore[attr-defined]
    await backend.write([Write("key", b"", version=stored)])
    proxy.cut(after_bytes=0, direction="replies", count=1)

    assert [outcome] == await backend.write([Write("key", b"", version=5)])


@pytest.mark.parametrize(
    "change",
    [
        lambda storage: storage.delete("warm"),
        lambda storage: storage.touch("warm"),
        lambda storage: storage.backend.inner.write_copies([Write("key", b"", version=5)], max_age_ms=1_000),
    ],
    ids=["delete", "touch", "write_copies"],
)
async def test_other_changes_whose_answer_is_lost_say_so(
    proxy: FaultProxy, patient: RedisStorage[Any], change: Callable[..., Any]
) -> None:
    proxy.cut(after_bytes=0, direction="replies", count=1)

    with pytest.raises(OutcomeUnknown, match="may or may not"):
        await change(patient)


async def test_a_read_is_repeated_on_a_broken_connection(
    proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    proxy.cut(after_bytes=0, direction="replies", count=1)

    assert 0 == await patient.get("warm")


async def test_broken_connections_are_replaced(proxy: FaultProxy, patient: RedisStorage[Any]) -> None:
    await asyncio.gather(*(patient.get("warm") for _ in range(10)))
    proxy.reset()
    await eventually_so(lambda: not proxy.open_connections)

    assert [0] * 10 == await asyncio.gather(*(patient.get("warm") for _ in range(10)))
    assert await patient.set("key", 1)


# silence

OPERATIONS: dict[str, Callable[[RedisStorage[Any]], Any]] = {
    "get": lambda storage: storage.get("warm"),
    "has": lambda storage: storage.has("warm"),
    "set": lambda storage: storage.set("warm", 1),
    "delete": lambda storage: storage.delete("warm"),
    "touch": lambda storage: storage.touch("warm"),
    "clear": lambda storage: storage.clear(),
    "sweep": lambda storage: storage.sweep(),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_silence_ends_in_time(
    proxy: FaultProxy, hasty: RedisStorage[Any], operation: Callable[..., Any]
) -> None:
    proxy.black_hole()
    begun_s = time.monotonic()

    with pytest.raises(StoreError, match="did not answer in time"):
        await operation(hasty)
    took_s = time.monotonic() - begun_s
    assert LIMIT_MS / 1_000 * 0.9 <= took_s < LIMIT_MS / 1_000 + SLACK_S


async def test_a_write_into_silence_may_have_been_done(proxy: FaultProxy, hasty: RedisStorage[Any]) -> None:
    proxy.black_hole()

    with pytest.raises(OutcomeUnknown):
        await hasty.set("warm", 1)
    proxy.heal()
    await eventually_so(lambda: proxy.request_bytes)
    assert await hasty.get("warm") in (0, 1)


async def test_all_who_wait_in_silence_are_told_in_time(proxy: FaultProxy, hasty: RedisStorage[Any]) -> None:
    """Also those who wait for a connection."""
    proxy.black_hole()
    begun_s = time.monotonic()
    found = await asyncio.gather(*(hasty.get("warm") for _ in range(200)), return_exceptions=True)

    assert [StoreError] * 200 == [error.__class__.__mro__[1] for error in found]
    assert time.monotonic() - begun_s < LIMIT_MS / 1_000 + SLACK_S


async def test_a_late_answer_is_nobody_elses(proxy: FaultProxy, hasty: RedisStorage[Any]) -> None:
    await hasty.set_many({"a": "of a", "b": "of b"})
    proxy.black_hole()
    with pytest.raises(StoreError):
        await hasty.get("a")
    proxy.heal()

    assert ["of b", "of a"] == [await hasty.get("b"), await hasty.get("a")]


async def test_answers_are_not_mixed_up_by_cancellations(
    proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    keys = [str(number) for number in range(20)]
    await patient.set_many({key: key for key in keys})
    proxy.delay(ms=2)
    for round_ in range(10):
        tasks = [asyncio.create_task(patient.get(key)) for key in keys]
        for _ in range(round_):
            await asyncio.sleep(0.0005)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        assert keys[1::2] == [task.result() for task in tasks[1::2]]

    assert keys == await asyncio.gather(*(patient.get(key) for key in keys))


async def test_connections_that_are_still_being_made_are_closed_as_well(
    own_redis_server: StartServer,
) -> None:
    server = own_redis_server()
    storage = RedisStorage[int](server.url)
    reading = [asyncio.create_task(storage.get(f"k{number}")) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await storage.close()
    await asyncio.wait(reading)
    with redis.Redis.from_url(server.url) as client:

        async def is_alone() -> bool:
            return len(client.client_list()) == 1

        await eventually(is_alone)


async def test_a_slow_server_is_waited_for(proxy: FaultProxy, patient: RedisStorage[Any]) -> None:
    proxy.delay(ms=100)

    assert 0 == await patient.get("warm")


# servers


@asynccontextmanager
async def at(server: RedisServer, **options: Any) -> AsyncIterator[RedisStorage[Any]]:
    async with RedisStorage[Any](server.url, **{"answer_within_ms": PATIENT_MS, **options}) as storage:
        yield storage


async def test_a_paused_server_ends_no_storage(own_redis_server: StartServer) -> None:
    server = own_redis_server()
    async with at(server, answer_within_ms=LIMIT_MS) as storage:
        await storage.set("key", 1)
        server.pause()
        with pytest.raises(StoreError, match="did not answer in time"):
            await storage.get("key")
        server.resume()

        async def answers() -> bool:
            try:
                return await storage.get("key") == 1
            except StoreError:
                return False

        await eventually(answers)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_storage_survives_the_restart_of_its_server(own_redis_server: StartServer, end: str) -> None:
    server = own_redis_server(arguments=("--appendonly", "yes", "--appendfsync", "always"))
    async with at(server) as storage:
        await asyncio.gather(*(storage.set(str(number), number) for number in range(40)))
        getattr(server, end)()
        with pytest.raises(StoreError, match=f"Redis at 127.0.0.1:{server.port}: "):
            await storage.get("1")
        with pytest.raises(StoreError) as caught:
            await storage.set("1", 7)
        server.start()

        assert not isinstance(caught.value, OutcomeUnknown)
        assert list(range(40)) == await asyncio.gather(*(storage.get(str(number)) for number in range(40)))
        assert await storage.set("1", 7)


async def test_what_was_acknowledged_survives_a_killed_server(own_redis_server: StartServer) -> None:
    server = own_redis_server(arguments=("--appendonly", "yes", "--appendfsync", "always"))
    acknowledged: dict[str, int] = {}

    async def write(storage: RedisStorage[Any], writer: int) -> None:
        with contextlib.suppress(StoreError):
            for number in range(1_000_000):
                await storage.set(f"{writer}", number)
                acknowledged[str(writer)] = number

    async with at(server) as storage:
        writers = [asyncio.create_task(write(storage, writer)) for writer in range(8)]
        await eventually_so(lambda: len(acknowledged) == 8 and min(acknowledged.values()) > 5)
        await asyncio.to_thread(server.kill)
        await asyncio.wait(writers)
        server.start()
        found = await storage.get_many(acknowledged)

        assert all(found[writer] in (number, number + 1) for writer, number in acknowledged.items())


async def test_a_killed_client_leaves_whole_values(own_redis_server: StartServer) -> None:
    server = own_redis_server()
    program = (
        "import asyncio, sys\n"
        "from eliza_state.storage.redis.storage import RedisStorage\n"
        "async def main():\n"
        "    storage = RedisStorage(sys.argv[1])\n"
        "    for number in range(10**9):\n"
        "        await storage.set('key', [number] * 100_000)\n"
        "        print(number, flush=True)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(  # noqa: ASYNC220  # it is read in a thread
        [sys.executable, "-c", program, server.url],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            last = await asyncio.to_thread(process.stdout.readline)
        process.kill()
    async with at(server) as storage:
        found = await storage.get("key")

    assert [found[0]] * 100_000 == found
    assert found[0] >= int(last)


async def test_a_replica_takes_no_writes_and_says_so(own_redis_server: StartServer) -> None:
    primary = own_redis_server()
    async with at(own_redis_server(replica_of=primary)) as storage:
        with pytest.raises(StoreError, match="it is a replica, which takes no writes"):
            await storage.set("key", 1)
        assert await storage.get("key") is None


async def test_a_full_server_takes_no_writes_and_says_so(own_redis_server: StartServer) -> None:
    server = own_redis_server()
    async with at(server) as storage:
        await storage.set("key", 1)
        server.configure(maxmemory="1mb", maxmemory_policy="noeviction")

        with pytest.raises(StoreError, match="it has no memory left and may evict nothing"):
            await storage.set_many({str(number): "x" * 100_000 for number in range(30)})
        assert 1 == await storage.get("key")
        assert await storage.delete("key")


async def test_a_wrong_password_is_told_but_not_repeated(own_redis_server: StartServer) -> None:
    server = own_redis_server()
    server.configure(requirepass="open sesame")
    for credentials in ("", ":close%20sesame@", "ada:close%20sesame@"):
        url = f"redis://{credentials}127.0.0.1:{server.port}"
        async with RedisStorage[Any](url, answer_within_ms=PATIENT_MS) as storage:
            with pytest.raises(StoreError, match="does not accept the credentials") as caught:
                await storage.get("key")
            with pytest.raises(StoreError, match="does not accept the credentials"):
                await storage.set("key", 1)

            assert "sesame" not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"


async def test_where_publishing_is_not_permitted_nothing_is_changed(own_redis_server: StartServer) -> None:
    server = own_redis_server()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "ada", "on", ">lovelace", "~*", "+@all", "resetchannels")
    url = f"redis://ada:lovelace@127.0.0.1:{server.port}"
    async with RedisStorage[Any](url, answer_within_ms=PATIENT_MS) as storage:
        with pytest.raises(StoreError, match="the user may not do that"):
            await storage.set("key", 1)

        assert not await storage.has("key")


async def test_a_server_that_loads_its_data_says_so(own_redis_server: StartServer) -> None:
    options = {"enable-debug-command": "yes", "key-load-delay": 1_000, "rdbcompression": "no"}
    server = own_redis_server(settings=[f"{name} {value}" for name, value in options.items()])
    async with at(server) as storage:
        await storage.set_many({str(number): "x" * 10_000 for number in range(1_000)})

        def reload() -> None:
            with server.client(socket_timeout=60) as client:
                client.execute_command("DEBUG", "RELOAD")

        loading = threading.Thread(target=reload)
        loading.start()
        told: list[str] = []
        while loading.is_alive():
            try:
                await storage.set("key", 1)
            except StoreError as error:
                told.append(str(error))
        loading.join()

        assert any("it is still loading its data" in text for text in told)
        assert await storage.set("key", 1)


async def test_a_lost_race_is_told_as_such_whatever_the_network_does(
    proxy: FaultProxy, patient: RedisStorage[Any]
) -> None:
    version = await patient.set("key", 1)

    with pytest.raises(StaleValue):
        await patient.set("key", 2, expected_version=version - 1)


def test_nothing_of_redis_py_comes_through(own_redis_server: StartServer) -> None:
    """Errors of the client library are no part of the contract."""
    server = own_redis_server()
    server.kill()

    async def get() -> None:
        async with at(server) as storage:
            await storage.get("key")

    with pytest.raises(StoreError) as caught:
        asyncio.run(get())
    assert not isinstance(caught.value, redis.RedisError)
