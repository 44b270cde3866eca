"""A process that dispatches numbered operations to a store until it is told to rest, or is killed.

It obeys lines on its input: `rest` (end what is under way), `report FILE` (take in what others wrote and
tell the state of every scope that the file names), `close`. It answers each with a line on its output, and
ends when its input does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import attrs

from eliza_state.change import Change
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import Rejected, StoreError
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from tests.faults.commands import Commands, answer, log_shortly
from tests.faults.history import BROKEN, DONE, FAILED, REFUSED, STARTED, read_history, worker_name
from tests.faults.leaks import Footprint, Growth
from tests.faults.ledger import LANES, Posting, modules, picture, posting
from tests.faults.notes import Notes

RETRY_S: Final = 0.02
OPENING_S: Final = 60
LIMITS: Final = Limits(max_scopes=64, max_scope_bytes=4_000_000, busy_timeout_ms=1_000)


@attrs.frozen
class Orders:
    """What a worker is told when it is started.

    `life` counts its starts from 0, `pace_s` is the mean pause of a lane between two operations.
    """

    url: str
    seed: int
    worker: int
    life: int
    folder: str
    snapshots: bool | list[str] = True
    pace_s: float = 0.0


class Witness:
    """Hear every change and note where what is announced does not follow from what was before."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._position = 0
        self._root: Any = None

    def hear(self, change: Change) -> None:
        """Take a change: positions ascend, and the root's slice goes on from where it was."""
        if change.position <= self._position:
            self._notes.add(BROKEN, f"announced position {change.position} after {self._position}")
        self._position = change.position
        for depth, _, before, after in change.transitions:
            if depth == 0:
                if self._root not in (None, before):
                    self._notes.add(BROKEN, f"before position {change.position}: {before}, not {self._root}")
                self._root = after


class Worker:
    """Dispatch the operations of all lanes, each in its order, again and again until it is answered."""

    def __init__(self, orders: Orders, manager: StateManager, notes: Notes) -> None:
        self._orders = orders
        self._manager = manager
        self._notes = notes
        self._is_resting = False

    async def work(self) -> None:
        """Go on where the lives before have ended; return once told to rest."""
        known = read_history(Path(self._orders.folder), self._orders.worker).operations
        async with asyncio.TaskGroup() as group:
            for lane in range(LANES):
                numbers = [number for number in known if number % LANES == lane]
                group.create_task(self._lane(max(numbers, default=lane - LANES), known))

    def rest(self) -> None:
        """End the lanes as soon as what they have under way is answered."""
        self._is_resting = True

    async def _lane(self, last: int, known: Any) -> None:
        if last in known and not known[last].is_over:
            task = self._posting(last)
            if task.is_resumed:
                await self._dispatch(task)
        for number in itertools.count(last + LANES, LANES):
            if self._is_resting:
                return
            task = self._posting(number)
            await asyncio.sleep(task.pause * self._orders.pace_s)
            await self._dispatch(task)

    def _posting(self, number: int) -> Posting:
        return posting(self._orders.seed, self._orders.worker, number)

    async def _dispatch(self, task: Posting) -> None:
        while not await self._attempt(task):  # noqa: ASYNC110  # nobody tells that the store is back
            await asyncio.sleep(RETRY_S)

    async def _attempt(self, task: Posting) -> bool:
        """Dispatch an operation and note what came of it; tell whether it is over."""
        requests = [Dispatch(event, task.path, id=event.id) for event in task.events]
        self._notes.add(STARTED, task.number, time.monotonic())
        try:
            changes = await self._manager.dispatch_all(requests)
        except Rejected:
            self._notes.add(REFUSED, task.number, time.monotonic())
            return True
        except StoreError as error:
            self._notes.add(FAILED, task.number, time.monotonic(), f"{type(error).__name__}: {error}"[:200])
            return False
        answers = [(change.position, change.version, change.duplicate) for change in changes]
        self._notes.add(DONE, task.number, time.monotonic(), answers)
        return True


async def opened(orders: Orders) -> StateManager:
    """Open the store, however long it is out of reach within a minute."""
    async with asyncio.timeout(OPENING_S):
        while True:
            try:
                return await StateManager.open(
                    orders.url, modules=modules(), snapshots=orders.snapshots, limits=LIMITS
                )
            except StoreError as error:
                sys.stderr.write(f"not opened yet: {error}\n")
                await asyncio.sleep(RETRY_S)


async def states(manager: StateManager, paths: Iterable[str]) -> dict[str, Any]:
    """Return version and state of every scope, as this process has them once it has taken in all there is."""
    await manager.refresh()
    found: dict[str, Any] = {}
    for path in paths:
        scope = manager.at(path)
        found[path] = [await scope.version(), picture(await scope.state())]
    return found


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


async def serve(orders: Orders, manager: StateManager, commands: Commands, notes: Notes) -> None:
    """Work, and obey until told to close."""
    manager.subscribe(Witness(notes).hear)
    worker = Worker(orders, manager, notes)
    growth = Growth()
    async with asyncio.TaskGroup() as group:
        working = group.create_task(worker.work())
        watching = group.create_task(growth.watch(manager.position))
        while (line := await commands.next()) != "close":
            if line == "rest":
                worker.rest()
                await working
                watching.cancel()
                answer("rested")
            else:
                answer(json.dumps(await states(manager, _lines(line.removeprefix("report ")))))
    answer(json.dumps(growth.samples))


async def main(orders: Orders) -> None:
    """Open the store, work, close it, and tell what is left of that in the process."""
    notes = Notes(Path(orders.folder) / f"{worker_name(orders.worker)}.{orders.life}.notes")
    log_shortly()
    commands = Commands()
    before = Footprint.taken()
    manager = await opened(orders)
    answer("ready")
    try:
        await serve(orders, manager, commands, notes)
    finally:
        await manager.close()
    answer(json.dumps(Footprint.taken().left_since(before)))


def run(argument: str) -> None:
    """Do what the orders say, given as JSON."""
    asyncio.run(main(Orders(**json.loads(argument))))
