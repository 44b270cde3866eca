"""How each side writes and reads a value: its own way, with the hooks that its documentation gives."""

from __future__ import annotations

import datetime
import json
import pickle
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
import msgspec

from benchmarks.peers import peer
from benchmarks.serialising.talks import Conversation, Message, Role, Session
from benchmarks.serialising.twins import TWINS, twin
from eliza_serializers import JsonSerializer, MsgpackSerializer, Serializer


@attrs.frozen
class Codec:
    """Write a value as bytes and read it again."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]

    def round_trip(self, value: Any) -> Any:
        """Return a value as it comes back."""
        return self.decode(self.encode(value))


@attrs.frozen
class Side:
    """One way to write values.

    `codec` makes it for values of a declared type, which ways that know no types do without. `adapted` gives
    a value as the package knows it, before any time is taken.
    """

    name: str
    codec: Callable[[Any], Codec]
    adapted: Callable[[Any], Any] = lambda value: value
    note: str = ""


def _ours(make: Callable[[], Serializer], as_type: Any) -> Codec:
    serializer = make()
    return Codec(serializer.encoder(as_type), serializer.decoder(as_type))


def _ours_untyped(make: Callable[[], Serializer], _as_type: Any) -> Codec:
    serializer = make()
    serializer.register(Role)
    return Codec(serializer.encode, serializer.decode)


def _msgspec_json(as_type: Any) -> Codec:
    return Codec(msgspec.json.Encoder().encode, msgspec.json.Decoder(as_type).decode)


def _msgspec_msgpack(as_type: Any) -> Codec:
    return Codec(msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(as_type).decode)


def _converter() -> Any:
    """Return what turns classes into what both formats know: text, numbers, lists, dicts and moments."""
    converter = peer("cattrs.preconf.orjson").make_converter()
    converter.register_unstructure_hook(uuid.UUID, str)
    converter.register_structure_hook(uuid.UUID, _uuid)
    return converter


def _uuid(text: str, _cls: type) -> uuid.UUID:
    return uuid.UUID(text)


def _orjson_cattrs(as_type: Any) -> Codec:
    converter = _converter()
    return Codec(partial(converter.dumps, unstructure_as=as_type), partial(converter.loads, cl=as_type))


def _ormsgpack_cattrs(as_type: Any) -> Codec:
    ormsgpack, converter = peer("ormsgpack"), _converter()

    def encode(value: Any) -> bytes:
        written: bytes = ormsgpack.packb(converter.unstructure(value, as_type))
        return written

    def decode(content: bytes) -> Any:
        return converter.structure(ormsgpack.unpackb(content), as_type)

    return Codec(encode, decode)


def _pydantic(as_type: Any) -> Codec:
    adapter = peer("pydantic").TypeAdapter(TWINS.get(as_type, as_type))
    return Codec(adapter.dump_json, adapter.validate_json)


def _pickle(_as_type: Any) -> Codec:
    return Codec(partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL), pickle.loads)


def _jsonpickle(_as_type: Any) -> Codec:
    jsonpickle = peer("jsonpickle")

    def encode(value: Any) -> bytes:
        text: str = jsonpickle.encode(value, keys=True)
        return text.encode()

    return Codec(encode, partial(jsonpickle.decode, keys=True))


def _langgraph(_as_type: Any) -> Codec:
    known = [(cls.__module__, cls.__name__) for cls in (Role, *TWINS.values())]
    serde = peer("langgraph.checkpoint.serde.jsonplus").JsonPlusSerializer(allowed_msgpack_modules=known)
    kind, _ = serde.dumps_typed({})

    def decode(content: bytes) -> Any:
        return serde.loads_typed((kind, content))

    return Codec(lambda value: serde.dumps_typed(value)[1], decode)


_CLASSES: Final = {cls.__name__: cls for cls in (Message, Conversation, Session)}
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "UUID": uuid.UUID,
    "Role": Role,
    "datetime": datetime.datetime.fromisoformat,
    "set": set,
}


def _marked(value: Any) -> Any:
    """Write what JSON lacks as one does by hand: under its name."""
    name = type(value).__name__
    if name in _CLASSES:
        return {"$type": name, **{field: getattr(value, field) for field in type(value).__slots__[:-1]}}
    if isinstance(value, uuid.UUID):
        return {"$type": name, "value": str(value)}
    if isinstance(value, datetime.datetime):
        return {"$type": name, "value": value.isoformat()}
    if isinstance(value, Role):
        return {"$type": name, "value": value.value}
    if isinstance(value, set):
        return {"$type": name, "value": list(value)}
    raise TypeError(f"no form for a {name}")


def _unmarked(data: dict[str, Any]) -> Any:
    name = data.pop("$type", None)
    if name is None:
        return data
    return _CLASSES[name](**data) if name in _CLASSES else _READERS[name](data["value"])


def _json_hooks(_as_type: Any) -> Codec:
    write = json.JSONEncoder(default=_marked).encode
    read = json.JSONDecoder(object_hook=_unmarked).decode
    return Codec(lambda value: write(value).encode(), lambda content: read(content.decode()))


def _ormsgpack_hooks(_as_type: Any) -> Codec:
    ormsgpack = peer("ormsgpack")
    keys = ormsgpack.OPT_NON_STR_KEYS
    # What it would write as text by itself.
    kept = ormsgpack.OPT_PASSTHROUGH_UUID | ormsgpack.OPT_PASSTHROUGH_DATETIME
    option = keys | kept | ormsgpack.OPT_PASSTHROUGH_ENUM

    def mark(value: Any) -> Any:
        if isinstance(value, uuid.UUID):
            return ormsgpack.Ext(1, value.bytes)
        if isinstance(value, datetime.datetime):
            return ormsgpack.Ext(2, value.isoformat().encode())
        if isinstance(value, Role):
            return ormsgpack.Ext(3, value.value.encode())
        if isinstance(value, set):
            return ormsgpack.Ext(4, ormsgpack.packb(list(value)))
        raise TypeError(f"no form for a {type(value).__name__}")

    def unmark(code: int, payload: bytes) -> Any:
        match code:
            case 1:
                return uuid.UUID(bytes=payload)
            case 2:
                return datetime.datetime.fromisoformat(payload.decode())
            case 3:
                return Role(payload.decode())
            case _:
                return set(ormsgpack.unpackb(payload))

    return Codec(
        partial(ormsgpack.packb, default=mark, option=option),
        partial(ormsgpack.unpackb, ext_hook=unmark, option=keys),
    )


OURS_JSON: Final = Side("json", partial(_ours, JsonSerializer))
OURS_MSGPACK: Final = Side("msgpack", partial(_ours, MsgpackSerializer))
OURS_JSON_UNTYPED: Final = Side("json", partial(_ours_untyped, JsonSerializer))
OURS_MSGPACK_UNTYPED: Final = Side("msgpack", partial(_ours_untyped, MsgpackSerializer))

MSGSPEC_JSON: Final = Side("msgspec.json", _msgspec_json)
MSGSPEC_MSGPACK: Final = Side("msgspec.msgpack", _msgspec_msgpack)
ORJSON: Final = Side("orjson and cattrs", _orjson_cattrs)
ORMSGPACK: Final = Side("ormsgpack and cattrs", _ormsgpack_cattrs)
PYDANTIC: Final = Side("pydantic", _pydantic, twin, "dataclasses")
PICKLE: Final = Side("pickle", _pickle, note="runs what the bytes say")
JSONPICKLE: Final = Side("jsonpickle", _jsonpickle, note="imports what the text names")
LANGGRAPH: Final = Side(
    "LangGraph JsonPlusSerializer", _langgraph, twin, "dataclasses, imports what the bytes name"
)
JSON_HOOKS: Final = Side("json with hooks", _json_hooks)
ORMSGPACK_HOOKS: Final = Side("ormsgpack with hooks", _ormsgpack_hooks)
