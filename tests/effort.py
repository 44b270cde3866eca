"""How much is tested.

`ELIZA_STATE_TEST_EFFORT` multiplies the numbers of examples that hypothesis tries, 1 by default.
`ELIZA_STATE_TEST_SAMPLE`, a number below 20, lets a twentieth of the tests run: another one for each number.
"""

from __future__ import annotations

import os
import zlib
from typing import Final

EFFORT: Final = float(os.environ.get("ELIZA_STATE_TEST_EFFORT", "1"))
SAMPLE: Final = "ELIZA_STATE_TEST_SAMPLE"
_FEWEST: Final = 3
_PARTS: Final = 20


def examples(number: int) -> int:
    """Return how many examples to try where a usual run tries this many."""
    return max(_FEWEST, round(number * EFFORT))


def is_in_sample(name: str) -> bool:
    """Tell whether a test of this name runs."""
    number = os.environ.get(SAMPLE)
    return number is None or zlib.crc32(name.encode()) % _PARTS == int(number)
