"""Stored secrets, in JSON, put out of sight or into the open.

A masked secret stays a secret: a placeholder stands in it, which is easy to tell from what was there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from eliza_serializers import Seal
from eliza_serializers.errors import SecretLocked
from eliza_serializers.secret import MASK

T = TypeVar("T")

_TAG: Final = "_type"
_SECRET: Final = "Secret"  # noqa: S105  # the name of a tag
_SEALED: Final = "sealed"
# A placeholder that its type can read, where a tag names the type.
_OF_TAG: Final[dict[str, Any]] = {"Bytes": "", "Int": "0", "Decimal": "0"}

PLACEHOLDERS: Final[tuple[Any, ...]] = (MASK, "", b"", 0, False, None, [], {})
"""What may stand in a masked secret: the mask, or something empty where no text fits."""


def may_hold_secrets(payload: bytes) -> bool:
    """Tell whether JSON text may hold a secret; an escape could spell the word too."""
    return _SECRET.encode() in payload or b"\\u" in payload


def masked(payload: bytes) -> tuple[bytes, int]:
    """Return JSON text with a placeholder in each secret, and how many there are.

    The mask stands where a text was, or what cannot be known because it is sealed.
    """
    return _rewritten(payload, lambda data: _hidden(data, MASK))


def revealed(payload: bytes, keys: Seal | None) -> tuple[bytes, int]:
    """Return JSON text with each sealed secret opened, and how many secrets there are.

    Raises `SecretLocked` for one whose key is not among the `keys`.
    """
    return _rewritten(payload, lambda data: _opened(data, keys))


def read_masked(read: Callable[[bytes], T], payload: bytes) -> T:
    """Read JSON text whose secrets are masked; where the mask fits no type, an empty text takes its place.

    Raises what `read` raised on the text as it is.
    """
    try:
        return read(payload)
    except Exception:
        texts = [""] * count_secrets(payload)
        found = _read_or_none(read, _with_texts(payload, texts))
        if found is None:
            raise
    for number in range(len(texts)):
        texts[number] = MASK
        better = _read_or_none(read, _with_texts(payload, texts))
        if better is None:
            texts[number] = ""
        else:
            found = better
    return found


def _read_or_none(read: Callable[[bytes], T], payload: bytes) -> T | None:
    try:
        return read(payload)
    except Exception:  # noqa: BLE001  # a text that does not fit is no news: another one is tried
        return None


def _with_texts(payload: bytes, texts: Iterable[str]) -> bytes:
    """Return JSON text with other masks in its secrets, in their order."""
    left = iter(texts)
    return _rewritten(payload, lambda data: _hidden(data, next(left)))[0]


def count_secrets(payload: bytes) -> int:
    """Return how many secrets JSON text holds."""
    return _rewritten(payload, lambda data: data)[1]


def holds_sealed(payload: bytes) -> bool:
    """Tell whether JSON text holds a sealed secret."""
    found = False

    def look(data: dict[str, Any]) -> dict[str, Any]:
        nonlocal found
        found = found or _SEALED in data
        return data

    _rewritten(payload, look)
    return found


def _rewritten(payload: bytes, change: Callable[[dict[str, Any]], Any]) -> tuple[bytes, int]:
    """Return JSON text in which each secret is what `change` makes of it, and how many there are."""
    if not may_hold_secrets(payload):
        return payload, 0
    count = 0

    def rewrite(data: Any) -> Any:
        nonlocal count
        if isinstance(data, list):
            return [rewrite(item) for item in data]
        if not isinstance(data, dict):
            return data
        # An object of the user's own with such a member is stored differently.
        if data.get(_TAG) == _SECRET:
            count += 1
            return change(data)
        return {key: rewrite(value) for key, value in data.items()}

    written = msgspec.json.encode(rewrite(msgspec.json.decode(payload)))
    return (written, count) if count else (payload, 0)


def _hidden(data: dict[str, Any], text: str) -> dict[str, Any]:
    content = text if _SEALED in data else _placeholder(data.get("data"), text)
    return {_TAG: _SECRET, "data": content}


def _placeholder(data: Any, text: str) -> Any:
    """Return what stands for data: of its kind, so that it can be read in its place."""
    match data:
        case str():
            return text
        case bool() | None:
            return False if data is not None else None
        case int() | float():
            return 0
        case list():
            return []
        case dict():
            tag = data.get(_TAG)
            return {} if tag is None else {**data, "data": _OF_TAG.get(tag, _placeholder(data["data"], text))}
        case _:
            raise AssertionError("JSON holds nothing else")


def _opened(data: dict[str, Any], keys: Seal | None) -> dict[str, Any]:
    if _SEALED not in data:
        return data
    text: str = data["data"]
    if keys is None:
        raise SecretLocked("it is encrypted, and no keys were given", key_id=text.partition(":")[0])
    return {_TAG: _SECRET, "data": msgspec.json.decode(keys.unseal(text))}
