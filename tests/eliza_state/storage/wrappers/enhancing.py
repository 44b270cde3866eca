"""Migrations to enhance storages with, and what is asked of the storages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from eliza_state.storage import Storage
from eliza_state.testing import ManualClock

Use: TypeAlias = Callable[[Storage[Any]], Awaitable[object]]

STEPS: dict[int, Callable[[Any], Any]] = {
    1: lambda value: {**value, "role": "guest"},
    2: lambda value: {"counter": 0, **value},
    3: lambda value: {**value, "role": value["role"].upper()},
}
NOW = {"counter": 0, "role": "GUEST"}
"""What they make of an empty value."""


def now_ms(clock: ManualClock) -> int:
    return clock() // 1_000


async def keys_of(storage: Storage[Any]) -> list[str]:
    return [key async for key in storage.keys()]
