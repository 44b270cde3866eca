"""How the runs of an effect relate to each other, and how they end."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.effects import Effects
from eliza_state.errors import StateError
from tests.eliza_state.chat import OTHER, TALK, Closed, Said


@pytest.fixture
async def effects(manager):
    async with Effects(manager) as effects:
        yield effects


def said(text: object) -> Said:
    return Said(user="ada", text=str(text))


def problems(manager) -> list[tuple[str, object]]:
    return [(problem.kind, problem.path) for problem in manager.problems]


class Runs:
    """An effect that notes when it starts and ends, and runs until it is let go."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.running = self.most = 0
        self._gates: dict[str, asyncio.Event] = {}
        self._moved = asyncio.Event()

    def let(self, *texts: object) -> None:
        for text in texts:
            self._gates.setdefault(str(text), asyncio.Event()).set()

    async def reaches(self, *log: str) -> None:
        async with asyncio.timeout(10):
            while not set(log) <= set(self.log):
                self._moved.clear()
                await self._moved.wait()

    def _note(self, line: str, running: int) -> None:
        self.log.append(line)
        self.running += running
        self.most = max(self.most, self.running)
        self._moved.set()

    async def __call__(self, change, context) -> None:
        text = change.event.text
        self._note(f"start {text}", 1)
        try:
            await self._gates.setdefault(text, asyncio.Event()).wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self._note(f"cancel {text}", -1)
            raise
        self._note(f"end {text}", -1)


async def test_parallel_runs_are_bounded_and_keep_their_order(manager, effects):
    runs = Runs()
    effects.on(Said, runs, max_running=2)
    for text in range(5):
        await manager.dispatch(said(text), to=TALK)
    await runs.reaches("start 0", "start 1")
    runs.let(*range(5))
    await effects.settled()

    assert 2 == runs.most
    assert [f"start {text}" for text in range(5)] == [line for line in runs.log if line.startswith("start")]


async def test_the_latest_cancels_the_one_before_and_starts_when_that_has_ended(manager, effects):
    runs = Runs()
    effects.on(Said, runs, policy="latest")
    await manager.dispatch(said(1), to=TALK)
    await runs.reaches("start 1")
    await manager.dispatch(said(2), to=TALK)
    await runs.reaches("start 2")
    runs.let(2)
    await effects.settled()

    assert ["start 1", "cancel 1", "start 2", "end 2"] == runs.log
    assert [] == problems(manager)


async def test_the_latest_leaves_other_scopes_alone(manager, effects):
    runs = Runs()
    effects.on(Said, runs, policy="latest")
    await manager.dispatch(said(1), to=TALK)
    await manager.dispatch(said(2), to=OTHER)
    await runs.reaches("start 1", "start 2")
    runs.let(1, 2)
    await effects.settled()

    assert {"end 1", "end 2"} <= set(runs.log)


async def test_a_key_says_which_changes_belong_together(manager, effects):
    runs = Runs()
    effects.on(Said, runs, policy="latest", key=lambda change: None)
    await manager.dispatch(said(1), to=TALK)
    await runs.reaches("start 1")
    await manager.dispatch(said(2), to=OTHER)
    await runs.reaches("start 2")
    runs.let(2)
    await effects.settled()

    assert ["start 1", "cancel 1", "start 2", "end 2"] == runs.log


async def test_the_latest_replaces_one_that_still_waits(manager, effects):
    runs = Runs()
    effects.on(Said, runs, policy="latest", max_running=1)
    await manager.dispatch(said("first"), to=OTHER)
    await runs.reaches("start first")
    for text in range(3):
        await manager.dispatch(said(text), to=TALK)
    runs.let("first", *range(3))
    await effects.settled()

    assert ["start first", "end first", "start 2", "end 2"] == runs.log


async def test_an_effect_whose_own_event_starts_it_anew_is_cancelled_by_the_latest(manager, effects):
    log = []

    async def effect(change, context):
        log.append(f"start {change.event.text}")
        if change.event.text == "1":
            await context.dispatch(said(2))
            await asyncio.sleep(0)
            log.append("survived")

    effects.on(Said, effect, policy="latest")
    await manager.dispatch(said(1), to=TALK)
    await effects.settled()

    assert ["start 1", "start 2"] == log


async def test_leading_ignores_what_comes_while_it_runs(manager, effects):
    runs = Runs()
    effects.on(Said, runs, policy="leading")
    await manager.dispatch(said(1), to=TALK)
    await manager.dispatch(said(2), to=TALK)
    runs.let(1, 2, 3)
    await effects.settled()
    await manager.dispatch(said(3), to=TALK)
    await effects.settled()

    assert ["start 1", "end 1", "start 3", "end 3"] == runs.log


