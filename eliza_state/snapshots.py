"""Slices as they are stored between dispatches: a body, and the full chunks of large collections.

A body is JSON: the state with its persistent collections left empty, and for each of those the digests of
its full chunks and its last, partial chunk. A full chunk is stored once, under the digest of its content,
and never again; reading the state back loads none of them before it is touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import attrs
import msgspec

from eliza_serializers import Serializer
from eliza_state.codec import PLAIN, Codec
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.collections.chunk import Chunk, LazyChunk, chunk_from_data, chunk_to_data
from eliza_state.collector import collector_paused
from eliza_state.errors import StateError, StoreError
from eliza_state.module import StateModule
from eliza_state.tree import EventVersion

Fetch = Callable[[Sequence[bytes]], Mapping[bytes, bytes]]
"""Return the contents of chunks by their digests; `StateError` if one cannot be had."""

_COLLECTIONS: Final = (Log, Map, Set, Entities)
EMPTY: Final = {Log: Log[Any](), Map: Map[Any, Any](), Set: Set[Any](), Entities: Entities[Any]()}

DIGEST_BYTES: Final = 16
_AHEAD: Final = 16
"""How many chunks are read at once at most; they wait as bytes until they are touched."""
"""The length of a chunk's digest."""


def digest_of(content: bytes) -> bytes:
    """Return the digest under which a chunk is stored (BLAKE2b, 16 bytes)."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class ChunkMissing(StoreError):
    """A snapshot names a chunk that is not stored, or is damaged."""


class SliceSnapshot(msgspec.Struct, array_like=True, frozen=True):
    """One slice as stored; `body` names its `chunks` by digest.

    `handled` are the events that the module handled when it was taken, with the schema versions they had
    then, and `since_position` is where the module began: what of the records the slice has seen.
    """

    module: str
    module_version: int
    body: bytes
    chunks: tuple[bytes, ...] = ()
    handled: dict[str, int] | None = None
    since_position: int = 0


class ScopeSnapshot(msgspec.Struct, array_like=True, frozen=True):
    """All slices of a scope at one position, as stored.

    `record_key` is the id of the record at `position` and `writer` the manager that wrote it: together they
    tell whether the journal still is the one the snapshot was taken from. An id alone may come from the
    caller, who uses it again after an older copy of the journal was restored.

    `events` are the names and schema versions of the records up to `position` at or below the scope,
    `own_events` those of the ones addressed to it. Snapshots of before these were kept have none.
    """

    position: int
    record_key: bytes
    writer: str
    slices: tuple[SliceSnapshot, ...]
    events: frozenset[EventVersion] | None = None
    own_events: frozenset[EventVersion] = frozenset()

    @property
    def chunks(self) -> frozenset[bytes]:
        """The digests of all chunks that its slices name."""
        return frozenset(digest for found in self.slices for digest in found.chunks)


class _Chunk(msgspec.Struct, array_like=True, frozen=True):
    """A full chunk in a table of contents."""

    digest: bytes
    length: int
    dead: int


class Column(msgspec.Struct, frozen=True):
    """One column of a collection: its full chunks by digest, and what follows them."""

    chunks: list[_Chunk]
    tail: msgspec.Raw
    dead: list[int]


class Body(msgspec.Struct, frozen=True):
    """A stored slice: its state without the columns of its collections, and those by field."""

    state: msgspec.Raw
    columns: dict[str, dict[str, Column]]
    keys: dict[str, str]


class Dump(NamedTuple):
    """A slice ready to be stored.

    `chunks` are the new full chunks by digest with their content; `named` all digests that the body names.
    Call `confirm` once they are stored: from then on those chunks are named, not written again.
    """

    body: bytes
    chunks: dict[bytes, bytes]
    named: tuple[bytes, ...]
    addresses: list[tuple[Chunk[Any], Any]]

    def confirm(self) -> None:
        """Remember in the chunks where they are stored."""
        for chunk, address in self.addresses:
            chunk.address = address


def dump_slice(
    module: StateModule[Any], state: Any, *, place: str, again: bool = False, codec: Codec = PLAIN
) -> Dump:
    """Return what to store for a slice.

    `place` names where its chunks are kept; a chunk stored there before is only named, unless `again`.
    Raises `StateError` for a state that cannot be written.
    """
    try:
        writer = _Writing(place, again, codec.serializer)
        collections = {name: getattr(state, name) for name in collection_fields(module)}
        keys = {name: found.key for name, found in collections.items() if isinstance(found, Entities)}
        fields = collection_fields(module, keys)
        columns = {name: writer.columns(fields[name], found) for name, found in collections.items()}
        empty = {name: EMPTY[type(found)] for name, found in collections.items()}
        rest = attrs.evolve(state, **empty) if empty else state
        text = _encode_state(module, rest, codec.serializer)
        body = msgspec.json.encode(Body(msgspec.Raw(text), columns, keys))
    except Exception as error:  # a module's own `serialize` is foreign code
        raise StateError(f"the state of module {module.name!r} cannot be written: {error!r}") from error
    return Dump(body, writer.new, tuple(writer.named), writer.addresses)


def restore_slice(
    module: StateModule[Any],
    body: bytes,
    fetch: Fetch,
    *,
    place: str,
    lose: Callable[[StateError], None] = lambda _error: None,
    codec: Codec = PLAIN,
) -> Any:
    """Return the state of a slice from its body; its full chunks are fetched when they are first touched.

    Raises `StateError` for a body that cannot be read. A chunk that cannot be read when it is touched
    raises `ChunkMissing` there, after `lose` was told.
    """
    try:
        found = msgspec.json.decode(body, type=Body)
        fields = collection_fields(module, found.keys)
        reading = _Reading(fetch, place, lose, codec.serializer)
        state = _decode_state(module, bytes(found.state), codec.serializer)
        changes = {
            name: _restore_collection(fields[name], columns, reading, key=found.keys.get(name, "id"))
            for name, columns in found.columns.items()
        }
        return attrs.evolve(state, **changes) if changes else state
    except ChunkMissing:
        raise
    except Exception as error:  # `deserialize`, converters and validators are foreign code
        raise StateError(f"its body cannot be read: {error!r}") from error


class _Writing:
    """What one dump gathers."""

    def __init__(self, place: str, again: bool, serializer: Serializer) -> None:
        self._place = place
        self._again = again
        self._serializer = serializer
        self.new: dict[bytes, bytes] = {}
        self.named: list[bytes] = []
        self.addresses: list[tuple[Chunk[Any], Any]] = []

    def columns(self, types: dict[str, Any], collection: Any) -> dict[str, Column]:
        return {name: self._column(types[name], log) for name, log in collection.columns().items()}

    def _column(self, item_type: Any, log: Log[Any]) -> Column:
        full: list[_Chunk] = []
        tail: Chunk[Any] | LazyChunk[Any] = Chunk()
        for chunk in log.chunks():
            if len(chunk) == log.chunk_size:
                full.append(self._full(item_type, chunk))
            else:
                tail = chunk
        items, dead = chunk_to_data(tail)
        return Column(full, msgspec.Raw(self._serializer.encoder(list[item_type])(items)), dead)

    def _full(self, item_type: Any, chunk: Chunk[Any] | LazyChunk[Any]) -> _Chunk:
        address: Any = chunk.address
        if address is not None and address[0] == self._place and not self._again:
            _, digest = address
        else:
            items, dead = chunk_to_data(chunk)
            text = self._serializer.encoder(list[item_type])(items)
            content = msgspec.json.encode([msgspec.Raw(text), dead])
            digest = digest_of(content)
            self.new[digest] = content
            loaded = chunk.chunk() if isinstance(chunk, LazyChunk) else chunk
            self.addresses.append((loaded, (self._place, digest)))
        self.named.append(digest)
        return _Chunk(digest, len(chunk), chunk.dead)


class _Reading:
    """Where the chunks of one restored slice come from."""

    def __init__(
        self, fetch: Fetch, place: str, lose: Callable[[StateError], None], serializer: Serializer
    ) -> None:
        self._fetch = fetch
        self._place = place
        self._lose = lose
        self._serializer = serializer

    def column(self, item_type: Any, column: Column, *, at_once: bool) -> Log[Any]:
        """Read a column; `at_once` fetches all its chunks when one is touched, as an index of keys does."""
        fetch = self._together(column) if at_once else self._ahead(column)
        tail = chunk_from_data(self._serializer.decoder(list[item_type])(bytes(column.tail)), column.dead)
        return Log.from_chunks([*(self._lazy(item_type, entry, fetch) for entry in column.chunks), tail])

    def _together(self, column: Column) -> Fetch:
        fetched: dict[bytes, bytes] = {}

        def fetch(digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
            if not fetched:
                fetched.update(self._fetch([entry.digest for entry in column.chunks]))
            return {digest: fetched[digest] for digest in digests}

        return fetch

    def _ahead(self, column: Column) -> Fetch:
        """Return what fetches more and more chunks at a time, as long as one after the other is touched."""
        digests = [entry.digest for entry in column.chunks]
        places = {digest: place for place, digest in enumerate(digests)}
        waiting: dict[bytes, bytes] = {}
        expected, window = -1, 1

        def fetch(wanted: Sequence[bytes]) -> Mapping[bytes, bytes]:
            nonlocal expected, waiting, window
            (digest,) = wanted
            place = places[digest]
            window = min(2 * window, _AHEAD) if place == expected else 1
            expected = place + 1
            content = waiting.pop(digest, None)
            if content is None:
                waiting = dict(self._fetch(digests[place : place + window]))
                content = waiting.pop(digest)
            return {digest: content}

        return fetch

    def _lazy(self, item_type: Any, entry: _Chunk, fetch: Fetch) -> LazyChunk[Any]:
        def load() -> list[Any]:
            content = fetch([entry.digest])[entry.digest]
            try:
                with collector_paused():
                    items, dead = msgspec.json.decode(content, type=tuple[msgspec.Raw, list[int]])
                    return chunk_from_data(self._serializer.decoder(list[item_type])(bytes(items)), dead)
            except Exception as error:  # what the items are made with is foreign code
                missing = ChunkMissing(
                    f"a chunk cannot be read: {error!r}; a fold of the records replaces it"
                )
                self._lose(missing)
                raise missing from error

        address = (self._place, entry.digest)
        return LazyChunk(entry.length, load, address=address, dead=entry.dead)


def _restore_collection(
    types: dict[str, Any], columns: dict[str, Column], reading: _Reading, *, key: str
) -> Any:
    cls = types["collection"]
    logs = {
        name: reading.column(types[name], column, at_once=name == "keys") for name, column in columns.items()
    }
    return cls.from_columns(logs, key=key) if cls is Entities else cls.from_columns(logs)


def collection_fields(
    module: StateModule[Any], keys: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """The fields of a module's state that are stored in chunks: field → column → item type.

    `keys` names, by field, the attribute that the entities in it are keyed by.
    """
    if writes_itself(module) or not attrs.has(module.state_type):
        return {}
    keys = keys or {}
    hints = _hints(module.state_type)
    fields = (field.name for field in attrs.fields(module.state_type) if field.init)
    found = {name: _column_types(hints[name], keys.get(name, "")) for name in fields}
    return {name: types for name, types in found.items() if types}


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _column_types(annotation: Any, key: str) -> dict[str, Any]:
    cls = get_origin(annotation) or annotation
    if cls not in _COLLECTIONS:
        return {}
    arguments = get_args(annotation) or (Any, Any)
    if cls is Map:
        return {"collection": cls, "keys": arguments[0], "values": arguments[1]}
    if cls is Set:
        return {"collection": cls, "keys": arguments[0]}
    if cls is Log:
        return {"collection": cls, "values": arguments[0]}
    entity: Any = arguments[0]
    key_type = _hints(entity).get(key, Any) if attrs.has(entity) else Any
    return {"collection": cls, "keys": key_type, "values": entity}


def writes_itself(module: StateModule[Any]) -> bool:
    return type(module).serialize is not StateModule.serialize


def _encode_state(module: StateModule[Any], state: Any, serializer: Serializer) -> bytes:
    if writes_itself(module):
        return serializer.encode(module.serialize(state))
    return serializer.encoder(module.state_type)(state)


def _decode_state(module: StateModule[Any], text: bytes, serializer: Serializer) -> Any:
    if writes_itself(module):
        return module.deserialize(serializer.decode(text))
    return serializer.decoder(module.state_type)(text)
