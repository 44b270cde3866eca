"""What a storage in Redis does with the server: keys, expiry, copies, event loops."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry, Write, Written
from eliza_state.storage.cache import Copy
from eliza_state.storage.errors import DamagedValue, StaleValue
from eliza_state.storage.redis.calls import GRACE_MS
from eliza_state.storage.redis.storage import RedisBackend, RedisStorage
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.redis.server import PATIENT_MS

if TYPE_CHECKING:
    from tests.servers import RedisServer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def backend(redis_url: str, clock: ManualClock) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(redis_url, answer_within_ms=PATIENT_MS, clock=clock)
    yield backend
    await backend.close()


@pytest.fixture
async def storage(redis_url: str) -> AsyncIterator[RedisStorage[Any]]:
    async with RedisStorage[Any](redis_url, answer_within_ms=PATIENT_MS) as storage:
        yield storage


@pytest.fixture
def bare(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client, as somebody else's tool would be."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


# what the server holds


async def test_a_value_is_one_string_with_a_head(
    backend: RedisBackend, bare: redis.Redis, clock: ManualClock
) -> None:
    await backend.write([Write("room/a", b"json:1", clock() // 1_000 + 60_000, 60_000)])

    stored: Any = bare.get("eliza_state:{room/}a")
    assert b"es1vh1704067200000000" == stored[:21]
    assert b"170406726000000000000600000000000000000" == stored[21:60]
    assert b":json:1" == stored[72:]


async def test_a_prefix_parts_storages(redis_url: str, storage: RedisStorage[Any]) -> None:
    async with RedisStorage[Any](redis_url, prefix="other", answer_within_ms=PATIENT_MS) as other:
        await storage.set("key", 1)
        await other.set("key", 2)
        await other.namespace("room").set("key", 3)
        await storage.clear()

        assert (None, 2, ["key"]) == (
            await storage.get("key"), await other.get("key"), [key async for key in other.keys()]
        )  # fmt: skip


async def test_the_server_drops_what_is_past_its_deadline(
    storage: RedisStorage[Any], bare: redis.Redis
) -> None:
    await storage.set("key", 1, ttl_ms=60_000)

    remaining: Any = bare.pttl("eliza_state:key")
    assert 60_000 < remaining <= 60_000 + GRACE_MS


async def test_what_has_no_deadline_stays_on_the_server(
    storage: RedisStorage[Any], bare: redis.Redis
) -> None:
    await storage.set("key", 1, ttl_ms=60_000)
    await storage.set("key", 2)

    assert -1 == bare.pttl("eliza_state:key")


async def test_touching_prolongs_the_life_on_the_server(
    backend: RedisBackend, bare: redis.Redis, clock: ManualClock
) -> None:
    await backend.write([Write("key", b"", clock() // 1_000 + 1_000, 60_000)])
    await backend.touch(["key"])

    remaining: Any = bare.pttl("eliza_state:key")
    assert remaining > 50_000


async def test_a_slow_clock_still_sees_what_the_server_keeps(
    backend: RedisBackend, bare: redis.Redis, clock: ManualClock
) -> None:
    """The server's clock runs ahead of the manual one by years."""
    await backend.write([Write("key", b"value", clock() // 1_000 + 60_000, 60_000)])

    assert ["key"] == list(await backend.read(["key"]))


async def test_a_tombstone_goes_at_its_deadline(storage: RedisStorage[Any], bare: redis.Redis) -> None:
    version = await storage.set("key", 1)
    await storage.delete("key", expected_version=version)

    remaining: Any = bare.pttl("eliza_state:key")
    assert 50_000 < remaining <= 60_000 + GRACE_MS


async def test_scripts_are_loaded_again_when_the_server_forgot_them(
    storage: RedisStorage[Any], bare: redis.Redis
) -> None:
    await storage.set("key", 1)
    bare.script_flush()
    await storage.set_many({"key": 2, "other": 3})

    assert {"key": 2, "other": 3} == await storage.get_many(["key", "other"])


async def test_a_deadline_beyond_the_digits_is_refused(backend: RedisBackend) -> None:
    with pytest.raises(StoreError, match="cannot be kept in Redis"):
        await backend.write([Write("key", b"", 10**14, 1)])


# writing


async def test_writes_of_one_key_follow_each_other(backend: RedisBackend, clock: ManualClock) -> None:
    now_us = clock()
    written = await backend.write(
        [Write("a", b"1"), Write("b", b"1"), Write("a", b"2", expected=now_us), Write("a", b"3", expected=7)]
    )

    assert [
        Written(now_us, True), Written(now_us, True), Written(now_us + 1, True), Written(now_us + 1, False)
    ] == written  # fmt: skip
    assert b"2" == (await backend.read(["a"]))["a"].value


async def test_a_fenced_write_is_stored_over_a_lower_version_only(backend: RedisBackend) -> None:
    outcomes = [(await backend.write([Write("key", b"", version=number)]))[0] for number in (5, 5, 4, 6)]

    assert [(5, True), (5, False), (5, False), (6, True)] == outcomes


async def test_thousands_in_one_call(backend: RedisBackend) -> None:
    keys = [f"room/{number}" for number in range(1_234)]
    await backend.write([Write(key, key.encode()) for key in keys])

    assert {key: key.encode() for key in keys} == {
        key: entry.value for key, entry in (await backend.read(keys)).items()
    }
    assert set(keys) == await backend.touch(keys)
    assert 1_234 == await backend.remove(keys)


async def test_two_storages_decide_who_was_first(redis_url: str) -> None:
    async with (
        RedisStorage[int](redis_url, answer_within_ms=PATIENT_MS) as one,
        RedisStorage[int](redis_url, answer_within_ms=PATIENT_MS) as other,
    ):
        await asyncio.gather(
            *(storage.update("n", lambda n: n + 1, default=0) for storage in (one, other) for _ in range(20))
        )

        assert 40 == await one.get("n")
        with pytest.raises(StaleValue):
            await other.set("n", 0, expected_version=0)


# what others put there


@pytest.fixture(params=["string", "list", "empty head"])
def foreign_key(request: pytest.FixtureRequest, bare: redis.Redis) -> str:
    """A key under which lies what the storage did not write."""
    name = "eliza_state:{room/}key"
    if request.param == "list":
        bare.rpush(name, "a", "b")
    else:
        bare.set(name, "hello" if request.param == "string" else b"es1" + b" " * 80)
    return "key"


@pytest.mark.parametrize(
    "operation",
    [
        lambda room, key: room.get(key),
        lambda room, key: room.get_many(["good", key]),
        lambda room, key: room.has(key),
        lambda room, key: room.set(key, 1),
        lambda room, key: room.set(key, 1, expected_version=0),
        lambda room, key: room.touch(key),
    ],
)
async def test_what_others_put_there_is_told_and_left(
    storage: RedisStorage[Any], foreign_key: str, bare: redis.Redis, operation: Callable[..., Any]
) -> None:
    room = storage.namespace("room")
    before = bare.dump("eliza_state:{room/}key")
    await room.set("good", 1)

    with pytest.raises(DamagedValue, match=r"'room/key' cannot be read: .*did not write"):
        await operation(room, foreign_key)
    assert before == bare.dump("eliza_state:{room/}key")


async def test_what_others_put_there_is_no_key(storage: RedisStorage[Any], foreign_key: str) -> None:
    room = storage.namespace("room")
    await room.set("good", 1)

    assert ["good"] == [key async for key in room.keys()]
    assert [("good", 1)] == [entry async for entry in room.entries()]


@pytest.mark.parametrize("remove", [lambda room, key: room.delete(key), lambda room, _: room.clear()])
async def test_what_others_put_there_may_be_removed(
    storage: RedisStorage[Any], foreign_key: str, bare: redis.Redis, remove: Callable[..., Any]
) -> None:
    room = storage.namespace("room")
    await remove(room, foreign_key)

    assert not bare.exists("eliza_state:{room/}key")
    assert await room.set(foreign_key, 1)


async def test_names_of_others_with_the_same_beginning_are_left(
    storage: RedisStorage[Any], bare: redis.Redis
) -> None:
    bare.mset({"eliza_state": 1, "eliza_statement:x": 1, "eliza_state:{open": 1, "x:eliza_state:a": 1})
    await storage.set("key", 1)
    await storage.clear()

    assert 4 == bare.dbsize()


# copies


def copy_at(version: int, content: Any = b"copy") -> Write[bytes]:
    deadline_ms = 1_704_067_260_000 if content is GONE else None
    return Write("key", content, deadline_ms, None if deadline_ms is None else 60_000, version=version)


async def test_a_copy_tells_that_it_is_one(backend: RedisBackend, clock: ManualClock) -> None:
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)
    await backend.write([Write("own", b"mine", version=7)])

    assert {
        "key": Copy(Entry(b"copy", 5), clock() // 1_000, is_own=False),
        "own": Copy(Entry(b"mine", 7), 0, is_own=True),
    } == await backend.read_copies(["key", "own", "missing"])


@pytest.mark.parametrize(("version", "content"), [(4, b"copy"), (5, b"newer"), (6, b"newer")])
async def test_a_copy_never_replaces_one_of_a_higher_version(
    backend: RedisBackend, clock: ManualClock, version: int, content: bytes
) -> None:
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)
    clock.advance(ms=10)
    await backend.write_copies([copy_at(version, b"newer")], max_age_ms=30_000)

    assert content == (await backend.read(["key"]))["key"].value


async def test_a_copy_of_the_same_version_is_confirmed_anew(
    backend: RedisBackend, clock: ManualClock
) -> None:
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)
    clock.advance(ms=10)
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)

    assert clock() // 1_000 == (await backend.read_copies(["key"]))["key"].confirmed_at_ms


