"""What a monitor costs: a durable dispatch with one and without, a look, a verification."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable

from benchmarks.dispatching import TEXT, Said, TalkModule
from benchmarks.harness import Row, compare, figure
from eliza_modules import ConversationModule, MessageReceived
from eliza_state import Change, StateManager
from eliza_state.health import HealthMonitor, verify

ALONE_EVENTS = 600
TASKS = 32
TASK_EVENTS = 120
MEMORY_EVENTS = 20_000
LIVE_SCOPES = 5_000
RECORDS = 20_000


def rows() -> list[Row]:
    """Measure all of this file."""
    return [
        compare(
            "durable dispatch with a monitor, one task",
            ours=lambda: durable(tasks=1, events=ALONE_EVENTS, is_monitored=True),
            other=lambda: durable(tasks=1, events=ALONE_EVENTS, is_monitored=False),
            other_name="without one",
            unit="µs",
            bound=1.05,
            runs=15,
        ),
        compare(
            f"durable dispatch with a monitor, {TASKS} tasks",
            ours=lambda: durable(tasks=TASKS, events=TASK_EVENTS, is_monitored=True),
            other=lambda: durable(tasks=TASKS, events=TASK_EVENTS, is_monitored=False),
            other_name="without one",
            unit="µs",
            bound=1.05,
            runs=15,
        ),
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


def durable(*, tasks: int, events: int, is_monitored: bool) -> float:
    """Return the microseconds an event takes with so many tasks that dispatch one after the other."""

    async def run(manager: StateManager) -> float:
        talk = manager.agent("a").room("r").conversation("c")

        async def work(task: int, count: int) -> list[Change]:
            return [
                await talk.dispatch(Said(id=f"{task}-{number}", user="ada", text=TEXT))
                for number in range(count)
            ]

        await work(0, 10)
        started = time.perf_counter()
        await asyncio.gather(*(work(task, events) for task in range(tasks)))
        return (time.perf_counter() - started) / (tasks * events) * 1e6

    return _opened(run, is_monitored=is_monitored)


def _opened(run: Callable[[StateManager], Awaitable[float]], *, is_monitored: bool) -> float:
    async def opened(url: str) -> float:
        async with StateManager.open(url, modules=[TalkModule()]) as manager:
            if not is_monitored:
                return await run(manager)
            async with HealthMonitor(manager) as monitor:
                await monitor.check_health()  # what a look costs is measured by itself
                return await run(manager)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(opened(f"sqlite:///{folder}/state.db"))


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
