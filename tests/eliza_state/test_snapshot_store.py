"""Snapshots in a storage: kept in two generations, with their chunks, and never trusted blindly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eliza_state.errors import StoreError
from eliza_state.path import Path
from eliza_state.snapshot_source import SnapshotSource
from eliza_state.snapshot_store import SnapshotStore
from eliza_state.snapshots import ChunkMissing, ScopeSnapshot, SliceSnapshot, digest_of
from eliza_state.storage import MemoryStorage, Storage
from eliza_state.storage.backend import Backend
from eliza_state.storage.wrapper import Wrapper
from tests.eliza_state.chat import OTHER, TALK

EPOCH = "an epoch"
CHUNKS = {digest_of(content): content for content in (b"first " * 99, b"second", b"third", b"fourth", b"")}
FIRST, SECOND, THIRD, FOURTH, EMPTY = CHUNKS


class Kept(Wrapper[bytes]):
    """A backend that stays when the storage over it is closed."""

    async def close(self) -> None:
        """Stay."""


@pytest.fixture
def backend() -> Backend[bytes]:
    """Where the snapshots lie, seen from below."""
    return Kept(MemoryStorage[bytes]().backend)


@pytest.fixture
async def open_store(backend: Backend[bytes]) -> AsyncIterator[Any]:
    """Open stores over one backend, each like another process's."""
    stores: list[SnapshotStore] = []

    def open_one(place: Any = lambda: Storage(backend), epoch: str = EPOCH) -> SnapshotStore:
        stores.append(SnapshotStore(SnapshotSource(place=place, database="nowhere.db"), epoch=epoch))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
def store(open_store: Any) -> SnapshotStore:
    return open_store()


def snapshot(position: int, *chunks: bytes, module: str = "talk") -> ScopeSnapshot:
    part = SliceSnapshot(module, 3, b'{"position":%d}' % position, chunks)
    return ScopeSnapshot(position, b"k%d" % position, "writer", (part,))


async def save(store: SnapshotStore, position: int, *chunks: bytes, path: Path = TALK) -> ScopeSnapshot:
    """Save a snapshot together with all of its chunks."""
    made = snapshot(position, *chunks)
    await store.save(path, made, chunks={digest: CHUNKS[digest] for digest in chunks})
    return made


def load(store: SnapshotStore, path: Path = TALK) -> list[ScopeSnapshot]:
    """Return what is loaded where nothing is wrong."""

    def report(error: StoreError) -> None:
        raise AssertionError(error)

    return store.load(path, report=report)


def stored_chunks(store: SnapshotStore) -> set[bytes]:
    found: set[bytes] = set()
    for digest in CHUNKS:
        try:
            store.chunks(TALK, [digest])
        except ChunkMissing:
            continue
        found.add(digest)
    return found


async def keys(backend: Backend[bytes], *, chunks: bool = False) -> list[str]:
    found = [key async for page in backend.scan("", nested=True) for key, _ in page]
    return [key for key in found if ("/chunk/" in key) == chunks]


async def put(backend: Backend[bytes], key: str, content: Any) -> None:
    """Write something else over a key."""
    space, _, name = key.rpartition("/")
    await Storage(backend).namespace(*space.split("/")).set(name, content)


async def test_a_snapshot_comes_back_as_it_was(store):
    saved = await save(store, 4, FIRST, SECOND, EMPTY)

    assert [saved] == load(store)
    assert {FIRST: CHUNKS[FIRST], EMPTY: b""} == store.chunks(TALK, [FIRST, EMPTY])


async def test_another_process_finds_it(open_store):
    saved = await save(open_store(), 4, FIRST)

    assert [saved] == load(open_store())
    assert {FIRST: CHUNKS[FIRST]} == open_store().chunks(TALK, [FIRST])


async def test_scopes_and_lives_of_journals_do_not_mix(store, open_store):
    await save(store, 3, FIRST)

    assert [] == load(store, OTHER)
    assert [] == load(store, Path())
    assert [] == load(open_store(epoch="another epoch"))
    with pytest.raises(ChunkMissing):
        store.chunks(OTHER, [FIRST])


async def test_two_generations_are_kept_with_their_chunks(store):
    await save(store, 1, FIRST)
    second, third = await save(store, 2, FIRST, SECOND), await save(store, 3, THIRD)

    assert [third, second] == load(store)
    assert {FIRST, SECOND, THIRD} == stored_chunks(store)

    fourth = await save(store, 4, FOURTH)

    assert [fourth, third] == load(store)
    assert {THIRD, FOURTH} == stored_chunks(store)


async def test_nothing_is_left_behind_however_many_are_taken(store, backend):
    for position, chunk in zip(range(1, 41), itertools.cycle([FIRST, SECOND, THIRD]), strict=False):
        await save(store, position, chunk)

    assert 2 == len(await keys(backend))
    assert 2 == len(await keys(backend, chunks=True))


