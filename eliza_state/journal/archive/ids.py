"""Which ids are not in a block: a sorted row of short sums, two or three bytes an id.

So few because they are all that the database keeps of a record. A sum that is not there says that the id is
not; one that is there is wrong about once in a hundred times, and the block knows.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from eliza_state.change import Record
from eliza_state.path import Path

# Up to here, two bytes are wrong once in a hundred times at most: 655 / 65,536.
_FEW: Final = 655


def ids_of(records: Iterable[Record]) -> bytes:
    """Return the sums of the ids of records with their paths."""
    found = [_sum(record.path, record.key) for record in records]
    width = _width(len(found))
    return b"".join(sorted(number[:width] for number in found))


def may_hold(ids: bytes, count: int, path: Path, key: bytes) -> bool:
    """Tell whether an id at a path may be among so many: if not, it is not; if so, the block knows."""
    width = _width(count)
    wanted = _sum(path, key)[:width]
    place = bisect_left(range(count), wanted, key=lambda number: ids[number * width : (number + 1) * width])
    return ids[place * width : (place + 1) * width] == wanted


def _width(count: int) -> int:
    return 2 if count <= _FEW else 3


def _sum(path: Path, key: bytes) -> bytes:
    return zlib.crc32(key, zlib.crc32(path.encode().encode())).to_bytes(4, "big")