async def test_debounced_only_the_last_of_a_burst_counts_in_each_scope(manager, effects):
    runs = Runs()
    runs.let(*range(6))
    effects.on(Said, runs, debounce_ms=30)
    for text in range(6):
        await manager.dispatch(said(text), to=(TALK, OTHER)[text % 2])
    await effects.settled()

    assert ["start 4", "end 4", "start 5", "end 5"] == sorted(runs.log, key=lambda line: line[-1])


async def test_past_1024_waiting_changes_the_oldest_is_dropped_and_reported(opened):
    manager = await opened()
    runs = Runs()
    async with Effects(manager) as effects:
        effects.on(Said, runs, max_running=1)
        for text in range(1 + 1_024 + 2):
            await manager.dispatch(said(text), to=TALK)
            if not text:
                await runs.reaches("start 0")
        runs.let(*range(1 + 1_024 + 2))
        await effects.settled()

    assert ["start 0", "start 3"] == [line for line in runs.log if line.startswith("start")][:2]
    assert [("overflow", TALK)] * 2 == problems(manager)


async def test_past_1024_changes_held_back_the_oldest_is_dropped_and_reported(opened):
    manager = await opened()
    started = []

    async def effect(change, context):
        started.append(change.event.text)

    async with Effects(manager) as effects:
        effects.on(Said, effect, debounce_ms=200, key=lambda change: change.event.text)
        for text in range(1_024 + 1):
            await manager.dispatch(said(text), to=TALK)
        await effects.settled()

    assert [str(text) for text in range(1, 1_025)] == sorted(started, key=int)
    assert [("overflow", TALK)] == problems(manager)


@pytest.mark.parametrize("key", [lambda change: 1 // 0, lambda change: []], ids=["raises", "unhashable"])
async def test_a_key_that_fails_is_reported(manager, effects, key):
    effects.on(Said, Runs(), policy="latest", key=key)
    await manager.dispatch(said(1), to=TALK)
    await effects.settled()

    assert [("effect", TALK)] == problems(manager)


# How they end


async def test_a_cancelled_effect_hears_no_more_and_what_runs_is_cancelled(manager, effects):
    runs = Runs()
    listener = effects.on(Said, runs, max_running=1)
    await manager.dispatch(said(1), to=TALK)
    await runs.reaches("start 1")
    await manager.dispatch(said(2), to=TALK)
    listener.cancel()
    await manager.dispatch(said(3), to=TALK)
    await effects.settled()
    await listener.ended()

    assert ["start 1", "cancel 1"] == runs.log


async def test_an_effect_may_cancel_itself_and_goes_on_to_its_end(manager, effects):
    log = []

    async def once(change, context):
        listener.cancel()
        await asyncio.sleep(0)
        log.append(change.event.text)

    listener = effects.on(Said, once)
    await manager.dispatch(said(1), to=TALK)
    await effects.settled()
    await manager.dispatch(said(2), to=TALK)
    await effects.settled()

    assert ["1"] == log


async def test_leaving_a_listener_as_a_context_ends_it(manager, effects):
    runs = Runs()
    with effects.on(Said, runs, debounce_ms=10_000):
        await manager.dispatch(said(1), to=TALK)
    await effects.settled()

    assert [] == runs.log


async def test_close_cancels_all_and_leaves_no_task(opened, url):
    manager = await opened(url, feed=False)
    before = asyncio.all_tasks()
    runs = Runs()
    effects = Effects(manager)
    effects.on(Said, runs)
    effects.on(Said, runs, debounce_ms=10_000)
    await manager.dispatch(said(1), to=TALK)
    await runs.reaches("start 1")
    await effects.close()
    await effects.close()

    assert ["start 1", "cancel 1"] == runs.log
    assert before == asyncio.all_tasks()
    with pytest.raises(StateError, match="closed"):
        effects.on(Said, runs)


async def test_an_effect_may_close_them_all(manager):
    effects = Effects(manager)
    log = []

    async def effect(change, context):
        await effects.close()
        log.append("closed")

    effects.on(Said, effect)
    await manager.dispatch(said(1), to=TALK)
    await effects.settled()

    assert ["closed"] == log


def test_the_end_of_the_event_loop_ends_them_quietly(opened, caplog):
    runs = Runs()

    async def main():
        manager = await opened()
        effects = Effects(manager)
        effects.on(Said, runs, max_running=1)
        effects.on(Closed, runs)
        for text in range(3):
            await manager.dispatch(said(text), to=TALK)
        await runs.reaches("start 0")

    asyncio.run(main())

    assert ["start 0", "cancel 0"] == runs.log
    assert [] == [record for record in caplog.records if record.name == "asyncio"]
