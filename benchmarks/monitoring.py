"""What a monitor costs: a durable dispatch with one and without, a look, a verification."""

from __future__ import annotations

import asyncio
import tempfile
import time

from benchmarks.harness import Row, compare, figure
from benchmarks.talk import TEXT, Said, TalkModule
from eliza_modules import ConversationModule, MessageReceived
from eliza_state import StateManager
from eliza_state.health import HealthMonitor, verify

PAIRS = 80
ALONE_EVENTS = 60
TASKS = 32
TASK_EVENTS = 12
MEMORY_EVENTS = 20_000
LIVE_SCOPES = 5_000
RECORDS = 20_000


def rows() -> list[Row]:
    """Measure all of this file."""
    return [
        durable(tasks=1, events=ALONE_EVENTS),
        durable(tasks=TASKS, events=TASK_EVENTS),
        compare(
            "dispatch in memory with a monitor",
            ours=lambda: memory(is_monitored=True),
            other=lambda: memory(is_monitored=False),
            other_name="without one",
            unit="µs",
            bound=1.5,
        ),
        figure(f"a look at {LIVE_SCOPES:,} live scopes", ours=looking, unit="ms", bound=50.0),
        figure(f"verifying {RECORDS:,} records, each", ours=verifying, unit="µs", bound=100.0, runs=3),
    ]


def durable(*, tasks: int, events: int) -> Row:
    """Compare what an event takes with a monitor and without, on one store, with so many tasks at a time."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        url = f"sqlite:///{folder}/state.db"
        opening = StateManager.open(url, modules=[TalkModule()], snapshots=False)
        manager = runner.run(opening.__aenter__())
        try:
            return compare(
                f"durable dispatch with a monitor, {tasks} {'task' if tasks == 1 else 'tasks'}",
                ours=lambda: runner.run(_monitored(manager, tasks, events)),
                other=lambda: runner.run(_dispatched(manager, tasks, events)),
                other_name="without one",
                unit="µs",
                bound=1.05,
                runs=PAIRS,
            )
        finally:
            runner.run(manager.close())


async def _monitored(manager: StateManager, tasks: int, events: int) -> float:
    monitor = HealthMonitor(manager)  # not entered: what a look costs is measured by itself
    try:
        return await _dispatched(manager, tasks, events)
    finally:
        await monitor.close()


async def _dispatched(manager: StateManager, tasks: int, events: int) -> float:
    """Return the microseconds of an event, with tasks that dispatch one after the other."""
    talk = manager.agent("a").room("r").conversation("c")

    async def work() -> None:
        for number in range(events):
            await talk.dispatch(Said(id=str(number), user="ada", text=TEXT))

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return (time.perf_counter() - started) / (tasks * events) * 1e6


def memory(*, is_monitored: bool) -> float:
    """Return the microseconds a dispatch takes in memory."""
    events = [Said(id="m", user="ada", text=TEXT) for _ in range(MEMORY_EVENTS)]

    async def run() -> float:
        async with StateManager.open("memory://", modules=[TalkModule()]) as manager:
            monitor = HealthMonitor(manager) if is_monitored else None
            manager.subscribe(lambda _change: None)
            talk = manager.agent("a").room("r").conversation("c")
            await talk.state()
            started = time.perf_counter()
            for said in events:
                await talk.dispatch(said)
            taken = time.perf_counter() - started
            if monitor is not None:
                await monitor.close()
            return taken / MEMORY_EVENTS * 1e6

    return asyncio.run(run())


def looking() -> float:
    """Return the milliseconds of a look at many live scopes."""

    async def run() -> float:
        async with StateManager.open("memory://", modules=[TalkModule()]) as manager:
            room = manager.agent("a").room("r")
            for number in range(LIVE_SCOPES):
                await room.conversation(f"c{number}").dispatch(Said(id="m", user="ada", text=TEXT))
            monitor = HealthMonitor(manager)
            started = time.perf_counter()
            await monitor.check_health()
            taken = time.perf_counter() - started
            await monitor.close()
            return taken * 1e3

    return asyncio.run(run())


def verifying() -> float:
    """Return the microseconds that verifying a whole store takes for each of its records."""

    async def run(url: str) -> float:
        async with StateManager.open(url, modules=[ConversationModule()]) as manager:
            talks = [manager.agent("a").room("r").conversation(f"c{number}").path for number in range(20)]
            for start in range(0, RECORDS, 1_000):
                await manager.dispatch_all(
                    [
                        (MessageReceived(id=str(number), user="ada", text=TEXT), talks[number % 20])
                        for number in range(start, start + 1_000)
                    ]
                )
        async with StateManager.open(url, modules=[ConversationModule()], read_only=True) as manager:
            started = time.perf_counter()
            found = await verify(manager, sample=None)
            taken = time.perf_counter() - started
            assert found.is_good
        return taken / RECORDS * 1e6

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(f"sqlite:///{folder}/state.db"))
