"""How many durable events a second several processes store, in one journal and in one for each.

    python -m benchmarks.scaling processes

Each process plays an agent: its tasks dispatch one event after the other, each to a conversation of its own.
Meanwhile the server is asked again and again what its connections wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import psycopg
from sqlalchemy import make_url

from benchmarks.harness import Row
from benchmarks.places import disk_folder
from benchmarks.scaling.costs import DURABLE
from benchmarks.talk import TEXT, Said, TalkModule
from eliza_state import StateManager
from tests.servers import PostgresServer

PROCESSES: Final = (1, 2, 4, 8)
TASKS: Final = 16
LASTS_S: Final = 3.0
PATIENCE_S: Final = 120
SLOW: Final = (*DURABLE, "-c", "commit_delay=4000", "-c", "commit_siblings=0")
"""Settings of a server that waits 4 ms before it flushes, as a slow disk takes."""
_SAMPLED_EACH_S: Final = 0.02
_WAITS: Final = (
    "SELECT coalesce(wait_event_type || ' ' || wait_event, 'running') FROM pg_stat_activity"
    " WHERE application_name LIKE 'eliza_state %' AND state = 'active'"
)

Urls: TypeAlias = Callable[[int], str]
"""Which store a process opens, by its number."""


@attrs.frozen
class Measured:
    """What so many processes did together; `waits` are the shares of what connections waited for."""

    place: str
    processes: int
    events_a_second: float
    waits: Sequence[tuple[str, float]] = ()


def measured(tell: Callable[[Measured], None]) -> list[Measured]:
    """Measure each place with each number of processes; `tell` is told at once."""
    found: list[Measured] = []
    with PostgresServer(arguments=DURABLE) as server, PostgresServer(arguments=SLOW) as slow:
        for processes in PROCESSES:
            for place, place_server, store in (
                ("SQLite, one file", server, _in_files(shared=True)),
                ("SQLite, a file for each", server, _in_files(shared=False)),
                ("PostgreSQL, one schema", server, _in_schemas(server, shared=True)),
                ("PostgreSQL, a schema for each", server, _in_schemas(server, shared=False)),
                ("the same, 4 ms a flush", slow, _in_schemas(slow, shared=False)),
            ):
                with store as urls, _waits(place_server) as waits:
                    rate = run(urls, processes)
                found.append(Measured(place, processes, rate, _shares(waits)))
                tell(found[-1])
    return found


@contextlib.contextmanager
def _in_files(*, shared: bool) -> Generator[Urls]:
    with disk_folder() as folder:
        yield lambda number: f"sqlite:///{folder / Path('0' if shared else str(number))}.db"


@contextlib.contextmanager
def _in_schemas(server: PostgresServer, *, shared: bool) -> Generator[Urls]:
    with server.database() as url:
        yield lambda number: f"{url}&schema=agent_{0 if shared else number}"


def run(urls: Urls, processes: int) -> float:
    """Return how many events a second so many processes store together."""
    context = multiprocessing.get_context("spawn")
    barrier, counts = context.Barrier(processes), context.SimpleQueue()
    started: list[Any] = []
    for number in range(processes):
        process = context.Process(target=play, args=(urls(number), number, barrier, counts))
        process.start()
        started.append(process)
    rates: list[float] = [counts.get() for _ in started]
    for process in started:
        process.join()
    return sum(rates)


def play(url: str, number: int, barrier: Any, counts: Any) -> None:
    """Do one process's part and tell how many events a second it stored."""
    counts.put(asyncio.run(_play(url, number, barrier)))


async def _play(url: str, number: int, barrier: Any) -> float:
    async with StateManager.open(url, modules=[TalkModule()], snapshots=False) as manager:
        room = manager.agent(f"a{number}").room("r")
        count, ends_at = 0, 0.0

        async def work(task: int) -> None:
            nonlocal count
            while time.perf_counter() < ends_at:
                await room.conversation(f"c{task}").dispatch(Said(id=f"{count}", user="ada", text=TEXT))
                count += 1

        for task in range(TASKS):
            await room.conversation(f"c{task}").dispatch(Said(id="first", user="ada", text=TEXT))
        await asyncio.to_thread(barrier.wait, PATIENCE_S)
        started = time.perf_counter()
        ends_at = started + LASTS_S
        await asyncio.gather(*(work(task) for task in range(TASKS)))
        return count / (time.perf_counter() - started)


@contextlib.contextmanager
def _waits(server: PostgresServer) -> Generator[Counter[str]]:
    """Count, while the block runs, what the connections of managers are seen waiting for."""
    plain = make_url(server.url).set(drivername="postgresql").render_as_string(hide_password=False)
    seen = Counter[str]()
    ended = threading.Event()

    def watch() -> None:
        with psycopg.connect(plain, autocommit=True) as connection:
            while not ended.wait(_SAMPLED_EACH_S):
                seen.update(wait for (wait,) in connection.execute(_WAITS))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _shares(seen: Counter[str]) -> list[tuple[str, float]]:
    return [(wait, count / seen.total()) for wait, count in seen.most_common(4)]


def rows() -> list[Row]:
    """Return the microseconds that an event takes, beside the same place with one process."""
    found = measured(lambda _: None)
    alone = {each.place: each for each in found if each.processes == 1}
    return [
        Row(
            f"{each.place}: {each.processes} processes",
            "µs an event",
            [1e6 / each.events_a_second],
            [1e6 / alone[each.place].events_a_second],
            "one process",
            None,
            ", ".join(f"{wait} {share:.0%}" for wait, share in each.waits),
        )
        for each in found
        if each.processes > 1
    ]


def line(each: Measured) -> str:
    """Return a measurement for people."""
    waits = ", ".join(f"{wait} {share:.0%}" for wait, share in each.waits)
    return f"{each.place:32}{each.processes:>3} processes{each.events_a_second:>10,.0f} events/s   {waits}"