async def test_a_chunk_that_is_stored_need_not_come_again(store):
    await save(store, 1, FIRST)

    await store.save(TALK, snapshot(2, FIRST, SECOND), chunks={SECOND: CHUNKS[SECOND]})

    assert {FIRST, SECOND} == stored_chunks(store)


async def test_a_snapshot_that_names_a_missing_chunk_is_refused(store):
    older = await save(store, 1, FIRST)

    with pytest.raises(ChunkMissing):
        await store.save(TALK, snapshot(2, SECOND, THIRD), chunks={THIRD: CHUNKS[THIRD]})

    assert [older] == load(store)
    assert {FIRST} == stored_chunks(store)


async def test_one_of_the_same_position_replaces_the_one_there(store):
    first = await save(store, 2)
    await save(store, 3, FIRST)
    again = await save(store, 3, SECOND)

    assert [again, first] == load(store)
    assert {SECOND} == stored_chunks(store)


async def test_an_older_one_never_replaces_newer_ones(store):
    newest = await save(store, 5, FIRST)
    newer = await save(store, 6, FIRST)

    await save(store, 4, FIRST)

    assert [newer, newest] == load(store)


async def test_what_was_set_aside_is_not_loaded_and_goes_first(store):
    older, newer = await save(store, 10, FIRST), await save(store, 20, SECOND)

    store.set_aside(TALK, newer)

    assert [older] == load(store)
    next_one = await save(store, 12)
    assert [next_one, older] == load(store)


async def test_a_position_that_was_set_aside_counts_again_once_it_is_saved(store):
    store.set_aside(TALK, await save(store, 10))

    again = await save(store, 10)

    assert [again] == load(store)


async def test_more_chunks_go_at_once_than_a_statement_takes_parameters(store):
    many = {digest_of(b"%d" % number): b"%d" % number for number in range(40_000)}
    await store.save(TALK, snapshot(1, *many), chunks=many)

    assert many == store.chunks(TALK, list(many))


@pytest.mark.parametrize(
    "content",
    [b"", b"snapshot-1:", b"snapshot-1:" + bytes(16), b"snapshot-2:" + bytes(99), "text", 7, None, {}],
)
async def test_what_is_no_snapshot_is_reported_and_replaced_first(store, backend, content):
    older = await save(store, 1, FIRST)
    await save(store, 2, SECOND)
    newest = max(await keys(backend))
    await put(backend, newest, content)
    told: list[StoreError] = []

    assert [older] == store.load(TALK, report=told.append)
    assert content is None or 1 == len(told)
    newer = await save(store, 3, THIRD)
    assert [newer, older] == load(store)


async def test_a_snapshot_of_another_scope_is_reported(store, backend):
    await save(store, 1)
    (other,) = await keys(backend)
    await save(store, 2, path=OTHER)
    (mine,) = set(await keys(backend)) - {other}
    await put(backend, mine, (await backend.read([other]))[other].value)
    told: list[StoreError] = []

    assert [] == store.load(OTHER, report=told.append)
    assert "is of another store or scope" in str(told[0])


@pytest.mark.parametrize("content", [b"", b"other", "text", None])
async def test_a_damaged_chunk_is_missing_until_it_is_written_again(store, backend, content):
    await save(store, 1, FIRST)
    (chunk,) = await keys(backend, chunks=True)
    await put(backend, chunk, content)

    with pytest.raises(ChunkMissing, match="missing or damaged"):
        store.chunks(TALK, [FIRST])
    await save(store, 2, FIRST)
    assert {FIRST: CHUNKS[FIRST]} == store.chunks(TALK, [FIRST])


async def test_chunks_come_from_a_closed_store(store):
    await save(store, 1, FIRST)
    await store.close()

    assert {FIRST: CHUNKS[FIRST]} == store.chunks(TALK, [FIRST])
    with pytest.raises(ChunkMissing):
        store.chunks(TALK, [SECOND])


async def test_a_closed_store_may_be_closed_again(store):
    await store.close()
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        await save(store, 1)


# Others at the same time


class Meddling(Wrapper[bytes]):
    """A backend in which another process does something right before a slot is written."""

    def __init__(self, inner: Backend[bytes], meddle: Any) -> None:
        super().__init__(inner)
        self.meddle = meddle

    async def write(self, writes):
        meddle, self.meddle = self.meddle, None
        if meddle is not None and "/chunk/" not in writes[0].key:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(meddle(), self.loop))
        elif meddle is not None:
            self.meddle = meddle
        return await super().write(writes)


