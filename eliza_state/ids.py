"""Record ids: UUIDs of version 7, in their order of making within a process."""

from __future__ import annotations

import secrets
import time
import uuid

_END = b"\xff"
_UUID_BYTES = 16
# version 7 in bits 76 to 79, variant 0b10 in bits 62 and 63
_FIXED = (0x7 << 76) | (0x2 << 62)
_COUNTER = 1 << 32
_STEPS = 1 << 29


class UuidFactory:
    """Make UUIDs of version 7 (RFC 9562, section 5.7).

    Behind the millisecond come 12 random bits, a counter of 30 bits that starts at random below half of its
    range, and 32 random bits of this factory (RFC 9562, section 6.2, method 1), so ids of one factory
    ascend even when the clock stands still or steps back. One factory belongs to one thread.
    """

    __slots__ = ("_left", "_millisecond", "_node", "_number")

    def __init__(self) -> None:
        self._node = secrets.randbits(32)
        self._millisecond = 0
        self._number = 0
        self._left = 0

    def __call__(self) -> bytes:
        """Return the next id as its 16 bytes."""
        millisecond = time.time_ns() // 1_000_000
        if millisecond <= self._millisecond and self._left:
            self._left -= 1
            self._number = number = self._number + _COUNTER
            return number.to_bytes(_UUID_BYTES, "big")
        self._millisecond = max(millisecond, self._millisecond + 1)
        self._left = _STEPS
        entropy = secrets.randbits(41)
        high, low = entropy >> 29, entropy & (_STEPS - 1)
        self._number = self._millisecond << 80 | _FIXED | high << 64 | low << 32 | self._node
        return self._number.to_bytes(_UUID_BYTES, "big")


def encode_id(text: str) -> bytes:
    """Return the compact form of a record id: the 16 bytes of a UUID in canonical text, or the text.

    Other texts become their UTF-8 with 0xFF behind it, a byte that UTF-8 never holds, or with two of them
    where the result would be 16 bytes long; so no two ids share a form.
    """
    if len(text) == 36:
        try:
            packed = uuid.UUID(text)
        except ValueError:
            pass
        else:
            if str(packed) == text:
                return packed.bytes
    encoded = text.encode() + _END
    return encoded if len(encoded) != _UUID_BYTES else encoded + _END


def decode_id(key: bytes) -> str:
    """Return the text of a record id from its compact form."""
    if len(key) == _UUID_BYTES:
        return str(uuid.UUID(bytes=key))
    return key.rstrip(_END).decode()
