"""Values as JSON, and from JSON; durations as people write them."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from eliza_serializers import SerializationError, Serializer
from eliza_serializers.errors import RegistryError
from eliza_serializers.format import BoundedFormat
from eliza_serializers.secret import MASK
from eliza_state.cli.opening import find_named
from eliza_state.cli.store.formats import Written
from eliza_state.cli.terminal import Misuse
from eliza_state.codec import SERIALIZER
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.expiry import check_ttl
from eliza_state.storage.serializing import serializer_named

_MAX_DEPTH: Final = 200
_MAX_BYTES: Final = 64 * 1024 * 1024
_UNITS_MS: Final = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
# JSON has these as they are, and terminals obey them.
_CONTROLS: Final = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def serializer_of(text: str) -> Serializer:
    """Return the serializer of a name, or the one that `package:name` names. Raises `Misuse`."""
    if ":" not in text:
        try:
            return serializer_named(text)
        except RegistryError as error:
            raise Misuse(f"--serializer: {error}") from None
    found = find_named(text, option="--serializer", example="shop.storage:SERIALIZER")
    if not isinstance(found, Serializer):
        raise Misuse(f"--serializer {text}: expected a Serializer, got a {type(found).__name__}")
    return found


def value_of(written: Written, *, key: str, serializer: Serializer) -> Any:
    """Return a value that was written by any serializer.

    Raises `SerializationError` for one that cannot be read, `DamagedValue` for an unknown format.
    """
    return _for(written, key, serializer).decode(written.content)


def _for(written: Written, key: str, serializer: Serializer) -> Serializer:
    if written.format == serializer.name:
        return serializer
    try:
        return serializer_named(written.format)
    except RegistryError:
        raise DamagedValue(
            key, f"it was written through {written.format!r}, which is not installed"
        ) from None


def shown_value(
    written: Written, *, key: str, serializer: Serializer, reveal: bool
) -> tuple[msgspec.Raw, SerializationError | None]:
    """Return a value as JSON, secrets masked unless `reveal`, and what kept it from being read, if anything.

    Then it is shown as it is stored, such as one with a class that nobody registered. Raises `DamagedValue`
    for one that cannot be shown at all.
    """
    own = _for(written, key, serializer)
    try:
        value = own.decode(written.content)
        text = (own if own.name == "json" else SERIALIZER).encode(value, mask_secrets=not reveal)
        return _safe(text), None
    except SerializationError as error:
        return _as_stored(written, key, own, reveal=reveal), error


def _as_stored(written: Written, key: str, serializer: Serializer, *, reveal: bool) -> msgspec.Raw:
    bounds = BoundedFormat(format=serializer.format, max_depth=_MAX_DEPTH, max_size_bytes=_MAX_BYTES)
    try:
        data, _ = bounds.decode(written.content)
        return _safe(msgspec.json.encode(data if reveal else _masked(data)))
    except (SerializationError, msgspec.MsgspecError, TypeError) as error:
        raise DamagedValue(key, str(error)) from None


def _masked(data: object) -> Any:
    """Return stored data in which secrets are masked, wherever they are."""
    if isinstance(data, dict):
        items: dict[Any, Any] = data
        if items.get("_type") == "Secret":
            return MASK
        return {key: _masked(item) for key, item in items.items()}
    if isinstance(data, list):
        elements: list[Any] = data
        return [_masked(item) for item in elements]
    return data


def _safe(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text.decode().translate(_CONTROLS).encode())


def written_value(text: str, *, serializer: Serializer) -> tuple[Written, SerializationError | None]:
    """Return JSON text as a serializer writes its value, and what kept it from being read, if anything.

    JSON with a class that nobody registered is written as it stands. Raises `Misuse` for what is no JSON, for
    a value that cannot be written so, and for one with a masked secret.
    """
    reader = serializer if serializer.name == "json" else SERIALIZER
    data = _json(text)
    if _has_mask(data):
        raise Misuse(f"the value holds {MASK!r} in place of a secret; `get --reveal` shows the secret itself")
    try:
        content = serializer.encode(reader.decode(text.encode()))
        return Written(serializer.name, content), None
    except SerializationError as error:
        if serializer.name != "json" or not error.reason.startswith("unknown tag"):
            raise Misuse(f"the value cannot be written: {error}") from None
        return Written(serializer.name, msgspec.json.encode(data)), error


def _json(text: str) -> Any:
    bounds = BoundedFormat(format=SERIALIZER.format, max_depth=_MAX_DEPTH, max_size_bytes=_MAX_BYTES)
    try:
        return bounds.decode(text.encode())[0]
    except (SerializationError, UnicodeEncodeError) as error:
        reason = getattr(error, "reason", error)
        raise Misuse(f"the value is to be JSON, such as '{{\"a\": 1}}' or '\"text\"': {reason}") from None


def _has_mask(data: object) -> bool:
    if isinstance(data, dict):
        items: dict[Any, Any] = data
        return any(_has_mask(item) for item in items.values())
    if isinstance(data, list):
        elements: list[Any] = data
        return any(_has_mask(item) for item in elements)
    return bool(data == MASK)


def is_unregistered(error: SerializationError) -> bool:
    """Tell whether a value cannot be read only because nobody registered a class of it."""
    return error.reason.startswith("unknown tag")


def duration_ms(text: str, *, option: str) -> int:
    """Return a duration such as `30s` in milliseconds. Raises `Misuse` for what is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Misuse(f"{option} takes a duration such as 500ms, 30s, 15m, 12h, 7d or 2w, got {text!r}")
    try:
        ttl_ms = check_ttl(float(match[1]) * _UNITS_MS[match[2]])
    except ValueError as error:
        raise Misuse(f"{option}: {error}") from None
    assert ttl_ms is not None
    return ttl_ms


def shown_duration(duration_ms: int) -> str:
    """Return a duration in its two largest units, such as `1d 2h`."""
    parts: list[str] = []
    rest = duration_ms
    for unit, size in _UNITS_MS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0ms"