async def test_a_newer_snapshot_that_comes_first_stays(open_store, backend):
    other = open_store()
    await save(other, 1)
    await save(other, 2)
    meddling = Meddling(backend, lambda: save(other, 9, FIRST))
    meddling.loop = asyncio.get_running_loop()

    await save(open_store(lambda: Storage(meddling)), 5, SECOND)

    assert [9, 2] == [found.position for found in load(other)]
    assert FIRST in stored_chunks(other)


async def test_an_older_snapshot_that_comes_first_is_replaced(open_store, backend):
    other = open_store()
    await save(other, 1)
    await save(other, 4)
    meddling = Meddling(backend, lambda: save(other, 5, FIRST))
    meddling.loop = asyncio.get_running_loop()

    await save(open_store(lambda: Storage(meddling)), 6, SECOND)

    assert [6, 4] == [found.position for found in load(other)]
    assert {SECOND} == stored_chunks(other)


async def test_many_processes_at_once_leave_snapshots_that_are_whole(open_store):
    stores = [open_store() for _ in range(4)]
    chunks = list(CHUNKS)

    await asyncio.gather(
        *(save(store, number, chunks[number % 5]) for number, store in enumerate(stores * 8, start=1))
    )

    found = load(stores[0])
    assert found
    assert all(loaded == snapshot(loaded.position, chunks[loaded.position % 5]) for loaded in found)


class Ending(Wrapper[bytes]):
    """A backend that does some calls that change something, and then no more, as if the process had ended."""

    def __init__(self, inner: Backend[bytes], calls: int) -> None:
        super().__init__(inner)
        self.calls = calls

    def _count(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise StoreError("over")

    async def write(self, writes):
        self._count()
        return await super().write(writes)

    async def remove(self, keys, *, dead_only=False):
        self._count()
        return await super().remove(keys, dead_only=dead_only)


@pytest.mark.parametrize("calls", range(4))
async def test_wherever_it_is_cut_off_what_is_found_is_whole_and_nothing_piles_up(open_store, backend, calls):
    store = open_store()
    first, second = await save(store, 1, FIRST, EMPTY), await save(store, 2, FIRST, SECOND)
    cut_off = open_store(lambda: Storage(Ending(backend, calls)))
    with contextlib.suppress(StoreError):
        await save(cut_off, 3, THIRD, SECOND)

    found = load(store)
    assert found in ([second, first], [snapshot(3, THIRD, SECOND), second])
    assert {digest for each in found for digest in each.chunks} <= stored_chunks(store)
    await save(store, 3, THIRD, SECOND)
    await save(store, 4, FOURTH)
    assert {SECOND, THIRD, FOURTH} <= stored_chunks(store) <= {FIRST, EMPTY, SECOND, THIRD, FOURTH}


# A storage that cannot be had


async def test_a_storage_that_cannot_be_opened_is_reported_once_and_then_left_alone(open_store, backend):
    tried: list[bool] = []

    def refuse() -> Storage[bytes]:
        tried.append(True)
        raise StoreError("no connection")

    store, told = open_store(refuse), list[StoreError]()

    assert [] == store.load(TALK, report=told.append)
    assert [] == store.load(TALK, report=told.append)
    with pytest.raises(ChunkMissing):
        store.chunks(TALK, [FIRST])
    with pytest.raises(StoreError):
        await save(store, 1)
    assert ["no connection"] == [str(error) for error in told]
    assert [True] == tried


async def test_it_is_tried_again_after_a_while(open_store, backend, monkeypatch):
    monkeypatch.setattr("eliza_state.snapshot_store._PAUSE_S", 0.0)
    answers = iter([StoreError("no connection"), Storage(backend)])

    def answer() -> Storage[bytes]:
        found = next(answers)
        if isinstance(found, StoreError):
            raise found
        return found

    store, told = open_store(answer), list[StoreError]()
    store.load(TALK, report=told.append)

    saved = await save(store, 1)

    assert [saved] == load(store)
    assert 1 == len(told)


class Failing(Wrapper[bytes]):
    """A backend that does not answer."""

    async def read(self, keys):
        raise StoreError("connection lost")

    async def close(self):
        raise StoreError("connection lost")


async def test_a_storage_that_fails_is_reported_once_a_scope(open_store, backend):
    store, told = open_store(lambda: Storage(Failing(backend))), list[StoreError]()

    assert [] == store.load(TALK, report=told.append)
    with pytest.raises(ChunkMissing, match="connection lost"):
        store.chunks(TALK, [FIRST])
    assert ["connection lost"] == [str(error) for error in told]


async def test_a_storage_that_cannot_be_closed_is_logged(open_store, backend, caplog):
    store = open_store(lambda: Storage(Failing(backend)))
    await store.open()

    await store.close()

    assert "connection lost" in caplog.text
