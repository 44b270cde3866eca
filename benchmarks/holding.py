"""What many live conversations take in memory, beside the same data as plain objects."""

from __future__ import annotations

import asyncio
import datetime
import gc
import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import attrs
import psutil

from benchmarks.growing import BATCH, START
from benchmarks.harness import Row
from benchmarks.places import memory_folder
from benchmarks.talk import TEXT
from eliza_modules import ConversationModule, MessageReceived
from eliza_modules.conversation import Message
from eliza_state import Dispatch, Limits, Path, StateManager

TALKS: Final = 100_000
QUICK_TALKS: Final = 2_000
MESSAGES: Final = 10
BOUND: Final = 2.0
_ROOM: Final = Path((("agent", "eliza"), ("room", "general")))
_UNLIMITED: Final = Limits(max_scopes=10 * TALKS, max_scope_bytes=2**40)


@attrs.frozen
class PlainTalk:
    """A conversation as one would write it by hand, with the fields of the ready-made one."""

    messages: list[Message]
    participants: set[str]
    topic: str | None = None
    sentiment: float = 0.0
    active_goals: list[Any] = attrs.field(factory=list[Any])
    ended: bool = False
    ended_at: datetime.datetime | None = None


def rows(*, quick: bool = False) -> list[Row]:
    """Measure all of this file."""
    talks = QUICK_TALKS if quick else TALKS
    # Once each: what a process holds is the same each time, and a million messages take their minutes.
    plain = [_in_new_process(_plain_bytes, talks)]
    received = [_in_new_process(_received_bytes, talks)]
    opened = [_opened_bytes(talks)]
    what = f"bytes a conversation of {MESSAGES} messages, {talks:,} of them live"
    other = "plain attrs objects, list and set"
    return [
        Row(f"{what}, just received", "bytes", received, plain, other, BOUND),
        Row(f"{what}, read from the store", "bytes", opened, plain, other, BOUND),
    ]


def _in_new_process(measure: Callable[..., float], *arguments: object) -> float:
    # The memory of a process tells only before it has held and freed anything else.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(measure, *arguments).result()


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _events(talk: int) -> Iterator[MessageReceived]:
    for number in range(MESSAGES):
        at = START + datetime.timedelta(seconds=number)
        text = f"{talk} {number} {TEXT}"
        yield MessageReceived(id=f"m{number}", user=f"user{number % 3}", text=text, at=at)


def _plain_bytes(talks: int) -> float:
    kept: dict[str, PlainTalk] = {}
    before = _resident()
    for talk in range(talks):
        messages = [
            Message(id=event.id, user=event.user, text=event.text, at=event.at, metadata=event.metadata)
            for event in _events(talk)
        ]
        kept[f"c{talk}"] = PlainTalk(messages, {message.user for message in messages})
    return (_resident() - before) / talks


def _received_bytes(talks: int) -> float:
    async def measure(url: str) -> float:
        async with StateManager.open(url, modules=[ConversationModule()], limits=_UNLIMITED) as manager:
            before = _resident()
            await _fill(manager, talks)
            return (_resident() - before) / talks

    with memory_folder() as folder:
        return asyncio.run(measure(f"sqlite:///{folder}/state.db?synchronous=NORMAL"))


def _opened_bytes(talks: int) -> float:
    async def fill(url: str) -> None:
        async with StateManager.open(url, modules=[ConversationModule()]) as manager:
            await _fill(manager, talks)

    with memory_folder() as folder:
        url = f"sqlite:///{folder}/state.db?synchronous=NORMAL"
        asyncio.run(fill(url))
        return _in_new_process(_read_bytes, url, talks)


def _read_bytes(url: str, talks: int) -> float:
    async def measure() -> float:
        async with StateManager.open(url, modules=[ConversationModule()], limits=_UNLIMITED) as manager:
            before = _resident()
            for talk in range(talks):
                state = await manager.at(_ROOM.child("conversation", f"c{talk}")).state(ConversationModule)
                assert sum(1 for _ in state.messages) == MESSAGES
            return (_resident() - before) / talks

    return asyncio.run(measure())


async def _fill(manager: StateManager, talks: int) -> None:
    dispatches = (
        Dispatch(event, _ROOM.child("conversation", f"c{talk}"))
        for talk in range(talks)
        for event in _events(talk)
    )
    while batch := list(itertools.islice(dispatches, BATCH)):
        await manager.dispatch_all(batch)
