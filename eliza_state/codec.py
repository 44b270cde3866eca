"""What the framework writes as JSON: the payloads of events, and the persistent collections in any value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from eliza_serializers import Seal
from eliza_serializers.errors import SerializationError
from eliza_serializers.json import JsonSerializer
from eliza_serializers.serializer import Serializer
from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.errors import InvalidEvent
from eliza_state.event import EventType, event_type

SerializerT = TypeVar("SerializerT", bound=Serializer)

Convert: TypeAlias = Callable[[Any, Any], Any]
"""Write or read one item, given its place in the whole."""


def register_collections(serializer: SerializerT) -> SerializerT:
    """Teach a serializer the persistent collections and return it.

    `Map` and `Set` share their tags with `dict` and `set`, so readers elsewhere see plain maps and sets.
    """
    serializer.register_type(Log, tag="Log", to_data=_items, from_data=_log, arguments=(Any,), shape=list)
    serializer.register_type(
        Set, tag="Set", flag="persistent", to_data=_items, from_data=_set, arguments=(Any,), shape=list
    )
    serializer.register_type(
        Map, tag="Map", flag="persistent", to_data=_pairs, from_data=_map, arguments=(Any, Any), shape=list
    )
    serializer.register_type(
        Entities, tag="Entities", to_data=_entities, from_data=_from_entities, arguments=(Any,), shape=dict
    )
    return serializer


def _items(items: Any, encode: Convert) -> list[Any]:
    return [encode(item, place) for place, item in enumerate(items)]


def _log(data: list[Any], decode: Convert) -> Log[Any]:
    return Log(_items(data, decode))


def _set(data: list[Any], decode: Convert) -> Set[Any]:
    return Set(_items(data, decode))


def _pairs(mapping: Map[Any, Any], encode_key: Convert, encode: Convert) -> list[Any]:
    return [[encode_key(key, key), encode(value, key)] for key, value in mapping.items()]


def _map(data: list[Any], decode_key: Convert, decode: Convert) -> Map[Any, Any]:
    pairs = ((decode_key(key, place), value) for place, (key, value) in enumerate(data))
    return Map((key, decode(value, key)) for key, value in pairs)


def _entities(entities: Entities[Any], encode: Convert) -> dict[str, Any]:
    return {"key": entities.key, "items": [encode(entity, entities.key) for entity in entities]}


def _from_entities(data: dict[str, Any], decode: Convert) -> Entities[Any]:
    return Entities(_items(data["items"], decode), key=data["key"])


class Codec:
    """Write events as JSON text in UTF-8 and read them, each class by functions that are compiled once.

    With `secrets`, the contents of secrets are sealed with the current one of these keys; those that were
    sealed are read without keys too, and stay as they are.
    """

    def __init__(self, *, secrets: Seal | None = None) -> None:
        self.serializer: Final = register_collections(JsonSerializer(secrets=secrets))
        """Writes what events and states are made of, and keeps what it has compiled for that."""

    def encode(self, event: Any) -> bytes:
        """Return an event's payload as JSON text in UTF-8.

        Raises `InvalidEvent` naming the field whose value cannot be written, or does not fit its annotation.
        """
        cls = type(event)
        try:
            return self.serializer.encoder(cls)(event)
        except SerializationError as error:
            raise InvalidEvent(f"{event_type(cls).name}: {error}") from error

    def decode(self, kind: EventType, payload: bytes, *, schema_version: int) -> Any:
        """Return the event of a payload, upcast from an older schema version where needed.

        Raises `InvalidEvent` when the payload does not fit the class, or comes from a newer schema version.
        """
        try:
            if schema_version != kind.version:
                upcast = kind.upcast(self.plain(payload), schema_version)
                return self.serializer.structure(upcast, kind.cls, from_store=True)
            return self.serializer.decoder(kind.cls)(payload)
        except SerializationError as error:
            raise InvalidEvent(f"{kind.name}: {error}") from error

    def decode_all(self, kind: EventType, payloads: Sequence[bytes]) -> list[Any]:
        """Return the events of payloads of today's schema version, read as one array: twice as quick.

        Raises `InvalidEvent` when a payload does not fit the class, without telling which.
        """
        together: type[list[Any]] = list[kind.cls]  # type: ignore[name-defined]
        try:
            events = self.serializer.decoder(together)(b"[" + b",".join(payloads) + b"]")
        except SerializationError as error:
            raise InvalidEvent(f"{kind.name}: {error}") from error
        if len(events) != len(payloads):
            raise InvalidEvent(f"{kind.name}: expected {len(payloads)} events, got {len(events)}")
        return events

    def plain(self, text: bytes) -> Any:
        """Return stored JSON as plain data, for upcasters and migrations to change.

        Dicts and lists; sets, and dicts of other keys, as such where their elements and keys are plain;
        secrets as `Secret`. What only its declared type can read, as a set of objects, stays under its tag.
        Raises `SerializationError` for text that is no JSON.
        """
        try:
            return self.serializer.deserialize(text)
        except SerializationError:
            return self._plain_part(_parsed(text))

    def _plain_part(self, data: Any) -> Any:
        """Read those parts that say what they are."""
        if isinstance(data, list):
            return [self._plain_part(item) for item in data]
        if not isinstance(data, dict):
            return data
        if "_type" in data:
            try:
                return self.serializer.deserialize(msgspec.json.encode(data))
            except SerializationError:
                pass
        return {key: self._plain_part(value) for key, value in data.items()}

    def structure(self, kind: EventType, payload: Mapping[str, Any]) -> Any:
        """Return the event of a plain payload such as a parsed JSON object.

        Raises `InvalidEvent` naming the field that is missing, unknown or of the wrong type.
        """
        try:
            return self.serializer.structure(payload, kind.cls)
        except SerializationError as error:
            raise InvalidEvent(f"{kind.name}: {error}") from error


def _parsed(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SerializationError(f"expected JSON text: {error}") from None


PLAIN: Final = Codec()
"""The codec without keys: secrets are written in plain."""

SERIALIZER: Final = PLAIN.serializer
"""Writes what `PLAIN` does; a class registered with it may stand in any event and state."""

encode: Final = PLAIN.encode
decode: Final = PLAIN.decode
structure: Final = PLAIN.structure


def codec_of(secrets: Seal | None) -> Codec:
    """Return a store's codec: its own where it has keys, else `PLAIN`, so that no class is compiled twice.

    Its own knows the classes that were registered with `SERIALIZER` by now. `PLAIN` keeps what it has
    compiled, and with it the classes, as long as the process runs.
    """
    if secrets is None:
        return PLAIN
    codec = Codec(secrets=secrets)
    codec.serializer.learn(SERIALIZER)
    return codec
