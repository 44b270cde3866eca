"""A process whose clients read, compare and set, and delete the same few keys as those of others.

It obeys `rest` and `close`, as `tests.faults.worker` does. Which keys it works on is told by the clock, so
that all processes meet at the same ones and no key's history grows long.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from eliza_state.errors import StoreError
from eliza_state.storage import Storage
from eliza_state.storage.errors import OutcomeUnknown, StaleValue
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.sql import SqlStorage
from tests.faults.commands import Commands, answer, log_shortly
from tests.faults.leaks import Footprint
from tests.faults.notes import Notes

CLIENTS: Final = 3
KEYS: Final = 2
"""How many keys are worked on at a time."""
WINDOW_S: Final = 1.5
"""How long they are."""
PAUSE_S: Final = 0.03
LIMIT_S: Final = 3.0
"""How long a client waits for an answer."""
MAX_AGE_MS: Final = 500
CACHE_TIMEOUT_MS: Final = 200
OPENING_S: Final = 60

CALLED: Final = "called"
ANSWERED: Final = "answered"
FAILED: Final = "failed"
UNKNOWN: Final = "unknown"

Kind = Literal["get", "get newest", "compare and set", "compare and delete", "set", "delete"]
_WEIGHTS: Final[Mapping[Kind, int]] = {
    "get": 4,
    "get newest": 2,
    "compare and set": 10,
    "compare and delete": 2,
    "set": 1,
    "delete": 1,
}


@attrs.frozen
class Orders:
    """What a process is told: `layers` are the URLs of a layered store, or the one of a SQL storage."""

    layers: list[str]
    is_layered: bool
    seed: int
    worker: int
    life: int
    folder: str
    started_s: float


def keys_name(worker: int) -> str:
    """Return what a process's files are named after."""
    return f"keys-{worker}"


def opened(orders: Orders) -> Storage[Any]:
    """Open the storage; raises `StoreError`."""
    if not orders.is_layered:
        return SqlStorage(orders.layers[0], timeout_ms=1_000)
    timeouts_ms = {"redis": CACHE_TIMEOUT_MS} if len(orders.layers) > 1 else {}
    return LayeredStore(*orders.layers, max_age_ms=MAX_AGE_MS, timeouts_ms=timeouts_ms)


class Client:
    """One task that works on the keys: what it compares with, it has read before."""

    def __init__(self, orders: Orders, number: int, storage: Storage[Any], notes: Notes) -> None:
        self._name = f"{orders.worker}.{orders.life}.{number}"
        self._orders = orders
        self._dice = random.Random(f"{orders.seed}:{self._name}")
        self._storage = storage
        self._notes = notes
        self._seen: dict[str, int] = {}
        self.is_resting = False

    async def work(self) -> None:
        """Do one operation after the other until told to rest."""
        for number in itertools.count():
            if self.is_resting:
                return
            await asyncio.sleep(self._dice.uniform(0, 2 * PAUSE_S))
            window = int((time.monotonic() - self._orders.started_s) / WINDOW_S)
            key = f"key {window}.{self._dice.randrange(KEYS)}"
            (kind,) = self._dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
            await self._operate(f"{self._name}.{number}", key, kind)

    async def _operate(self, operation: str, key: str, kind: Kind) -> None:
        """Do an operation and note its call and its answer; `operation` is the value that it may write."""
        expected = self._seen.get(key, 0) if kind.startswith("compare") else None
        if kind == "compare and delete" and not expected:
            kind = "get"
        self._notes.add(CALLED, operation, key, kind, expected, time.monotonic())
        try:
            async with asyncio.timeout(LIMIT_S):
                told = await self._told(operation, key, kind, expected)
        except (OutcomeUnknown, TimeoutError) as error:
            self._notes.add(UNKNOWN, operation, time.monotonic(), repr(error)[:200])
        except StoreError as error:
            self._notes.add(FAILED, operation, time.monotonic(), repr(error)[:200])
        else:
            self._notes.add(ANSWERED, operation, time.monotonic(), *told)

    async def _told(self, value: str, key: str, kind: Kind, expected: int | None) -> tuple[str, Any, Any]:
        """Do it; return the outcome, the value seen or whether there was one, and the version."""
        storage = self._storage
        if kind == "get newest" and isinstance(storage, LayeredStore):
            return "done", await storage.get(key, consistency="home"), None
        if kind in ("get", "get newest"):
            entry = await storage.entry(key)
            self._seen[key] = 0 if entry is None else entry.version
            return "done", None if entry is None else entry.live_value, self._seen[key]
        try:
            if kind in ("set", "compare and set"):
                version = await storage.set(key, value, expected_version=expected)
                if expected is not None:
                    self._seen[key] = version
                return "done", None, version if expected is not None else None
            return "done", await storage.delete(key, expected_version=expected), None
        except StaleValue as stale:
            self._seen[key] = stale.actual
            return "refused", None, stale.actual


async def main(orders: Orders) -> None:
    """Work until told to rest, close the storage, and tell what is left of it in the process."""
    log_shortly()
    notes = Notes(Path(orders.folder) / f"{keys_name(orders.worker)}.{orders.life}.notes")
    commands = Commands()
    before = Footprint.taken()
    async with asyncio.timeout(OPENING_S):
        while True:
            with contextlib.suppress(StoreError):
                storage = await asyncio.to_thread(opened, orders)
                break
            await asyncio.sleep(0.02)
    answer("ready")
    clients = [Client(orders, number, storage, notes) for number in range(CLIENTS)]
    async with storage, asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.work())
        await commands.next()
        for client in clients:
            client.is_resting = True
    answer("rested")
    await commands.next()
    answer(json.dumps(Footprint.taken().left_since(before)))


def run(argument: str) -> None:
    """Do what the orders say, given as JSON."""
    asyncio.run(main(Orders(**json.loads(argument))))