async def test_a_copy_replaces_what_is_its_own_whatever_the_versions(backend: RedisBackend) -> None:
    await backend.write([Write("key", b"mine")])
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)

    assert (5, False) == (
        (await backend.read(["key"]))["key"].version, (await backend.read_copies(["key"]))["key"].is_own
    )  # fmt: skip


async def test_what_is_its_own_replaces_a_copy(backend: RedisBackend, clock: ManualClock) -> None:
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)
    written = await backend.write([Write("key", b"mine", expected=5)])

    assert [(clock(), True)] == written
    assert (await backend.read_copies(["key"]))["key"].is_own


@pytest.mark.parametrize(
    ("content", "life_ms"), [(b"copy", 30_000), (GONE, 60_000)], ids=["a value", "a tombstone"]
)
async def test_the_server_drops_copies_that_are_too_old(
    backend: RedisBackend, bare: redis.Redis, content: Any, life_ms: int
) -> None:
    await backend.write_copies([copy_at(5, content)], max_age_ms=30_000)

    remaining: Any = bare.pttl("eliza_state:key")
    assert life_ms - 10_000 < remaining <= life_ms + GRACE_MS


async def test_the_server_drops_a_copy_past_its_deadline(
    backend: RedisBackend, bare: redis.Redis, clock: ManualClock
) -> None:
    write = Write("key", b"copy", clock() // 1_000 + 1_000, 1_000, version=5)
    await backend.write_copies([write], max_age_ms=600_000)

    remaining: Any = bare.pttl("eliza_state:key")
    assert remaining <= 1_000 + GRACE_MS


async def test_touching_a_copy_does_not_keep_it_longer(
    backend: RedisBackend, bare: redis.Redis, clock: ManualClock
) -> None:
    write = Write("key", b"copy", clock() // 1_000 + 600_000, 600_000, version=5)
    await backend.write_copies([write], max_age_ms=1_000)

    assert {"key"} == await backend.touch(["key"])
    remaining: Any = bare.pttl("eliza_state:key")
    assert remaining <= 1_000 + GRACE_MS


async def test_copies_are_dropped_and_what_is_its_own_stays(backend: RedisBackend) -> None:
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)
    await backend.write([Write("own", b"mine")])
    await backend.drop_copies(["key", "own", "missing"])

    assert ["own"] == list(await backend.look(["key", "own"]))


async def test_a_scan_of_its_own_leaves_copies_out(backend: RedisBackend) -> None:
    await backend.write_copies([copy_at(5)], max_age_ms=30_000)
    await backend.write([Write("own", b"mine", version=7)])

    scans = [backend.scan_own(""), backend.scan("")]
    assert [["own"], ["key", "own"]] == [
        sorted([key async for page in scan for key, _ in page]) for scan in scans
    ]


async def test_a_sweep_leaves_what_is_not_past(backend: RedisBackend, clock: ManualClock) -> None:
    deadline_ms = clock() // 1_000 + 1_000
    await backend.write([Write("dead", b"", deadline_ms, 1_000), Write("gone", GONE, deadline_ms, 1_000)])
    await backend.write([Write("alive", b"", deadline_ms + 1, 1_001), Write("stays", b"")])
    clock.advance(ms=1_000)

    assert ["dead", "gone"] == sorted(await backend.sweep())
    assert ["alive", "stays"] == sorted(await backend.look(["dead", "gone", "alive", "stays"]))


# event loops and clients


def test_it_serves_one_event_loop_after_another(redis_url: str) -> None:
    storage = RedisStorage[int](redis_url, answer_within_ms=PATIENT_MS)

    async def count() -> int:
        return await storage.update("n", lambda n: n + 1, default=0)

    assert [1, 2, 3] == [asyncio.run(count()) for _ in range(3)]
    asyncio.run(storage.close())
    gc.collect()


def test_it_survives_a_loop_that_was_torn_down(redis_url: str) -> None:
    storage = RedisStorage[int](redis_url, answer_within_ms=PATIENT_MS)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(storage.set("n", 7))
    loop.close()

    async def finish() -> int | None:
        async with storage:
            return await storage.get("n")

    assert 7 == asyncio.run(finish())
    gc.collect()


async def test_no_connection_and_no_task_outlives_it(redis_url: str, bare: redis.Redis) -> None:
    before: Any = bare.info("clients")
    tasks = asyncio.all_tasks()
    async with RedisStorage[Any](redis_url, answer_within_ms=PATIENT_MS) as storage:
        await asyncio.gather(*(storage.set(str(number), number) for number in range(100)))
        await storage.backend.inner.listen(lambda *_: None, lambda: None)  # type: ignore[attr-defined]
        [key async for key in storage.keys()]

    assert tasks == asyncio.all_tasks()
    async with asyncio.timeout(30):
        while bare.info("clients")["connected_clients"] != before["connected_clients"]:  # type: ignore[index] # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_closed_storage_says_so(storage: RedisStorage[Any]) -> None:
    await storage.close()
    await storage.close()

    with pytest.raises(StoreError, match="the storage is closed"):
        await storage.get("key")


@pytest.mark.parametrize(
    "options", [{}, {"decode_responses": True}, {"protocol": 3}, {"max_connections": 2}], ids=str
)
async def test_an_applications_client_serves_and_stays_open(redis_url: str, options: dict[str, Any]) -> None:
    async with redis.asyncio.Redis.from_url(redis_url, **options) as client:
        async with RedisStorage[Any](client, answer_within_ms=PATIENT_MS) as storage:
            await asyncio.gather(*(storage.set(str(number), number) for number in range(5)))
            values = [value async for value in storage.values()]

        assert {0, 1, 2, 3, 4} == set(values)
        assert await client.ping()


async def test_a_burst_of_calls_waits_for_connections(
    redis_server: RedisServer, storage: RedisStorage[Any]
) -> None:
    await storage.set("key", 1)
    found = await asyncio.gather(*(storage.get("key") for _ in range(1_000)))

    assert [1] * 1_000 == found


async def test_its_repr_and_that_of_its_parts_hide_the_password(storage: RedisStorage[Any]) -> None:
    secret = RedisStorage[Any]("redis://ada:lovelace@localhost:1/0")
    shown = repr(secret) + repr(secret.backend) + repr(vars(secret.backend.inner))  # type: ignore[attr-defined]

    assert "lovelace" not in shown
