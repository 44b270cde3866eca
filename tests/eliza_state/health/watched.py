"""A clock for monitors that tests turn."""

from __future__ import annotations


class Seconds:
    """Monotonic seconds that stand still until they are moved on."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s
