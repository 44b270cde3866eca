"""Observers: when they are due, who may run them, and what clocks do to that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eliza_modules.observer import (
    Observer,
    ObserverModule,
    ObserverRan,
    ObserverRemoved,
    Observers,
    ObserverScheduled,
    UnknownObserver,
)
from eliza_state import StateManager
from eliza_state.errors import Rejected, StateError
from eliza_state.testing import START, ManualClock, TreeDriver
from tests.modules.processes import heard, processes, tell

AGENT = "agent:eliza"
MINUTE = timedelta(minutes=1)
NAIVE = datetime(2024, 5, 1, 12)  # noqa: DTZ001  # what is refused


@pytest.fixture
async def manager():
    async with StateManager.open(modules=[ObserverModule()]) as opened:
        yield opened


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def observers(manager, clock):
    """The observers of an agent, with one that runs once a minute."""
    found = Observers(manager.agent("eliza"), clock=clock)
    await found.schedule("disk", interval_ms=60_000)
    return found


@pytest.fixture
def driver():
    found = TreeDriver(ObserverModule())
    found.send(AGENT, ObserverScheduled(name="disk", interval_ms=60_000), ObserverRan(name="disk", at=START))
    return found


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ObserverScheduled(name="", interval_ms=1), "an observer's name is a non-empty text"),
        (ObserverScheduled(name="disk", interval_ms=0), "an interval is a whole number of milliseconds"),
        (ObserverRan(name="mail", at=START), "there is no observer 'mail'; scheduled are disk"),
        (ObserverRan(name="disk", at=NAIVE), "a time with a time zone is wanted"),
        (ObserverRemoved(name="mail"), "there is no observer 'mail'"),
    ],
)
def test_what_cannot_be_is_rejected_and_further_down_ignored(driver, event, reason):
    before = driver.state(ObserverModule, of=AGENT)

    with pytest.raises(Rejected, match=reason):
        driver.send(AGENT, event)
    driver.send(f"{AGENT}/room:general", event)
    assert driver.state(ObserverModule, of=AGENT) is before


@pytest.mark.parametrize(
    "event", [ObserverScheduled(name="disk", interval_ms=60_000), ObserverRan(name="disk", at=START)]
)
def test_what_is_so_already_changes_nothing(driver, event):
    assert [] == driver.send(AGENT, event)


def test_the_state_comes_back_from_a_snapshot(driver):
    assert driver.restored(ObserverModule, of=AGENT) == driver.state(ObserverModule, of=AGENT)


async def test_an_observer_that_never_ran_is_due(observers):
    assert ("disk",) == await observers.due()


async def test_one_that_ran_is_due_again_after_its_interval(observers, clock):
    await observers.claim("disk")
    told = [await observers.due()]
    for ms in (59_999, 1):
        clock.advance(ms=ms)
        told.append(await observers.due())

    assert [(), (), ("disk",)] == told


async def test_the_second_claim_in_an_interval_is_told_no(observers):
    assert [True, False] == [await observers.claim("disk"), await observers.claim("disk")]


async def test_a_time_that_is_given_counts_in_place_of_the_clock(observers):
    later = START + 5 * MINUTE
    await observers.claim("disk", later)

    assert later == (await observers.get("disk")).last_run
    assert await observers.due(later + MINUTE) == ("disk",)


async def test_a_naive_time_is_an_error(observers):
    with pytest.raises(StateError, match="a time with a time zone is wanted"):
        await observers.due(NAIVE)
    with pytest.raises(StateError, match="a time with a time zone is wanted"):
        await observers.claim("disk", NAIVE)


async def test_an_unknown_observer_is_an_error(observers):
    with pytest.raises(UnknownObserver, match="there is no observer 'mail'; scheduled are disk"):
        await observers.claim("mail")
    with pytest.raises(UnknownObserver, match="there is no observer 'mail'"):
        await observers.get("mail")
    with pytest.raises(Rejected, match="there is no observer 'mail'"):
        await observers.remove("mail")


async def test_a_shorter_interval_counts_from_the_last_run(observers, clock):
    await observers.claim("disk")
    clock.advance(ms=1_000)
    await observers.schedule("disk", interval_ms=1_000)

    assert await observers.claim("disk") is True


async def test_a_longer_interval_counts_from_the_last_run(observers, clock):
    await observers.claim("disk")
    clock.advance(ms=60_000)
    await observers.schedule("disk", interval_ms=60_001)

    assert await observers.claim("disk") is False


async def test_scheduling_the_same_again_writes_nothing(manager, observers):
    before = await manager.position()
    await observers.schedule("disk", interval_ms=60_000)

    assert before == await manager.position()


async def test_a_removed_observer_is_new_when_it_comes_back(observers):
    await observers.claim("disk")
    await observers.remove("disk")
    gone = await observers.all()
    await observers.schedule("disk", interval_ms=60_000)

    assert () == gone
    assert Observer(name="disk", interval_ms=60_000) == await observers.get("disk")


@pytest.mark.parametrize(("back_ms", "is_due"), [(1, False), (59_999, False), (60_000, True), (10**9, True)])
async def test_a_clock_set_back_counts_from_an_interval_on(observers, clock, back_ms, is_due):
    await observers.claim("disk")
    clock.advance(ms=-back_ms)

    assert is_due is await observers.claim("disk")


@pytest.mark.parametrize("back_ms", [1, 30_000, 59_999, 60_000, 60_001, 10**9])
async def test_no_jump_back_makes_an_observer_wait_two_intervals(observers, clock, back_ms):
    await observers.claim("disk")
    clock.advance(ms=-back_ms)
    waited_ms = 0
    while not await observers.due():
        clock.advance(ms=1_000)
        waited_ms += 1_000

    assert waited_ms <= 2 * 60_000


async def test_last_runs_and_intervals_survive_a_restart(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    async with StateManager.open(url, modules=[ObserverModule()]) as manager:
        observers = Observers(manager.agent("eliza"), clock=clock)
        await observers.schedule("disk", interval_ms=60_000)
        await observers.claim("disk")

    async with StateManager.open(url, modules=[ObserverModule()]) as manager:
        observers = Observers(manager.agent("eliza"), clock=clock)
        assert (Observer(name="disk", interval_ms=60_000, last_run=START),) == await observers.all()
        assert await observers.claim("disk") is False


TICK = """
import asyncio, datetime, sys
from eliza_modules.observer import ObserverModule, Observers
from eliza_state import StateManager

