"""How hard hypothesis tries: `ELIZA_STATE_TEST_EFFORT` multiplies the numbers of examples, 1 by default."""

from __future__ import annotations

import os
from typing import Final

EFFORT: Final = float(os.environ.get("ELIZA_STATE_TEST_EFFORT", "1"))
_FEWEST: Final = 3


def examples(number: int) -> int:
    """Return how many examples to try where a usual run tries this many."""
    return max(_FEWEST, round(number * EFFORT))
