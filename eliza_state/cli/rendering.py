"""States as text for people, and as JSON for programs; secrets are masked in both."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, Final, TypeGuard, cast

import attrs
import msgspec

from eliza_serializers.errors import SerializationError
from eliza_state.change import Record
from eliza_state.codec import SERIALIZER
from eliza_state.collections import Entities
from eliza_state.module import StateModule
from eliza_state.tree import Tree

_WIDTH: Final = 300
_INDENT: Final = "  "


def counts(state: Any) -> list[str]:
    """Return what there is to count in a state: sizes of collections, and numbers; zeros are left out."""
    return [f"{name} {number:,}" for name, number in _counted(state) if number]


def _counted(state: Any) -> Iterator[tuple[str, int]]:
    for name, value in _fields(state):
        if isinstance(value, int) and not isinstance(value, bool):
            yield name, value
        elif _is_collection(value):
            yield name, len(value)
        else:
            yield from _counted(value)


def overview(state: Any) -> dict[str, str]:
    """Return what each field of a state holds: how many, of a collection; else the value."""
    return {
        name: f"{len(value):,}" if _is_collection(value) else abbreviated(value)
        for name, value in _fields(state)
    }


def lines(state: Any, *, limit: int) -> Iterator[str]:
    """Yield a state as indented lines; of each collection its last `limit` elements."""
    fields = _fields(state)
    if not fields:
        yield abbreviated(state)
    for name, value in fields:
        if isinstance(value, Set):
            members = ", ".join(abbreviated(element) for element in _last(value, limit))
            more = "…, " if len(value) > limit else ""
            yield f"{name} ({len(value):,}): {more}{members}"
        elif _is_collection(value):
            yield f"{name} ({len(value):,})"
            if len(value) > limit:
                yield f"{_INDENT}… {len(value) - limit:,} before"
            yield from (_INDENT + element for element in _elements(value, limit))
        elif _fields(value):
            yield name
            yield from (_INDENT + line for line in lines(value, limit=limit))
        else:
            yield f"{name}: {abbreviated(value)}"


def _elements(collection: Any, limit: int) -> list[str]:
    if isinstance(collection, Mapping):
        return [f"{abbreviated(key)}: {brief(collection[key])}" for key in _last(collection, limit)]
    return [brief(element) for element in _last(collection, limit)]


def _last(collection: Any, limit: int) -> list[Any]:
    if isinstance(collection, set | frozenset):
        return sorted(cast("Iterable[Any]", collection), key=repr)[-limit:]
    return list(islice(reversed(collection), limit))[::-1]


def brief(value: Any) -> str:
    """Return a value on one line: of an object the fields that hold something."""
    fields = [f"{name}={abbreviated(field)}" for name, field in _fields(value) if not _is_nothing(field)]
    return " ".join(fields) or abbreviated(value)


def abbreviated(value: Any) -> str:
    """Return a value as it shows itself, cut where that is long."""
    text = value.isoformat() if isinstance(value, datetime.datetime) else repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _fields(value: Any) -> list[tuple[str, Any]]:
    """The fields that an attrs object shows; none for any other object, and one with a repr of its own."""
    cls: Any = type(value)
    code = getattr(cls.__repr__, "__code__", None)
    if not attrs.has(cls) or code is None or not code.co_filename.startswith("<attrs generated"):
        return []
    return [(field.name, getattr(value, field.name)) for field in attrs.fields(cls) if field.repr is True]


def _is_collection(value: Any) -> TypeGuard[Collection[Any]]:
    return isinstance(value, Sequence | Set | Mapping | Entities) and not isinstance(value, str | bytes)


def _is_nothing(value: Any) -> bool:
    return value is None or value in ("", 0) or (_is_collection(value) and not len(value))


def slices_json(slices: Mapping[str, Any], *, level: str, tree: Tree) -> msgspec.Raw:
    """Return slices as a JSON object from name to state, as the serializer writes states."""
    modules = tree.modules(level)
    return _raw({name: _state_json(modules[name], state) for name, state in slices.items()})


def _state_json(module: StateModule[Any], state: Any) -> msgspec.Raw:
    written = module.serialize(state)
    if written is state and module.state_type is not None:
        text = SERIALIZER.serialize(state, as_type=module.state_type, mask_secrets=True)
    else:
        text = SERIALIZER.serialize(written, mask_secrets=True)
    return msgspec.Raw(text.encode())


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def payload_json(record: Record) -> msgspec.Raw:
    """Return a record's payload as it is stored, but for its secrets.

    One that cannot be read, such as a damaged one, is an object with the reason under `unreadable`, one that
    was erased is null.
    """
    if record.is_erased:
        return msgspec.Raw(b"null")
    try:
        # Untyped, so that it needs no event class: a stored secret says what it is.
        payload = SERIALIZER.deserialize(record.payload)
        return msgspec.Raw(SERIALIZER.serialize(payload, mask_secrets=True).encode())
    except SerializationError as error:
        return _raw({"unreadable": str(error)})