async def main():
    async with StateManager.open(sys.argv[1], modules=[ObserverModule()]) as manager:
        observers = Observers(manager.agent("eliza"))
        await observers.all()
        print("ready", flush=True)
        for line in sys.stdin:
            now = datetime.datetime.fromisoformat(line.strip())
            print(int(await observers.claim("disk", now)), flush=True)

asyncio.run(main())
"""


async def test_of_two_processes_that_tick_at_once_one_runs_the_observer(tmp_path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    async with StateManager.open(url, modules=[ObserverModule()]) as manager:
        await Observers(manager.agent("eliza")).schedule("disk", interval_ms=60_000)

    ran = []
    with processes(TICK, url, count=2) as both:
        for tick in range(30):
            now = START + tick * MINUTE
            for ahead, process in enumerate(both):  # their clocks differ a little
                tell(process, (now - ahead * timedelta(microseconds=7)).isoformat())
            ran.append(sum(int(heard(process)) for process in both))

    assert [1] * 30 == ran


def test_times_of_other_zones_are_compared_as_instants():
    observer = Observer(name="disk", interval_ms=60_000, last_run=datetime(2024, 5, 1, 12, tzinfo=UTC))

    assert observer.is_due(datetime.fromisoformat("2024-05-01T14:00:30+02:00")) is False
