"""How much is tested.

`ELIZA_STATE_TEST_EFFORT` multiplies the numbers of examples that hypothesis tries, 1 by default. Below 1, of
a test with many sets of parameters a part runs, always the same, and each test of a contract runs on a part
of the storages that promise it.
`ELIZA_STATE_TEST_SAMPLE`, a number, lets a sixtieth of the tests run: of a tenth of the files, another one
for each number below 10, a sixth.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

EFFORT: Final = float(os.environ.get("ELIZA_STATE_TEST_EFFORT", "1"))
SAMPLE: Final = "ELIZA_STATE_TEST_SAMPLE"
_FEWEST: Final = 3
_FILES: Final = 10
_PARTS: Final = 6
_MANY: Final = 2
_PART: Final = 5
_CONTRACTS: Final = "eliza_state.testing."
_PART_OF_CONTRACTS: Final = 4


class Test(Protocol):
    """What pytest has collected."""

    nodeid: str


T = TypeVar("T", bound=Test)


def examples(number: int) -> int:
    """Return how many examples to try where a usual run tries this many."""
    return max(_FEWEST, round(number * EFFORT))


def is_in_sample(name: str) -> bool:
    """Tell whether a test of this name runs, if its file does."""
    return _is_chosen(name, _PARTS)


def is_file_in_sample(name: str) -> bool:
    """Tell whether tests in a file of this name run; of others not even the imports are to be paid for."""
    return _is_chosen(name, _FILES)


def _is_chosen(name: str, parts: int) -> bool:
    number = os.environ.get(SAMPLE)
    return number is None or zlib.crc32(name.encode()) % parts == int(number) % parts


def thinned(tests: Sequence[T]) -> list[T]:
    """Return the tests, where little is to be done without most of those that differ by parameters alone."""
    if EFFORT >= 1 or SAMPLE in os.environ:
        return list(tests)
    alike: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        alike[_kind(test)].append(test.nodeid)
    chosen: set[str] = set()
    for kind, names in alike.items():
        by_chance = sorted(names, key=lambda name: zlib.crc32(name.encode()))
        part = _PART_OF_CONTRACTS if kind.startswith(_CONTRACTS) else _PART
        chosen.update(by_chance[: max(_MANY, len(names) // part)])
    return [test for test in tests if test.nodeid in chosen]


def _kind(test: Test) -> str:
    """Return what tests have in common of which a part will do."""
    function = getattr(test, "function", None)
    module = getattr(function, "__module__", "")
    if module.startswith(_CONTRACTS):
        return f"{module}.{function.__qualname__}"
    return test.nodeid.partition("[")[0]
