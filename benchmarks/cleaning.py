"""A pass of the clean-up over a year of conversations: what the database is then, and who notices meanwhile.

    python -m benchmarks.cleaning [--messages NUMBER]

A hundredth as many conversations as messages began over a year, one after the other; those of the last thirty
days live. By itself, this takes as many messages as it is told.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import attrs
from rich.console import Console

from benchmarks.harness import Row
from benchmarks.places import disk_folder
from benchmarks.talk import TEXT
from eliza_modules.agent import AgentModule
from eliza_modules.conversation import ConversationModule, MessageReceived
from eliza_modules.room import RoomModule
from eliza_modules.system import SystemModule
from eliza_state import Dispatch, Path, StateManager
from eliza_state.cleanup import CleanupReport, Compaction, IdleScopes, clean
from eliza_state.opening import Opening
from eliza_state.testing import ManualClock

MESSAGES = 1_000_000
QUICK = 20_000
IN_A_TALK = 100
ROOMS = 20
YEAR = 365
LIVE = 30
BASE_S = 10.0
AT_MOST_S = 60.0
PAUSE_S = 0.002
RUNS = 3


@attrs.frozen
class Talk:
    """One conversation: where it is, and on which day of the year all of it was said."""

    path: Path
    day: int


def talks(messages: int) -> Iterator[Talk]:
    """Yield the conversations in the order in which they began."""
    count = messages // IN_A_TALK
    for number in range(count):
        room = Path().child("agent", "eliza").child("room", f"room{number % ROOMS}")
        yield Talk(room.child("conversation", f"c{number}"), 1 + number * YEAR // count)


def living(messages: int) -> Iterator[Talk]:
    """Yield those that have rested no longer than the policy lets them, on the day of the last one."""
    *_, newest = talks(messages)
    return (talk for talk in talks(messages) if talk.day >= newest.day - LIVE)


def modules() -> list[SystemModule | AgentModule | RoomModule | ConversationModule]:
    """Return the modules of a chat system."""
    return [SystemModule(), AgentModule(), RoomModule(), ConversationModule()]


def opening(file: FilePath, clock: ManualClock, *, synchronous: str = "FULL") -> Opening[StateManager]:
    """Return the store of a file, about to be opened, by a clock that stands where it was left."""
    url = f"sqlite:///{file}?synchronous={synchronous}"
    return StateManager.open(url, modules=modules(), clock=clock)


async def fill(file: FilePath, chosen: Iterator[Talk], clock: ManualClock) -> None:
    """Make a store in which these conversations took place, each on its day."""
    start = clock.now
    async with opening(file, clock, synchronous="NORMAL") as manager:
        for talk in chosen:
            clock.set(start + datetime.timedelta(days=talk.day))
            said = (
                MessageReceived(id=f"m{number}", user=f"user{number % 7}", text=TEXT, at=clock.now)
                for number in range(IN_A_TALK)
            )
            await manager.dispatch_all([Dispatch(event, talk.path) for event in said])


async def cleaned(manager: StateManager, *, share: float) -> CleanupReport:
    """Carry the policy of thirty days out."""
    policies = [IdleScopes(after=datetime.timedelta(days=LIVE)), Compaction()]
    report = await clean(manager, policies, share=share)
    assert report.is_good, report
    return report


def copied(file: FilePath, name: str) -> FilePath:
    """Return a copy of a store that nobody has open, without its snapshots and its index file."""
    return FilePath(shutil.copy(file, file.with_name(name)))


def size_row(file: FilePath, messages: int, clock: ManualClock) -> Row:
    """Compare the database after a pass with one that only ever had what lives."""

    async def run() -> int:
        after = copied(file, "after.db")
        async with opening(after, clock, synchronous="NORMAL") as manager:
            await cleaned(manager, share=1)
        return after.stat().st_size

    live = file.with_name("live.db")
    asyncio.run(fill(live, living(messages), ManualClock()))
    return Row(
        f"size of the database after a pass over {messages:,} messages",
        "MB",
        [asyncio.run(run()) / 1e6],
        [live.stat().st_size / 1e6],
        "one that only ever had the live part",
        1.2,
        f"{file.stat().st_size / 1e6:,.1f} MB before; the segments of the archive are files of their own",
    )


async def dispatches(
    manager: StateManager, path: Path, *, until: asyncio.Future[Any], start: int
) -> list[float]:
    """Return the milliseconds of durable dispatches, one after the other, until something is done."""
    taken: list[float] = []
    talk = manager.at(path)
    while not until.done():
        event = MessageReceived(id=f"p{start + len(taken)}", user="ada", text=TEXT)
        started = time.perf_counter()
        await talk.dispatch(event)
        taken.append((time.perf_counter() - started) * 1e3)
        await asyncio.sleep(PAUSE_S)
    return taken


def p99(taken: list[float]) -> float:
    """Return the time that one dispatch of a hundred takes longer than."""
    return statistics.quantiles(taken, n=100)[98]


async def beside_a_pass(file: FilePath, path: Path, clock: ManualClock) -> tuple[float, float]:
    """Return the p99 of dispatches during a pass, and before it in the same store."""
    async with opening(file, clock) as manager:
        await manager.at(path).state(ConversationModule)
        quiet = await dispatches(manager, path, until=asyncio.ensure_future(asyncio.sleep(BASE_S)), start=0)
        passing = asyncio.ensure_future(asyncio.wait_for(cleaned(manager, share=0.1), AT_MOST_S))
        busy = await dispatches(manager, path, until=passing, start=len(quiet))
        if not isinstance(passing.exception(), TimeoutError | None):
            passing.result()
    return p99(busy), p99(quiet)


def p99_row(file: FilePath, messages: int, clock: ManualClock) -> Row:
    """Compare the p99 of dispatches during a pass with that of the same store without one."""
    *_, newest = talks(messages)
    pairs = [
        asyncio.run(beside_a_pass(copied(file, f"pass{number}.db"), newest.path, clock))
        for number in range(RUNS)
    ]
    return Row(
        f"p99 of durable dispatches during a pass over {messages:,} messages",
        "ms",
        [busy for busy, _ in pairs],
        [quiet for _, quiet in pairs],
        "the same store without a pass",
        2.0,
        f"the first {AT_MOST_S:g} s of the pass, where it takes longer",
    )


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all of this file."""
    return measured(QUICK if quick else MESSAGES)


def measured(messages: int) -> list[Row]:
    """Measure a store of so many messages."""
    with disk_folder() as folder:
        clock = ManualClock()
        file = folder / "full.db"
        asyncio.run(fill(file, talks(messages), clock))
        return [size_row(file, messages, clock), p99_row(file, messages, clock)]


def main() -> None:
    """Run this suite alone, with as many messages as asked for."""
    from benchmarks.__main__ import table  # noqa: PLC0415  # it imports the suites

    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleaning", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help=f"how many ({MESSAGES:,})")
    found = measured(parser.parse_args().messages)
    Console(width=160).print(table("cleaning", found))


if __name__ == "__main__":
    main()
