"""A bound on what a value may take when it is written.

>>> SqlStorage(url, transforms=[Compression(), SizeLimit(1_000_000)])  # of what is stored
>>> SqlStorage(url, transforms=[SizeLimit(1_000_000), Compression()])  # of the same before it shrinks
"""

from __future__ import annotations

from typing import ClassVar

from eliza_state.storage.encoding import Transform
from eliza_state.storage.errors import ValueTooLarge


class SizeLimit(Transform):
    """Refuse to write values of more than `max_bytes` with `ValueTooLarge`; nothing is stored then.

    It measures what the transforms before it made of the value, the formats' names included. What is stored
    already is read whatever it takes.
    """

    name: ClassVar[str] = ""

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError(f"a bound is at least 1, got {max_bytes!r}")
        self._max_bytes = max_bytes

    def seal(self, content: bytes, *, key: str) -> bytes | None:
        if len(content) > self._max_bytes:
            raise ValueTooLarge(key, size_bytes=len(content), max_bytes=self._max_bytes)
        return None

    def unseal(self, content: bytes, *, key: str) -> bytes:
        return content
