"""Which untyped values certainly come back the same, told by the tags that writing them takes.

To read back what was written and to write it again takes twice as long as the writing itself. The built-in
types listed here need no such test: one text or list each, from which nothing else is made. Registered
classes, secrets, zones by name and numbers that equal nothing, themselves included, do need it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from eliza_serializers.errors import SerializationError
from eliza_serializers.secret import Secret
from eliza_serializers.tags import SECRET, Encode, Tag, is_by_name
from eliza_serializers.untyped import TagWriter

_FAITHFUL: Final = frozenset({dict, tuple, set, frozenset, int, bytes, date, timedelta, Decimal, UUID})


def write_told(writer: TagWriter, value: object) -> tuple[Any, bool]:
    """Write a value as data, and tell whether it certainly comes back the same and keeps to `max_depth`."""
    doubtful: list[Tag] = []

    def envelope(tag: Tag, data: Any) -> Any:
        if tag.cls not in _FAITHFUL and not _is_faithful(tag, data):
            doubtful.append(tag)
        return writer.envelope(tag, data)

    def write_secret(secret: Secret[Any], argument: Any, encode: Encode) -> Any:
        doubtful.append(SECRET)
        return writer.write_secret(secret, argument, encode)

    # An envelope with what is in it takes two levels of the data, where the value has one.
    telling = TagWriter(
        tags=writer.tags,
        scalars=writer.scalars,
        plain=writer.plain,
        envelope=envelope,
        typed=writer.typed,
        write_secret=write_secret,
        max_depth=writer.max_depth // 2,
    )
    try:
        return telling.write(value), not doubtful
    except SerializationError:
        return writer.write(value), False


def _is_faithful(tag: Tag, data: Any) -> bool:
    if tag.cls is datetime:
        return isinstance(data, datetime) or data.endswith("+00:00")
    return is_by_name(tag)
