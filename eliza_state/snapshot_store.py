"""Where snapshots lie: in a storage beside the journal, from which they may vanish at any time.

A scope has two slots, written in turn, and each holds one snapshot; the chunks that snapshots name lie
beside them, each once, under its digest. Nothing here is relied on: a slot or a chunk that is lost, damaged
or stale makes opening a scope slower, and nothing else.

Storages are asynchronous, and chunks are fetched when a state is touched, in whatever thread does that. So
the storage is opened, used and closed in an event loop of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import attrs
import msgspec

from eliza_state.errors import StoreError
from eliza_state.loop_thread import LoopThread
from eliza_state.path import Path
from eliza_state.snapshot_source import SnapshotSource
from eliza_state.snapshots import DIGEST_BYTES, ChunkMissing, ScopeSnapshot, digest_of
from eliza_state.storage import Storage
from eliza_state.storage.errors import DamagedValue

T = TypeVar("T")

_Found: TypeAlias = ScopeSnapshot | StoreError | None
"""What a slot holds: a snapshot, something that cannot be read and why, nothing."""

SPACE: Final = "snapshot"
"""The namespace of all snapshots: in it one for each epoch, in that one for each scope, with its chunks."""
CHUNKS: Final = "chunk"

_SLOTS: Final[Sequence[str]] = ("0", "1")
_FORMAT: Final = b"snapshot-1:"
_HEAD_BYTES: Final = len(_FORMAT) + DIGEST_BYTES
_NAME_BYTES: Final = 16
# How long a storage that could not be opened is left alone.
_PAUSE_S: Final = 30.0
# Caches have a quarter of a second for a call, whatever it carries.
_CHUNKS_AT_ONCE: Final = 64

_logger = logging.getLogger(__name__)


class _Unavailable(StoreError):
    """The storage could not be opened a moment ago, and is left alone for a while."""


class _Slot(msgspec.Struct, array_like=True, frozen=True):
    """What is written: whose snapshot, and the snapshot."""

    epoch: str
    path: str
    snapshot: ScopeSnapshot


class SnapshotStore:
    """Keep the snapshots of a journal's life (`epoch`) in a storage, which is opened when it is first needed.

    Any thread may call, any number of them at once.
    """

    def __init__(self, source: SnapshotSource, *, epoch: str) -> None:
        self._source = source
        self._epoch = epoch
        self._aside: set[tuple[Path, int]] = set()
        self._newer: set[tuple[str, int]] = set()
        self._storage: Storage[bytes] | None = None
        self._retry_at_s = 0.0
        self._thread = LoopThread("eliza-state-snapshots")

    async def open(self) -> None:
        """Open the storage now, if there is one. Raises what that raises; it is tried again later."""

        async def opening() -> None:
            self._opened()

        await asyncio.wrap_future(self._thread.submit(opening()))

    def _opened(self, *, create: bool = False) -> Storage[bytes] | None:
        """Return the storage; `None` where there is nothing yet. Only called in the thread."""
        if self._storage is None:
            if time.monotonic() < self._retry_at_s:
                raise _Unavailable("the storage of snapshots could not be opened a moment ago")
            try:
                self._storage = self._source.open(create=create)
            except StoreError:
                self._retry_at_s = time.monotonic() + _PAUSE_S
                raise
        return self._storage

    def use(self, work: Callable[[Storage[bytes]], Coroutine[Any, Any, T]]) -> T | None:
        """Run a coroutine with the storage, in the thread of its event loop; `None` where there is none yet.

        Raises `StoreError` for a storage that cannot be opened, and what the coroutine raises.
        """

        async def used() -> T | None:
            storage = self._opened()
            return None if storage is None else await work(storage)

        return self._thread.run(used())

    @property
    def storage(self) -> Storage[bytes] | None:
        """The storage, once it is open: for its figures. All else is done in its own thread: see `use`."""
        return self._storage

    @property
    def read_only(self) -> bool:
        """Whether nothing is stored here."""
        return self._source.read_only

    @property
    def is_own(self) -> bool:
        """Whether the storage is the file beside the database, in which nothing else lies."""
        return self._source.place is True

    def load(
        self, path: Path, *, report: Callable[[StoreError], None], with_aside: bool = False
    ) -> list[ScopeSnapshot]:
        """Return the snapshots of a scope, the newest first, without those that were set aside.

        `report` is told of what cannot be read.
        """
        slots = self._thread.run(self._load(path))
        errors = {str(slot): slot for slot in slots if isinstance(slot, StoreError)}
        for error in errors.values():
            report(error)
        found = [slot for slot in slots if isinstance(slot, ScopeSnapshot)]
        usable = [
            snapshot for snapshot in found if with_aside or (path, snapshot.position) not in self._aside
        ]
        return sorted(usable, key=lambda snapshot: -snapshot.position)

    async def _load(self, path: Path) -> Sequence[_Found]:
        try:
            storage = self._opened()
        except _Unavailable:
            return []
        except StoreError as error:
            return [error]
        return [] if storage is None else await self._read_slots(_scope(storage, self._epoch, path), path)

    def set_aside(self, path: Path, snapshot: ScopeSnapshot) -> None:
        """Have this process use a snapshot no more: it turned out to be of no use."""
        self._aside.add((path, snapshot.position))

    def remove(self, path: Path, *, before: int) -> None:
        """Delete the snapshots of a scope from before a position, and what cannot be read, from all layers.

        Their chunks go as well. Does nothing where the place is only read. Raises `StoreError` for a storage
        that does not answer.
        """
        if not self._source.read_only:
            self._thread.run(self._remove(path, before))

    async def _remove(self, path: Path, before: int) -> None:
        storage = self._opened()
        if storage is None:
            return
        scope = _scope(storage, self._epoch, path)
        slots = dict(zip(_SLOTS, await self._read_slots(scope, path), strict=True))
        kept = {
            name: found
            for name, found in slots.items()
            if isinstance(found, ScopeSnapshot) and found.position >= before
        }
        await scope.delete_many(slots.keys() - kept.keys())
        chunks = scope.namespace(CHUNKS)
        named = {digest.hex() for found in kept.values() for digest in found.chunks}
        await chunks.delete_many([name async for name in chunks.keys() if name not in named])  # noqa: SIM118

    def expunge(self) -> bool:
        """Have what was deleted gone from files as well, where a storage keeps any; tell whether it is.

        Raises `StoreError` for a storage that does not answer.
        """
        return self._source.read_only or self._thread.run(self._expunge())

    async def _expunge(self) -> bool:
        storage = self._opened()
        return storage is None or await storage.backend.expunge()

    def is_first_of(self, module: str, version: int) -> bool:
        """Tell, once, that no snapshot with a module in a version newer than today's was met before."""
        is_first = (module, version) not in self._newer
        self._newer.add((module, version))
        return is_first

    def chunks(self, path: Path, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return chunks of a scope's snapshots by digest, also once this is closed.

        Raises `ChunkMissing` if one of them is not there, cannot be had, or has another digest.
        """
        found: dict[bytes, bytes] = {}
        try:
            for some in _batches(digests):
                found.update(self._read_chunks(path, some))
        except StoreError as error:
            raise ChunkMissing(
                f"chunks of {path.encode()!r} cannot be read ({error}); a fold of the records replaces them"
            ) from error
        if missing := len(set(digests) - found.keys()):
            raise ChunkMissing(
                f"{missing} chunks of a snapshot of {path.encode()!r} are missing or damaged;"
                " a fold of the records replaces them"
            )
        return found

    def _read_chunks(self, path: Path, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        if self._thread.is_alive:
            return self._thread.run(self._load_chunks(path, digests))
        # States in hand may outlive their manager, and go with a fork.
        again = SnapshotStore(attrs.evolve(self._source, read_only=True), epoch=self._epoch)
        try:
            return again._read_chunks(path, digests)
        finally:
            again._thread.run(again._close_storage())
            again._thread.close()

    async def _load_chunks(self, path: Path, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        storage = self._opened()
        return {} if storage is None else await _whole_chunks(_scope(storage, self._epoch, path), digests)

    async def save(
        self, path: Path, snapshot: ScopeSnapshot, *, chunks: Mapping[bytes, bytes], ended: bool = False
    ) -> None:
        """Store a scope's snapshot with its new chunks by digest, in place of the older one of two.

        That of a scope that has `ended` goes into the archive as well, where the storage has one. Raises
        `ChunkMissing`, and stores nothing, when a named chunk is neither new nor stored, `StateError` when
        the storage does not take them.
        """
        await asyncio.wrap_future(self._thread.submit(self._save(path, snapshot, chunks, ended)))
        self._aside.discard((path, snapshot.position))

    async def _save(
        self, path: Path, snapshot: ScopeSnapshot, chunks: Mapping[bytes, bytes], ended: bool
    ) -> None:
        storage = self._opened(create=True)
        assert storage is not None
        archive = _with_archive(storage) if ended else None
        scope = _scope(archive or storage, self._epoch, path)
        reused = snapshot.chunks - chunks.keys()
        await _check_stored(scope, reused)
        if archive is not None:  # what was stored while it went on is not there yet
            for some in _batches(sorted(reused)):
                await _store_chunks(scope, await _all_chunks(scope, some))
        # Chunks first: wherever this is cut off, a slot names nothing that is not there. What is left over
        # then is named by the next snapshot, since the same state makes the same chunks.
        await _store_chunks(scope, chunks)
        await self._fill_slot(scope, path, snapshot)

    async def _fill_slot(self, scope: Storage[bytes], path: Path, snapshot: ScopeSnapshot) -> None:
        """Write a snapshot over the older of the two, and drop the chunks that only that one named."""
        slots: dict[str, _Found] = dict(zip(_SLOTS, await self._read_slots(scope, path), strict=True))
        name = self._slot_to_write(slots, path, snapshot)
        content = _encode(_Slot(self._epoch, path.encode(), snapshot))

        def replace(before: bytes | None) -> bytes:
            slots[name] = None if before is None else self._decode(before, path)
            is_newer = self._position(slots[name], path) > snapshot.position
            # Another process may have taken a newer one just now.
            return before if before is not None and is_newer else content

        try:
            if await scope.update(name, replace) is not content:
                return
        except DamagedValue:
            await scope.set(name, content)
        kept = frozenset[bytes]().union(*(_chunks_of(slots[other]) for other in _SLOTS if other != name))
        unnamed = _chunks_of(slots[name]) - kept - snapshot.chunks
        await scope.namespace(CHUNKS).delete_many([digest.hex() for digest in unnamed])

    def _slot_to_write(self, slots: Mapping[str, _Found], path: Path, snapshot: ScopeSnapshot) -> str:
        """Return the slot that holds a snapshot of the same position, else the one that holds the older.

        The last snapshot by newer code is left where it is, so that code of two versions, while both run,
        takes turns over one slot each.
        """
        positions = {name: self._position(found, path) for name, found in slots.items()}
        newer = [name for name, found in slots.items() if positions[name] >= 0 and _is_ahead(found, snapshot)]
        left = max(newer, key=lambda name: positions[name], default=None)
        free = [name for name in slots if name != left]
        same = [name for name in free if positions[name] == snapshot.position]
        return same[0] if same else min(free, key=lambda name: positions[name])

    def _position(self, found: _Found, path: Path) -> int:
        """Where a slot stands; -1 where it holds nothing of use, and so is the first to be written."""
        if not isinstance(found, ScopeSnapshot) or (path, found.position) in self._aside:
            return -1
        return found.position

    async def _read_slots(self, scope: Storage[bytes], path: Path) -> Sequence[_Found]:
        async def read(name: str) -> _Found:
            try:
                content = await scope.get(name)
            except StoreError as error:
                return error
            return None if content is None else self._decode(content, path)

        return await asyncio.gather(*map(read, _SLOTS))

    def _decode(self, content: Any, path: Path) -> ScopeSnapshot | StoreError:
        """Return the snapshot that was written for a scope, or why it cannot be had."""
        try:
            epoch, text, snapshot = read_slot(content)
        except StoreError as error:
            return error
        if (epoch, text) != (self._epoch, path.encode()):
            return StoreError(f"a snapshot is of another store or scope, {text!r}")
        return snapshot

    async def close(self) -> None:
        """Close the storage and end the thread; closing twice does nothing."""
        if self._thread.is_alive:
            await asyncio.wrap_future(self._thread.submit(self._close_storage()))
            await asyncio.to_thread(self._thread.close)

    async def _close_storage(self) -> None:
        if self._storage is not None:
            try:
                await self._storage.close()
            except StoreError as error:
                _logger.warning("what was held back of snapshots is lost, opening gets slower: %s", error)


def read_slot(content: Any) -> tuple[str, str, ScopeSnapshot]:
    """Return what a slot holds: the epoch of its journal, the text form of its scope, the snapshot.

    Raises `StoreError` for what is none, or damaged.
    """
    if type(content) is not bytes or not content.startswith(_FORMAT):
        raise StoreError("a snapshot is in a format that this code does not know")
    body = content[_HEAD_BYTES:]
    if digest_of(body) != content[len(_FORMAT) : _HEAD_BYTES]:
        raise StoreError("a snapshot is damaged: its checksum differs")
    try:
        slot = msgspec.msgpack.decode(body, type=_Slot)
    except msgspec.MsgspecError as error:
        raise StoreError(f"a snapshot cannot be read: {error}") from error
    return slot.epoch, slot.path, slot.snapshot


def space_of_scope(path: Path) -> str:
    """Return the name of a scope's namespace: a path may be longer than a name may be."""
    return hashlib.blake2b(path.encode().encode(), digest_size=_NAME_BYTES).hexdigest()


def _with_archive(storage: Storage[bytes]) -> Storage[bytes] | None:
    """Return the same storage, writing to its archive as well; `None` if there is none."""
    # Only here: of the others, none needs the layers imported.
    from eliza_state.storage.layered import LayeredStore, PersistOptions  # noqa: PLC0415

    if isinstance(storage, LayeredStore) and any(layer.role == "archive" for layer in storage.status()):
        return storage.keeping(PersistOptions(archive=True))
    return None


def _scope(storage: Storage[bytes], epoch: str, path: Path) -> Storage[bytes]:
    return storage.namespace(SPACE, epoch, space_of_scope(path))


def _encode(slot: _Slot) -> bytes:
    body = msgspec.msgpack.encode(slot)
    return _FORMAT + digest_of(body) + body


def _is_ahead(found: _Found, snapshot: ScopeSnapshot) -> bool:
    """Tell whether what a slot holds is by newer code than a snapshot: some module's version is higher."""
    if not isinstance(found, ScopeSnapshot):
        return False
    versions = {stored.module: stored.module_version for stored in snapshot.slices}
    return any(
        stored.module_version > versions.get(stored.module, stored.module_version) for stored in found.slices
    )


def _chunks_of(found: _Found) -> frozenset[bytes]:
    return found.chunks if isinstance(found, ScopeSnapshot) else frozenset()


async def _check_stored(scope: Storage[bytes], digests: Iterable[bytes]) -> None:
    names = [digest.hex() for digest in digests]
    if missing := len(names) - len(await scope.namespace(CHUNKS).has_many(names)):
        raise ChunkMissing(f"{missing} chunks that a snapshot names are not stored")


async def _store_chunks(scope: Storage[bytes], chunks: Mapping[bytes, bytes]) -> None:
    for some in _batches(list(chunks)):
        await scope.namespace(CHUNKS).set_many({digest.hex(): chunks[digest] for digest in some})


async def _all_chunks(scope: Storage[bytes], digests: Sequence[bytes]) -> dict[bytes, bytes]:
    found = await _whole_chunks(scope, digests)
    if missing := len(digests) - len(found):
        raise ChunkMissing(f"{missing} chunks that a snapshot names are missing or damaged")
    return found


async def _whole_chunks(scope: Storage[bytes], digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return those of the chunks that are there and have the digest that they are named by."""
    names = {digest.hex(): digest for digest in digests}
    stored = await scope.namespace(CHUNKS).get_many(names)
    return {
        names[name]: content
        for name, content in stored.items()
        if type(content) is bytes and digest_of(content) == names[name]
    }


def _batches(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), _CHUNKS_AT_ONCE):
        yield digests[start : start + _CHUNKS_AT_ONCE]
