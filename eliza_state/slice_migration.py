"""Stored slices under today's code: whether one is used, and how it is brought up to today's version.

The plain data that migrations work on is what an upcaster gets of a payload: dicts and lists, dates and
enums as they are written, secrets as `Secret`. A field that is a persistent collection is a list (`Log`,
`Set`, `Entities`) or a dict (`Map`; a list of pairs where the keys are no plain values).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import GenericAlias
from typing import Any

import attrs
import msgspec

from eliza_serializers.json import JsonSerializer
from eliza_state.codec import PLAIN, Codec
from eliza_state.collections import Entities, Map, Set
from eliza_state.errors import StateError
from eliza_state.module import StateModule
from eliza_state.snapshots import (
    EMPTY,
    Body,
    ChunkMissing,
    Column,
    Fetch,
    SliceSnapshot,
    collection_fields,
    writes_itself,
)
from eliza_state.tree import EventVersion


class Use(enum.Enum):
    """What becomes of a stored slice."""

    AS_IT_IS = "used as it is"
    MIGRATED = "migrated"
    FOLDED = "folded anew"
    """The records take its place: it lacks what today's module makes of them, or no migrations lead on."""
    LEFT = "left for newer code"


def use_of(
    stored: SliceSnapshot,
    module: StateModule[Any],
    *,
    handled: Mapping[str, int],
    events: Iterable[EventVersion] | None,
) -> Use:
    """Tell what becomes of a stored slice under today's `module`, which handles the events `handled`.

    `events` are those that the records behind the slice are of; `None`, like a slice of which it is not known
    what it has seen, means a fold. Of one version, all of them must have been handled then as they are today,
    in the same schema version. Between versions, the migrations answer for what was handled then, whatever
    has become of it; an event that was not can have left nothing in the state to migrate.
    """
    if stored.module_version > module.version:
        return Use.LEFT
    if events is None or stored.handled is None or stored.since_position != module.since_position:
        return Use.FOLDED
    seen, happened = stored.handled, {name for name, _ in events}
    if stored.module_version == module.version:
        concerned = happened & (seen.keys() | handled.keys())
        return Use.AS_IT_IS if all(seen.get(e) == handled.get(e) for e in concerned) else Use.FOLDED
    is_whole = happened & handled.keys() <= seen.keys()
    leads_on = all(version in module.migrations for version in range(stored.module_version, module.version))
    return Use.MIGRATED if is_whole and leads_on else Use.FOLDED


def migrate_slice(
    module: StateModule[Any], stored: SliceSnapshot, fetch: Fetch, *, codec: Codec = PLAIN
) -> Any:
    """Return the state of a slice that an older version of its module stored, all of it loaded.

    Raises `StateError` naming the versions when a migration fails, or gives what does not fit the module's
    state, `ChunkMissing` when the stored slice is not whole.
    """
    step = "reading what is stored"
    try:
        data = _plain(stored.body, fetch, codec)
        for version in range(stored.module_version, module.version):
            step = f"the migration from version {version}"
            data = module.migrations[version](data)
        step = f"making version {module.version} of the outcome"
        return _structured(module, data, codec.serializer)
    except ChunkMissing:
        raise
    except Exception as error:  # migrations, converters and validators are foreign code
        raise StateError(
            f"module {module.name!r} cannot be migrated from version {stored.module_version} to"
            f" {module.version}: {step} failed: {error!r}"
        ) from error


def _plain(body: bytes, fetch: Fetch, codec: Codec) -> Any:
    """Return a stored slice as plain data."""
    found = msgspec.json.decode(body, type=Body)
    data = codec.plain(bytes(found.state))
    for field, columns in found.columns.items():
        items = {name: _items(column, fetch, codec) for name, column in columns.items()}
        if len(items) == 2 and field not in found.keys:
            data[field] = _mapping(items["keys"], items["values"])
        else:
            data[field] = items.get("values", items.get("keys"))
    return data


def _items(column: Column, fetch: Fetch, codec: Codec) -> list[Any]:
    """Return the live items of a column in order."""
    items: list[Any] = []
    contents = fetch([chunk.digest for chunk in column.chunks]) if column.chunks else {}
    for chunk in column.chunks:
        text, _ = msgspec.json.decode(contents[chunk.digest], type=tuple[msgspec.Raw, list[int]])
        items += codec.plain(bytes(text))
    return [*items, *codec.plain(bytes(column.tail))]


def _mapping(keys: list[Any], values: list[Any]) -> Any:
    pairs = zip(keys, values, strict=True)
    if any(isinstance(key, dict | list) for key in keys):
        return [list(pair) for pair in pairs]
    return dict(pairs)


def _structured(module: StateModule[Any], data: Any, serializer: JsonSerializer) -> Any:
    """Return the state that plain data describes."""
    if writes_itself(module):
        return module.deserialize(data)
    fields = collection_fields(module)
    if not fields:
        return serializer.structure(data, module.state_type, from_store=True)
    if not isinstance(data, dict):
        raise TypeError(f"expected a dict of the fields of {module.state_type.__name__}, got {data!r:.60}")
    empty = {name: EMPTY[types["collection"]] for name, types in fields.items() if name in data}
    state = serializer.structure({**data, **empty}, module.state_type, from_store=True)
    initial = module.initial_state()
    found = {
        name: _collection(types, data[name], getattr(getattr(initial, name), "key", "id"), serializer)
        for name, types in fields.items()
        if name in data
    }
    return attrs.evolve(state, **found)


def _collection(types: Mapping[str, Any], data: Any, key: str, serializer: JsonSerializer) -> Any:
    """Return the collection that plain data describes."""
    cls = types["collection"]
    lists: dict[str, Any] = {
        name: GenericAlias(list, (item,)) for name, item in types.items() if name != "collection"
    }
    if cls is Map:
        pairs = list(data.items()) if isinstance(data, dict) else [(key, value) for key, value in data]
        keys: Any = serializer.structure([key for key, _ in pairs], lists["keys"], from_store=True)
        values: Any = serializer.structure([value for _, value in pairs], lists["values"], from_store=True)
        return Map(zip(keys, values, strict=True))
    items: Any = serializer.structure(data, lists["keys" if cls is Set else "values"], from_store=True)
    return Entities(items, key=key) if cls is Entities else cls(items)
