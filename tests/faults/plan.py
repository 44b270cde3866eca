"""The plan of faults: the same seed, the same faults.

Each subject (the processes, the store, the cache) has a sequence of its own, in which a fault begins some
time after the one before it has ended.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import attrs


@attrs.frozen
class Fault:
    """What is to happen to a subject: after a pause, for a time, both in seconds.

    `choice` is a whole number from which what it hits is taken: which process, how many replies.
    """

    subject: str
    kind: str
    pause_s: float
    length_s: float
    choice: int


def faults(seed: int, *, subject: str, kinds: Sequence[str], pause_s: float) -> Iterator[Fault]:
    """Yield a subject's faults for ever; `pause_s` is the mean time between two of them.

    Each kind comes once before any comes again, in another order each time: a short run has many of them.
    """
    dice = random.Random(f"{seed}:{subject}")
    while True:
        for kind in dice.sample(kinds, len(kinds)):
            yield Fault(
                subject,
                kind,
                pause_s=round(min(dice.expovariate(1 / pause_s), 4 * pause_s), 4),
                length_s=round(min(0.02 + dice.expovariate(1 / 0.4), 2.0), 4),
                choice=dice.randrange(1 << 16),
            )
