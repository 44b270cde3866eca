"""A store with keys for its secrets: sealed at rest, readable with the key, whole without it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path as FilePath
from typing import Any

import attrs
import pytest

from eliza_serializers import JsonSerializer, Secret, SecretLocked
from eliza_serializers.sealing import SecretKeys
from eliza_state import snapshotter
from eliza_state.collections import Log, Map
from eliza_state.errors import InvalidEvent
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.plugins import Plugins
from eliza_state.portal import SyncStateManager
from tests.eliza_state.stored_snapshots import stored
from tests.secrets.search import expanded

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = SecretKeys({"old": OLD})
BOTH = SecretKeys({"old": OLD, "new": NEW})
ROOM = "agent:eliza/room:general"


@event("key_given")
class KeyGiven:
    name: str
    value: Secret[str]


@attrs.frozen
class Keys:
    last: Secret[str] | None = None
    by_name: Map[str, Secret[str]] = attrs.field(factory=Map[str, Secret[str]])
    all: Log[Secret[str]] = attrs.field(factory=Log[Secret[str]])


class KeysModule(StateModule[Keys]):
    name = "keys"
    level = "room"

    @reduces(KeyGiven)
    def give(self, state: Keys, event: KeyGiven) -> Keys:
        by_name = state.by_name.set(event.name, event.value)
        return evolve(state, last=event.value, by_name=by_name, all=state.all.append(event.value))


@pytest.fixture
def url(tmp_path: FilePath) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@asynccontextmanager
async def opened(url: str, keys: SecretKeys | None, **options: Any) -> AsyncIterator[StateManager]:
    async with StateManager.open(url, modules=[KeysModule()], secret_keys=keys, **options) as manager:
        yield manager
        assert not list(manager.problems)


def given(number: int) -> KeyGiven:
    return KeyGiven(name=f"k{number}", value=Secret(f"hunter{number:05}"))


async def write(url: str, keys: SecretKeys | None, *, first: int = 0, count: int = 1) -> None:
    async with opened(url, keys) as manager:
        await manager.dispatch_all([(given(number), ROOM) for number in range(first, first + count)])


async def read(url: str, keys: SecretKeys | None) -> Keys:
    async with opened(url, keys) as manager:
        return await manager.at(ROOM).state(KeysModule)


def payloads(url: str) -> list[bytes]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return [row[0] for row in connection.execute("SELECT payload FROM record ORDER BY position")]


async def test_the_journal_holds_no_secret_and_stays_readable(url: str):
    await write(url, KEYS)
    [payload] = payloads(url)

    assert b"hunter" not in payload
    assert b'"name":"k0"' in payload
    assert Secret("hunter00000") == (await read(url, KEYS)).last


@pytest.fixture
def always_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshotter, "MIN_CLOSING_TAIL", 1)


async def test_a_process_without_keys_folds_stores_and_loses_nothing(url: str, always_snapshots: None):
    await write(url, KEYS, count=3)
    locked = await read(url, None)
    with pytest.raises(SecretLocked, match="'old'"):
        locked.by_name["k1"].reveal()
    slots, _ = await stored(url)
    state = await read(url, KEYS)

    assert slots
    assert ["hunter00000", "hunter00001", "hunter00002"] == [secret.reveal() for secret in state.all]


async def test_what_a_process_without_keys_adds_is_in_plain(url: str):
    await write(url, KEYS)
    await write(url, None, first=1)
    state = await read(url, KEYS)

    assert [Secret("hunter00000"), Secret("hunter00001")] == list(state.all)
    assert [False, True] == [b"hunter" in payload for payload in payloads(url)]


async def test_old_keys_are_needed_for_old_records_alone(url: str):
    await write(url, KEYS)
    await write(url, BOTH, first=1)
    state = await read(url, SecretKeys({"new": NEW}))

    assert "hunter00001" == state.all[1].reveal()
    with pytest.raises(SecretLocked, match="'old', which was not given"):
        state.all[0].reveal()


async def test_snapshots_are_sealed_with_the_current_key(url: str, always_snapshots: None):
    await write(url, KEYS)
    await write(url, BOTH, first=1)
    with closing(sqlite3.connect(f"{url.removeprefix('sqlite:///')}-snapshots")) as connection:
        values = [value for (value,) in connection.execute("SELECT value FROM eliza_state_kv")]
    contents = [content for value in values for content in expanded(value)]

    assert not any(b"hunter" in content for content in contents)
    assert any(content.count(b'"new:') == 5 and b'"old:' not in content for content in contents)


async def test_chunks_that_did_not_change_are_not_written_again(url: str, always_snapshots: None):
    await write(url, KEYS, count=600)
    _, chunks = await stored(url)
    async with opened(url, KEYS) as manager:
        await manager.dispatch(given(600), to=ROOM)
    _, after = await stored(url)

    assert chunks
    assert chunks == after


async def test_whoever_folds_the_same_records_writes_the_same_chunks(url: str, always_snapshots: None):
    await write(url, KEYS, count=600)
    found: list[set[str]] = []
    for _ in range(2):
        await asyncio.to_thread(forget_snapshots, url)
        await read(url, KEYS)
        _, chunks = await stored(url)
        found.append(chunks)

    assert found[0]
    assert found[0] == found[1]


def forget_snapshots(url: str) -> None:
    with closing(sqlite3.connect(f"{url.removeprefix('sqlite:///')}-snapshots")) as connection, connection:
        connection.execute("DELETE FROM eliza_state_kv")


async def test_the_same_event_again_is_a_duplicate(url: str):
    for _ in range(2):
        async with opened(url, KEYS) as manager:
            first = await manager.dispatch(given(0), to=ROOM, id="once")
            again = await manager.dispatch(given(0), to=ROOM, id="once")
            assert again.duplicate

    assert first.duplicate
    assert 1 == len(payloads(url))


async def test_another_secret_under_an_id_is_refused_without_showing_either(url: str):
    async with opened(url, KEYS) as manager:
        await manager.dispatch(given(0), to=ROOM, id="once")
        with pytest.raises(InvalidEvent, match="belongs to another event") as caught:
            await manager.dispatch(given(1), to=ROOM, id="once")

    assert "hunter" not in str(caught.value)


async def test_a_sealed_payload_cannot_be_handed_in(url: str):
    async with opened(url, KEYS) as manager:
        change = await manager.dispatch(given(0), to=ROOM)
        copied = KEYS.seal(b'"hunter00000"')
        payload = {"name": "k1", "value": {"_type": "Secret", "sealed": True, "data": copied}}
        with pytest.raises(InvalidEvent, match=r"key_given: \$\.value: expected the content of a Secret"):
            await manager.dispatch("key_given", payload, to=ROOM)

    assert change.position == 1


async def test_what_is_kept_in_memory_costs_no_encryption():
    async with opened("memory://", KEYS) as manager:
        change = await manager.dispatch(given(0), to=ROOM)

    assert Secret("hunter00000") == change.after["keys"].last


async def test_buffered_records_are_sealed_too(url: str):
    async with opened(url, KEYS, durability="buffered") as manager:
        await manager.dispatch(given(0), to=ROOM)

    assert b"hunter" not in payloads(url)[0]


async def test_a_follower_reads_what_is_sealed(url: str):
    heard: list[Any] = []
    await write(url, KEYS)
    async with opened(url, KEYS) as manager:
        follower = await manager.follow("listener", lambda recorded, write: heard.append(recorded.event))
        await follower.settled()

    assert given(0) in heard


def test_the_synchronous_face_takes_keys(url: str):
    with SyncStateManager.open(url, modules=[KeysModule()], secret_keys=KEYS) as manager:
        manager.dispatch(given(0), to=ROOM)

    assert b"hunter" not in payloads(url)[0]


# an older schema version


@event("pair_given")
class BothGiven:
    both: Secret[tuple[str, ...]]


@event("pair_given", version=2, upcasters={1: lambda old: {"pair": old["both"]}})
class PairGiven:
    pair: Secret[tuple[str, ...]]


@attrs.frozen
class Pairs:
    all: tuple[Secret[tuple[str, ...]], ...] = ()


class BothModule(StateModule[Pairs]):
    name = "pairs"
    level = "room"

    @reduces(BothGiven)
    def give(self, state: Pairs, event: BothGiven) -> Pairs:
        return evolve(state, all=(*state.all, event.both))


class PairModule(StateModule[Pairs]):
    name = "pairs"
    level = "room"

    @reduces(PairGiven)
    def give(self, state: Pairs, event: PairGiven) -> Pairs:
        return evolve(state, all=(*state.all, event.pair))


async def pair(url: str, keys: SecretKeys | None) -> Secret[tuple[str, ...]]:
    async with StateManager.open(url, modules=[PairModule()], secret_keys=keys) as manager:
        [pair] = (await manager.at(ROOM).state(PairModule)).all
        assert not list(manager.problems)
    return pair


async def test_a_sealed_secret_of_an_older_schema_version_keeps_its_type(url: str):
    async with StateManager.open(url, modules=[BothModule()], secret_keys=KEYS) as manager:
        await manager.dispatch(BothGiven(both=Secret(("hunter", "2"))), to=ROOM)

    assert ("hunter", "2") == (await pair(url, KEYS)).reveal()


async def test_one_of_an_older_schema_version_is_upcast_without_its_key(url: str):
    async with StateManager.open(url, modules=[BothModule()], secret_keys=KEYS) as manager:
        await manager.dispatch(BothGiven(both=Secret(("hunter", "2"))), to=ROOM)
    locked = await pair(url, None)

    with pytest.raises(SecretLocked, match="'old'"):
        locked.reveal()


# plugins


async def test_plugins_of_a_store_seal_their_secrets(url: str):
    async with opened(url, KEYS) as manager:
        await manager.plugins["trader"].set("key", [Secret("hunter2")])
    async with opened(url, KEYS) as manager:
        assert [Secret("hunter2")] == await manager.plugins["trader"].get("key")
    folder = FilePath(url.removeprefix("sqlite:///")).parent
    content = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())

    assert b"old:" in content
    assert b"hunter" not in content


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
async def test_plugins_with_keys_of_their_own(url: str, serializer: str):
    async with Plugins.in_database(url, secret_keys=KEYS, serializer=serializer) as plugins:
        await plugins["trader"].set("key", Secret("hunter2"))
    async with Plugins.in_database(url, serializer=serializer) as plugins:
        locked = await plugins["trader"].get("key")
        await plugins["trader"].set("copy", locked)
    async with Plugins.in_database(url, secret_keys=BOTH, serializer="json") as plugins:
        assert Secret("hunter2") == await plugins["trader"].get("copy")

    with pytest.raises(SecretLocked):
        locked.reveal()


def test_a_serializer_that_is_made_has_keys_of_its_own():
    with pytest.raises(ValueError, match="name of a serializer"):
        Plugins.in_database(serializer=JsonSerializer(), secret_keys=KEYS)
