"""Record ids: UUIDs of version 7, in their order of making within a process."""

from __future__ import annotations

import secrets
import time
import uuid

_NODE_BITS = 32
_COUNTER_BITS = 42
_END = b"\xff"
_UUID_BYTES = 16
# version 7 in bits 76 to 79, variant 0b10 in bits 62 and 63
_FIXED = (0x7 << 76) | (0x2 << 62)


class UuidFactory:
    """Make UUIDs of version 7 (RFC 9562, section 5.7).

    The 74 bits after the millisecond are a 42-bit counter that starts at random in each millisecond and 32
    random bits of this factory (RFC 9562, section 6.2, method 1), so ids of one factory ascend even when
    the clock stands still or steps back. One factory belongs to one thread.
    """

    def __init__(self) -> None:
        self._node = secrets.randbits(_NODE_BITS)
        self._millisecond = 0
        self._counter = 0

    def __call__(self) -> bytes:
        """Return the next id as its 16 bytes."""
        millisecond = time.time_ns() // 1_000_000
        if millisecond > self._millisecond:
            self._millisecond = millisecond
            # The top bit stays free, so that 2**41 ids fit into a millisecond before the counter is full.
            self._counter = secrets.randbits(_COUNTER_BITS - 1)
        else:
            self._counter += 1
        # 12 bits of the counter go beside the version, 30 below the variant, the node's 32 last.
        high, low = self._counter >> 30, self._counter & 0x3FFF_FFFF
        number = self._millisecond << 80 | _FIXED | high << 64 | low << _NODE_BITS | self._node
        return number.to_bytes(16, "big")


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
