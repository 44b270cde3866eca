"""Slices as they are stored between dispatches: a body, and the full chunks of large collections.

A body is JSON: the state with its persistent collections left empty, and for each of those the digests of
its full chunks and its last, partial chunk. A full chunk is stored once, under the digest of its content,
and never again; reading the state back loads none of them before it is touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import attrs
import msgspec

from eliza_serializers.errors import SerializationError
from eliza_state.codec import SERIALIZER
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.collections.chunk import Chunk, LazyChunk, chunk_from_data, chunk_to_data
from eliza_state.errors import StateError
from eliza_state.journal.contract import DIGEST_BYTES, SliceSnapshot
from eliza_state.module import StateModule

Fetch = Callable[[bytes], bytes]
"""Return the content of the chunk with a digest; `StateError` if it cannot be had."""

_COLLECTIONS: Final = (Log, Map, Set, Entities)
_EMPTY: Final = {Log: Log[Any](), Map: Map[Any, Any](), Set: Set[Any](), Entities: Entities[Any]()}


class _Chunk(msgspec.Struct, array_like=True, frozen=True):
    """A full chunk in a table of contents."""

    digest: bytes
    length: int
    dead: int
    size_bytes: int


class _Column(msgspec.Struct, frozen=True):
    """One column of a collection: its full chunks by digest, and what follows them."""

    chunks: list[_Chunk]
    tail: msgspec.Raw
    dead: list[int]


class _Body(msgspec.Struct, frozen=True):
    """A stored slice: its state without the columns of its collections, and those by field."""

    state: msgspec.Raw
    columns: dict[str, dict[str, _Column]]
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
    size_bytes: int

    def confirm(self) -> None:
        """Remember in the chunks where they are stored."""
        for chunk, address in self.addresses:
            chunk.address = address


def dump_slice(module: StateModule[Any], state: Any, *, place: str, again: bool = False) -> Dump:
    """Return what to store for a slice.

    `place` names where its chunks are kept; a chunk stored there before is only named, unless `again`.
    Raises `StateError` for a state that cannot be written.
    """
    try:
        writer = _Writing(place, again)
        columns = {
            name: writer.columns(types, getattr(state, name))
            for name, types in _collection_fields(module).items()
        }
        keys = {
            name: getattr(state, name).key for name in columns if isinstance(getattr(state, name), Entities)
        }
        rest = (
            attrs.evolve(state, **{name: _EMPTY[type(getattr(state, name))] for name in columns})
            if columns
            else state
        )
        text = _encode_state(module, rest)
        body = msgspec.json.encode(_Body(msgspec.Raw(text), columns, keys))
    except SerializationError as error:
        raise StateError(f"the state of module {module.name!r} cannot be written: {error}") from error
    return Dump(body, writer.new, tuple(writer.named), writer.addresses, len(body) + writer.size_bytes)


def restore_slice(module: StateModule[Any], snapshot: SliceSnapshot, fetch: Fetch, *, place: str) -> Any:
    """Return the state of a stored slice; its full chunks are fetched when they are first touched.

    Raises `StateError` for a body that cannot be read.
    """
    fields = _collection_fields(module)
    try:
        body = msgspec.json.decode(snapshot.body, type=_Body)
        state = _decode_state(module, bytes(body.state))
        changes = {
            name: _restore_collection(
                fields[name], columns, _Reading(fetch, place), key=body.keys.get(name, "id")
            )
            for name, columns in body.columns.items()
        }
    except (msgspec.MsgspecError, SerializationError, ValueError, KeyError) as error:
        raise StateError(f"its body cannot be read: {error!r}") from error
    return attrs.evolve(state, **changes) if changes else state


def digest_of(content: bytes) -> bytes:
    """Return the digest under which a chunk is stored (BLAKE2b, 16 bytes)."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class _Writing:
    """What one dump gathers."""

    def __init__(self, place: str, again: bool) -> None:
        self._place = place
        self._again = again
        self.new: dict[bytes, bytes] = {}
        self.named: list[bytes] = []
        self.addresses: list[tuple[Chunk[Any], Any]] = []
        self.size_bytes = 0

    def columns(self, types: dict[str, Any], collection: Any) -> dict[str, _Column]:
        return {name: self._column(types[name], log) for name, log in collection.columns().items()}

    def _column(self, item_type: Any, log: Log[Any]) -> _Column:
        full: list[_Chunk] = []
        tail: Chunk[Any] | LazyChunk[Any] = Chunk()
        for chunk in log.chunks():
            if len(chunk) == log.chunk_size:
                full.append(self._full(item_type, chunk))
            else:
                tail = chunk
        items, dead = chunk_to_data(tail)
        return _Column(full, msgspec.Raw(SERIALIZER.encoder(list[item_type])(items)), dead)

    def _full(self, item_type: Any, chunk: Chunk[Any] | LazyChunk[Any]) -> _Chunk:
        address: Any = chunk.address
        if address is not None and address[0] == self._place and not self._again:
            _, digest, size_bytes = address
        else:
            items, dead = chunk_to_data(chunk)
            content = msgspec.json.encode([msgspec.Raw(SERIALIZER.encoder(list[item_type])(items)), dead])
            digest, size_bytes = digest_of(content), len(content)
            self.new[digest] = content
            loaded = chunk.chunk() if isinstance(chunk, LazyChunk) else chunk
            self.addresses.append((loaded, (self._place, digest, size_bytes)))
        self.named.append(digest)
        self.size_bytes += size_bytes
        return _Chunk(digest, len(chunk), chunk.dead, size_bytes)


