"""Looking into a store's past: snapshots, differences, rewinding; beside copying and comparing copies."""

from __future__ import annotations

import asyncio
import copy
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sized
from typing import Any

import attrs

from benchmarks.growing import LONG, TEXT, message, scope, store_of
from benchmarks.harness import Row, compare, figure
from benchmarks.peers import peer
from eliza_modules.conversation import ConversationModule, ConversationState, Message
from eliza_state import StateManager
from eliza_state.collections import Entities, Set
from eliza_state.debugger import Debugger, diff

LOOKS = 40
WARMING = 10
STEPS = 200
CHANGES = 10

Copied = Callable[[Entities[Message]], dict[str, Any]]
"""Return messages as a package takes them."""

Differences = Callable[[dict[str, Any], dict[str, Any]], Sized]
"""Compare two of them."""


def rows() -> list[Row]:
    """Measure all of this file, on a store that is made once."""
    with tempfile.TemporaryDirectory() as folder:
        url = store_of(folder, LONG)
        return [*_comparing(), _taking(url), *_rewinding(url), _stepping(url)]


def conversation() -> ConversationState:
    """Return the state of a long conversation."""
    events = map(message, range(LONG))
    messages = [Message(id=event.id, user=event.user, text=TEXT, at=event.at) for event in events]
    return ConversationState(messages=Entities(messages), participants=Set(found.user for found in messages))


def _comparing() -> list[Row]:
    before = conversation().messages
    after = before
    for number in range(0, LONG, LONG // CHANGES):
        after = after.update(f"m{number}", text="changed")

    def by_structure() -> float:
        started = time.perf_counter()
        assert len(diff(before, after)) == CHANGES
        return (time.perf_counter() - started) * 1e3

    def row(name: str, differences: Differences, *, copied: Copied, bound: float | None, runs: int) -> Row:
        compared = compare(
            f"what differs in {CHANGES} places of {LONG:,}",
            ours=by_structure,
            other=_by_copies(copied(before), copied(after), differences),
            other_name=f"deepcopy and {name}",
            unit="ms",
            bound=bound,
            runs=runs,
        )
        return attrs.evolve(compared, note="plain dicts" if copied is _plain else "")

    deep_diff, make_patch = peer("deepdiff").DeepDiff, peer("jsonpatch").make_patch
    return [
        row(
            "DeepDiff",
            lambda old, new: deep_diff(old, new)["values_changed"],
            copied=_by_id,
            bound=1 / 1_000,
            runs=1,
        ),
        row("jsonpatch", lambda old, new: list(make_patch(old, new)), copied=_plain, bound=None, runs=3),
        row(
            "dictdiffer",
            lambda old, new: list(peer("dictdiffer").diff(old, new)),
            copied=_plain,
            bound=None,
            runs=3,
        ),
    ]


def _by_id(messages: Entities[Message]) -> dict[str, Any]:
    return {entity.id: entity for entity in messages}


def _plain(messages: Entities[Message]) -> dict[str, Any]:
    """Return what packages for JSON know: no objects, and moments as text."""
    return {
        entity.id: {**attrs.asdict(entity), "at": entity.at and entity.at.isoformat()} for entity in messages
    }


def _by_copies(
    before: dict[str, Any], after: dict[str, Any], differences: Differences
) -> Callable[[], float]:
    def taken() -> float:
        """Return the milliseconds of keeping a copy and comparing with it."""
        started = time.perf_counter()
        kept = copy.deepcopy(before)
        assert len(differences(kept, after)) == CHANGES
        return (time.perf_counter() - started) * 1e3

    return taken


def looking(url: str, look: Callable[[Debugger], Coroutine[Any, Any, float]]) -> float:
    """Return what a look at a store gives, with a debugger of its own."""

    async def run() -> float:
        async with StateManager.open(url, modules=[ConversationModule()]) as manager:
            return await look(Debugger(manager))

    return asyncio.run(run())


def _taking(url: str) -> Row:
    async def take(debugger: Debugger) -> float:
        """Return the microseconds of a snapshot of a conversation that is in memory."""
        path = scope(debugger.manager).path
        await debugger.manager.at(path).state()
        started = time.perf_counter()
        for _ in range(STEPS):
            await debugger.snapshot(path, depth=0)
        return (time.perf_counter() - started) / STEPS * 1e6

    state = {entity.id: entity for entity in conversation().messages}

    def by_copying() -> float:
        started = time.perf_counter()
        copy.deepcopy(state)
        return (time.perf_counter() - started) * 1e6

    return compare(
        f"a snapshot of a conversation of {LONG:,}",
        ours=lambda: looking(url, take),
        other=by_copying,
        other_name="copy.deepcopy",
        unit="µs",
        bound=1 / 10_000,
        runs=3,
    )


def _rewinding(url: str) -> list[Row]:
    middle = LONG // 2

    async def rewind(debugger: Debugger) -> float:
        """Return the milliseconds of a first look at the middle, before which there is no snapshot."""
        started = time.perf_counter()
        state = await (await debugger.at(middle)).state(scope(debugger.manager).path, ConversationModule)
        taken = time.perf_counter() - started
        assert len(state.messages) == middle
        return taken * 1e3

    async def decode(debugger: Debugger) -> float:
        """Return the milliseconds of reading and decoding the same records."""
        manager = debugger.manager
        kind = manager.tree.event_type("message_received")
        assert kind is not None
        started = time.perf_counter()
        for record in manager.journal.read(scope(manager).path, until=middle):
            manager.tree.codec.decode(kind, record.payload, schema_version=record.schema_version)
        return (time.perf_counter() - started) * 1e3

    async def look_around(debugger: Debugger) -> float:
        """Return the median milliseconds of looks at random positions, once some have been made."""
        chosen = random.Random(1)
        taken: list[float] = []
        for _ in range(LOOKS):
            position = chosen.randrange(LONG)
            started = time.perf_counter()
            await (await debugger.at(position)).state(scope(debugger.manager).path)
            taken.append(time.perf_counter() - started)
        return statistics.median(taken[WARMING:]) * 1e3

    return [
        compare(
            f"a first rewind over {middle:,} records",
            ours=lambda: looking(url, rewind),
            other=lambda: looking(url, decode),
            other_name="reading and decoding them",
            unit="ms",
            bound=2.0,
        ),
        figure(
            f"a rewind to a random one of {LONG:,} records",
            ours=lambda: looking(url, look_around),
            unit="ms",
            bound=150.0,
        ),
    ]


def _stepping(url: str) -> Row:
    async def step_back(debugger: Debugger) -> float:
        """Return the median milliseconds of a step back."""
        path = scope(debugger.manager).path
        taken: list[float] = []
        for position in range(LONG // 2, LONG // 2 - STEPS, -1):
            started = time.perf_counter()
            await (await debugger.at(position)).state(path)
            taken.append(time.perf_counter() - started)
        return statistics.median(taken) * 1e3

    return figure("a step back", ours=lambda: looking(url, step_back), unit="ms", bound=5.0)
