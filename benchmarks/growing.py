"""What a long history costs: appending to it, opening it, reading it, comparing it, storing it."""

from __future__ import annotations

import asyncio
import datetime
import os
import sqlite3
import statistics
import tempfile
import time

import attrs
import msgspec

from benchmarks.dispatching import TEXT
from benchmarks.harness import Row, compare, figure
from eliza_modules.agent import AgentModule
from eliza_modules.conversation import ConversationModule, Message, MessageReceived
from eliza_modules.room import RoomModule
from eliza_modules.system import SystemModule
from eliza_state import Dispatch, Scope, StateManager
from eliza_state.collections import Entities
from eliza_state.diff import diff

HISTORIES = (1, 100, 10_000, 100_000)
LONG = 100_000
SAMPLE = 150
BATCH = 2_000
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def message(number: int) -> MessageReceived:
    """Return one message of about a hundred bytes."""
    at = START + datetime.timedelta(seconds=number)
    return MessageReceived(id=f"m{number}", user=f"user{number % 50}", text=TEXT, at=at)


def scope(manager: StateManager) -> Scope:
    """Return the handle on the conversation that grows."""
    return manager.agent("eliza").room("general").conversation("long")


async def fill(manager: StateManager, *, start: int, stop: int) -> None:
    """Append messages in large transactions."""
    path = scope(manager).path
    for first in range(start, stop, BATCH):
        batch = [Dispatch(message(number), path) for number in range(first, min(first + BATCH, stop))]
        await manager.dispatch_all(batch)


def store_of(folder: str, count: int) -> str:
    """Make a store whose conversation has `count` messages and return its URL."""
    url = f"sqlite:///{folder}/long-{count}.db"

    async def make() -> None:
        quick = f"{url}?synchronous=NORMAL"
        async with StateManager.open(quick, modules=[ConversationModule()]) as manager:
            await fill(manager, start=0, stop=count)

    if not os.path.exists(f"{folder}/long-{count}.db"):
        asyncio.run(make())
    return url


def rows() -> list[Row]:
    """Measure all of this file, on stores that are made once."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_appending(folder), *_opening(folder), _storing(folder), *_comparing()]


def _appending(folder: str) -> list[Row]:
    def append_to(history: int) -> float:
        """Return the median microseconds of a durable append to a history of that length."""

        async def run(url: str) -> float:
            async with StateManager.open(url, modules=[ConversationModule()]) as manager:
                talk = scope(manager)
                taken: list[float] = []
                number = await talk.version()
                for offset in range(SAMPLE):
                    event = message(number + offset)
                    started = time.perf_counter()
                    await talk.dispatch(event)
                    taken.append(time.perf_counter() - started)
                return statistics.median(taken) * 1e6

        return asyncio.run(run(store_of(folder, history)))

    return [
        compare(
            f"append at history {history:,}",
            ours=lambda history=history: append_to(history),
            other=lambda: append_to(HISTORIES[0]),
            other_name="append at history 1",
            unit="µs",
            bound=1.2,
        )
        for history in HISTORIES[1:]
    ]


def _opening(folder: str) -> list[Row]:
    url = store_of(folder, LONG)
    path = f"{folder}/long-{LONG}.db"

    def open_and_read(*, last: int | None) -> float:
        """Return the milliseconds from the first touch of a closed scope to its messages."""

        async def run() -> float:
            async with StateManager.open(url, modules=[ConversationModule()]) as manager:
                started = time.perf_counter()
                state = await scope(manager).state(ConversationModule)
                found = list(state.messages) if last is None else state.messages.last(last)
                taken = time.perf_counter() - started
                assert len(found) >= (last or LONG)
                return taken

        return asyncio.run(run()) * 1e3

    with sqlite3.connect(path) as connection:
        texts = [payload for (payload,) in connection.execute("SELECT payload FROM record LIMIT ?", (LONG,))]
    connection.close()

    def decode_by_hand() -> float:
        """Return the milliseconds of decoding the same messages with msgspec, one JSON array of all."""
        text = b"[" + b",".join(texts) + b"]"
        decoder = msgspec.json.Decoder(list[Message])
        started = time.perf_counter()
        assert len(decoder.decode(text)) == len(texts)
        return (time.perf_counter() - started) * 1e3

    return [
        compare(
            f"open a conversation of {LONG:,} and read all",
            ours=lambda: open_and_read(last=None),
            other=decode_by_hand,
            other_name="msgspec, the same payloads",
            unit="ms",
            bound=3.0,
        ),
        figure(
            f"open a conversation of {LONG:,} and read the last 50",
            ours=lambda: open_and_read(last=50),
            unit="ms",
            bound=20.0,
        ),
    ]


def _storing(folder: str) -> Row:
    runs = iter(range(100))

    def bytes_a_message() -> float:
        path = f"{folder}/size-{next(runs)}.db"
        everything = [SystemModule(), AgentModule(), RoomModule(), ConversationModule()]

        async def run() -> None:
            url = f"sqlite:///{path}?synchronous=NORMAL"
            async with StateManager.open(url, modules=everything) as manager:
                talk = scope(manager)
                for number in range(1_000):
                    await talk.dispatch(message(number))

        asyncio.run(run())
        return os.path.getsize(path) / 1_000

    return figure("a message on disk, 1,000 of them", ours=bytes_a_message, unit="bytes", bound=600.0, runs=1)


def _comparing() -> list[Row]:
    before = Entities(Message(id=f"m{number}", user="ada", text=TEXT, at=START) for number in range(LONG))
    after = before
    for number in range(0, LONG, LONG // 10):
        after = after.update(f"m{number}", text="changed")

    def compare_states() -> float:
        started = time.perf_counter()
        assert len(diff(before, after)) == 10
        return (time.perf_counter() - started) * 1e3

    def append_one() -> float:
        grown = before
        messages = [attrs.evolve(before.at(0), id=f"n{number}") for number in range(10_000)]
        started = time.perf_counter()
        for entity in messages:
            grown = grown.add(entity)
        return (time.perf_counter() - started) / len(messages) * 1e6

    return [
        figure(
            f"diff of two states of {LONG:,} with 10 differences", ours=compare_states, unit="ms", bound=0.5
        ),
        figure(f"an entity added to {LONG:,}", ours=append_one, unit="µs", bound=5.0),
    ]