class _Reading:
    """Where the chunks of one restored slice come from."""

    def __init__(self, fetch: Fetch, place: str) -> None:
        self._fetch = fetch
        self._place = place

    def column(self, item_type: Any, column: _Column) -> Log[Any]:
        tail = chunk_from_data(SERIALIZER.decoder(list[item_type])(bytes(column.tail)), column.dead)
        full: list[Chunk[Any] | LazyChunk[Any]] = [self._lazy(item_type, entry) for entry in column.chunks]
        return Log.from_chunks([*full, tail])

    def _lazy(self, item_type: Any, entry: _Chunk) -> LazyChunk[Any]:
        def load() -> list[Any]:
            content = self._fetch(entry.digest)
            if digest_of(content) != entry.digest:
                raise StateError("a chunk of a snapshot is damaged; a fold of the records can replace it")
            items, dead = msgspec.json.decode(content, type=tuple[msgspec.Raw, list[int]])
            return chunk_from_data(SERIALIZER.decoder(list[item_type])(bytes(items)), dead)

        address = (self._place, entry.digest, entry.size_bytes)
        return LazyChunk(entry.length, load, address=address, dead=entry.dead)


def _restore_collection(
    types: dict[str, Any], columns: dict[str, _Column], reading: _Reading, *, key: str
) -> Any:
    cls = types["collection"]
    logs = {name: reading.column(types[name], column) for name, column in columns.items()}
    return cls.from_columns(logs, key=key) if cls is Entities else cls.from_columns(logs)


def _collection_fields(module: StateModule[Any]) -> dict[str, dict[str, Any]]:
    """The fields of a module's state that are stored in chunks: field → column → item type."""
    if _writes_itself(module) or not attrs.has(module.state_type):
        return {}
    hints = get_type_hints(module.state_type, include_extras=True)
    found = {
        field.name: _column_types(hints[field.name])
        for field in attrs.fields(module.state_type)
        if field.init
    }
    return {name: types for name, types in found.items() if types}


def _column_types(annotation: Any) -> dict[str, Any]:
    cls = get_origin(annotation) or annotation
    if cls not in _COLLECTIONS:
        return {}
    arguments = get_args(annotation) or (Any, Any)
    if cls is Map:
        return {"collection": cls, "keys": arguments[0], "values": arguments[1]}
    if cls is Set:
        return {"collection": cls, "keys": arguments[0]}
    return {"collection": cls, "keys": Any, "values": arguments[0]}


def _writes_itself(module: StateModule[Any]) -> bool:
    return type(module).serialize is not StateModule.serialize


def _encode_state(module: StateModule[Any], state: Any) -> bytes:
    if _writes_itself(module):
        return SERIALIZER.serialize(module.serialize(state)).encode()
    return SERIALIZER.encoder(module.state_type)(state)


def _decode_state(module: StateModule[Any], text: bytes) -> Any:
    if _writes_itself(module):
        return module.deserialize(SERIALIZER.deserialize(text))
    return SERIALIZER.decoder(module.state_type)(text)
