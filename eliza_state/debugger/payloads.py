"""What a record's payload shows: all of it but its secrets."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from eliza_serializers.secret import MASK
from eliza_state.change import Record

_TAG: Final = "_type"


def masked_payload(record: Record) -> Any:
    """Return a record's payload as plain JSON data, as it is stored but for its secrets.

    `None` for one that was erased; one that is no JSON is an object with the reason under `unreadable`.
    """
    if record.is_erased:
        return None
    try:
        return _masked(msgspec.json.decode(record.payload))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return {"unreadable": str(error)}


def _masked(data: Any) -> Any:
    if isinstance(data, list):
        return [_masked(item) for item in data]
    if isinstance(data, dict):
        # An object of the user's own with such a member is stored differently.
        if data.get(_TAG) == "Secret":
            return MASK
        return {key: _masked(value) for key, value in data.items()}
    return data


def holds_text(record: Record, text: str) -> bool:
    """Tell whether a text, upper or lower case, is part of a value or key in a record's payload.

    Nothing is found in secrets, nor in what stands in their place, nor in what was erased or is no JSON.
    """
    if record.is_erased:
        return False
    try:
        return _holds(msgspec.json.decode(record.payload), text.casefold())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _holds(data: Any, text: str) -> bool:
    if isinstance(data, list):
        return any(_holds(item, text) for item in data)
    if isinstance(data, dict):
        tag = data.get(_TAG)
        if tag == "Secret":
            return False
        members = data.items() if tag is None else [("", data.get("data"))]
        return any(text in key.casefold() or _holds(value, text) for key, value in members)
    return data is not None and text in str(data).casefold()
