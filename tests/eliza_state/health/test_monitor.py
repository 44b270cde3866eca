"""A monitor of a real manager: its figures, its reasons, its alerts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eliza_state.errors import RegistrationError, StateError
from eliza_state.health import CONDITIONS, Alert, HealthMonitor, StateHealth
from eliza_state.manager import StateManager
from eliza_state.problems import Problem
from eliza_state.testing import ManualClock
from tests.eliza_state.chat import TALK, Said, Typing, modules
from tests.eliza_state.conftest import Open
from tests.eliza_state.health.watched import Seconds


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def monitor(manager: StateManager, seconds: Seconds) -> AsyncIterator[HealthMonitor]:
    made = HealthMonitor(manager, monotonic=seconds)
    yield made
    await made.close()


async def say(manager: StateManager, count: int) -> None:
    for number in range(count):
        await manager.dispatch(Said(user="ada", text=f"hello {number}"), to=TALK)


async def test_a_quiet_store_is_healthy(monitor: HealthMonitor):
    health = await monitor.check_health()

    assert health.is_healthy
    assert health.updates.last is None
    assert monitor.last is health


async def test_updates_are_counted_in_windows(monitor: HealthMonitor, seconds: Seconds):
    seconds.now_s += 300
    await say(monitor.manager, 30)
    now = (await monitor.check_health()).updates
    seconds.now_s += 59
    later = (await monitor.check_health()).updates

    assert now.per_second == {1: 30, 60: 0.5, 300: 0.1}
    assert later.per_second == {1: 0, 60: 0.5, 300: 0.1}


async def test_the_last_update_is_the_journal_s(opened: Open):
    clock = ManualClock()
    manager = await opened(clock=clock)
    monitor = HealthMonitor(manager)
    await say(manager, 1)
    at = clock.now
    clock.advance(ms=90_000)

    health = await monitor.check_health()

    assert (health.updates.last, health.at) == (at, clock.now)
    await monitor.close()


async def test_durable_dispatches_are_timed(opened: Open, sqlite_url: str):
    async with HealthMonitor(await opened(sqlite_url)) as monitor:
        await say(monitor.manager, 3)
        await monitor.manager.dispatch_all(
            [(Said(user="ada", text="x"), TALK), (Said(user="ada", text="y"), TALK)]
        )
        updates = (await monitor.check_health()).updates

    assert updates.dispatch is not None
    assert updates.dispatches == updates.dispatch.count == 4
    assert 0 < updates.dispatch.p50_us <= updates.dispatch.p99_us <= updates.dispatch.max_us


async def test_dispatches_at_once_are_all_counted(opened: Open, sqlite_url: str):
    """Those that share a transaction, and those that do not fit into one."""
    manager = await opened(sqlite_url)
    async with HealthMonitor(manager) as monitor:
        await asyncio.gather(*(manager.dispatch(Said(user="ada", text="x"), to=TALK) for _ in range(2_500)))
        updates = (await monitor.check_health()).updates

    assert updates.dispatch is not None
    assert updates.dispatches == updates.dispatch.count == 2_500
    assert updates.dispatch_s > 0


async def test_what_waits_for_nothing_is_not_timed(opened: Open, sqlite_url: str):
    async with HealthMonitor(await opened(sqlite_url)) as monitor:
        await monitor.manager.dispatch(Typing(user="ada"), to=TALK)
        updates = (await monitor.check_health()).updates

    assert (updates.dispatch, updates.dispatches) == (None, 0)


async def test_records_of_another_process_are_a_lag(opened: Open, sqlite_url: str):
    reader, writer = await opened(sqlite_url), await opened(sqlite_url)
    monitor = HealthMonitor(reader, thresholds={"journal_lag": 2})
    await say(writer, 3)
    behind = await monitor.check_health()
    await reader.refresh()
    level = await monitor.check_health()

    assert (behind.journal.head, behind.journal.applied, behind.journal.lag) == (3, 0, 3)
    assert [str(reason) for reason in behind.reasons] == [
        "3 records of other processes are not taken in, more than 2"
    ]
    assert (level.journal.lag, level.is_healthy) == (0, True)
    await monitor.close()


async def test_scopes_and_memory_are_told_by_level_and_module(monitor: HealthMonitor):
    await say(monitor.manager, 5)
    health = await monitor.check_health()

    assert health.state.live == {"global": 1, "agent": 1, "room": 1, "conversation": 1}
    assert {"totals", "budget", "people", "talk", "presence"} == health.memory.by_module.keys()
    assert all(size > 0 for size in health.memory.by_module.values())
    assert health.memory.process_bytes > 0


async def test_the_files_of_a_store_are_told(opened: Open, sqlite_url: str):
    monitor = HealthMonitor(await opened(sqlite_url))
    await say(monitor.manager, 5)
    health = await monitor.check_health()

    assert health.state.files["journal"] > 0
    assert health.state.files["log"] > 0
    await monitor.close()


async def test_who_is_told_of_changes_is_counted(monitor: HealthMonitor):
    manager = monitor.manager
    blocked = asyncio.Event()

    async def slow(_change: Any) -> None:
        await blocked.wait()

    async def effect(_change: Any, _context: Any) -> None:
        await blocked.wait()

    manager.subscribe(slow)
    manager.on(Said, effect)
    follower = await manager.follow("words", lambda told, write: None)
    await say(manager, 5)
    await asyncio.sleep(0)
    await follower.settled()
    listeners = (await monitor.check_health()).listeners

    assert any("slow" in name for name in listeners.receivers)
    assert listeners.waiting >= 4
    assert (listeners.effects, listeners.effects_running, listeners.effects_waiting) == (1, 5, 0)
    assert [(each.name, each.lag, each.is_running) for each in listeners.followers] == [("words", 0, True)]


async def test_a_follower_that_stopped_is_a_reason(monitor: HealthMonitor):
    def fail(told: Any, write: Any) -> None:
        raise ZeroDivisionError

    follower = await monitor.manager.follow("words", fail, retries=0)
    await say(monitor.manager, 1)
    with pytest.raises(StateError):
        await follower.settled()
    health = await monitor.check_health()

    assert [reason.text for reason in health.reasons] == ["follower words has stopped"]


async def test_errors_are_told_with_kind_type_path_and_time(opened: Open):
    clock = ManualClock()
    manager = await opened(clock=clock)
    manager.problems.report(Problem("snapshot", "before"))
    monitor = HealthMonitor(manager)

    def fail(_change: Any) -> None:
        raise ZeroDivisionError("no")

    manager.subscribe(fail)
    await say(manager, 2)
    health = await monitor.check_health()

    first, second, _ = health.errors
    assert (first.kind, first.type, first.message) == ("snapshot", "", "before")
    assert (second.kind, second.type, second.path) == ("receiver", "ZeroDivisionError", TALK.encode())
    assert second.at == clock.now
    assert health.errors_by_kind == {"snapshot": 1, "receiver": 2}
    await monitor.close()


async def test_many_errors_are_bounded_and_a_reason(monitor: HealthMonitor):
    for number in range(150):
        monitor.manager.problems.report(Problem("value", f"{number} " + "x" * 1_000))
    health = await monitor.check_health()

    assert len(health.errors) == 100
    assert len(health.errors[-1].message) == 500
    assert [reason.condition for reason in health.reasons] == ["errors_per_minute"]


async def test_all_of_it_can_be_written_as_json(monitor: HealthMonitor):
    await say(monitor.manager, 1)
    health = await monitor.check_health()
    told = json.loads(json.dumps(health.to_dict()))

    assert told["is_healthy"] is True
    assert told["state"]["largest"][0]["path"] == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"thresholds": {"journal_lags": 1}},
            "there is no condition 'journal_lags'; there are 'journal_lag'",
        ),
        ({"thresholds": {"journal_lag": -1}}, "a number of 0 or more"),
        ({"thresholds": {"journal_lag": True}}, "a number of 0 or more"),
        ({"hysteresis": 1.0}, "a share"),
    ],
)
async def test_options_that_make_no_sense_are_refused(options: Any, message: str):
    async with StateManager.open(modules=modules()) as manager:
        with pytest.raises(StateError, match=message):
            HealthMonitor(manager, **options)


async def test_a_threshold_can_be_switched_off(manager: StateManager):
    monitor = HealthMonitor(manager, thresholds={"errors_per_minute": None})
    for _ in range(20):
        manager.problems.report(Problem("value", "no"))

    assert (await monitor.check_health()).is_healthy
    assert "errors_per_minute" not in monitor.thresholds
    await monitor.close()


async def test_a_manager_has_one_monitor_at_a_time(manager: StateManager):
    monitor = HealthMonitor(manager)
    with pytest.raises(StateError, match="has a monitor already"):
        HealthMonitor(manager)
    await monitor.close()
    await monitor.close()

    await HealthMonitor(manager).close()
    assert not manager.core.signals.receivers()


async def test_an_alert_is_raised_once_and_cleared_once(opened: Open, sqlite_url: str):
    reader, writer = await opened(sqlite_url), await opened(sqlite_url)
    monitor = HealthMonitor(reader, thresholds={"journal_lag": 10}, hysteresis=0.5)
    told: list[str] = []
    signalled: list[Alert] = []
    monitor.on_alert(lambda alert: told.append(str(alert)))
    monitor.alerted.connect(lambda sender, alert: signalled.append(alert), sender=monitor, weak=False)

    await say(writer, 11)
    await monitor.check_health()
    await monitor.check_health()
    assert len(monitor.alerts) == 1
    await reader.refresh()
    await say(writer, 6)
    await monitor.check_health()
    await reader.refresh()
    await monitor.check_health()

    text = "11 records of other processes are not taken in, more than 10"
    assert told == [text, f"over: {text}"]
    assert [alert.is_over for alert in signalled] == [False, True]
    assert monitor.alerts == ()
    await monitor.close()


async def test_a_receiver_of_alerts_that_fails_stops_no_other(
    monitor: HealthMonitor, caplog: pytest.LogCaptureFixture
):
    told: list[Alert] = []

    def fail(_alert: Alert) -> None:
        raise ZeroDivisionError

    stop = monitor.on_alert(fail)
    monitor.on_alert(told.append)
    for _ in range(20):
        monitor.manager.problems.report(Problem("value", "no"))
    await monitor.check_health()
    stop()
    stop()

    assert [alert.reason.condition for alert in told] == ["errors_per_minute"]
    assert "a receiver of health alerts failed" in caplog.text
    levels = [record.levelno for record in caplog.records if record.message == str(told[0])]
    assert levels == [logging.WARNING]


async def test_a_coroutine_function_is_no_receiver_of_alerts(monitor: HealthMonitor):
    async def receive(_alert: Alert) -> None: ...

    with pytest.raises(RegistrationError, match="coroutine"):
        monitor.on_alert(receive)  # type: ignore[arg-type]


async def test_it_looks_from_time_to_time_while_it_is_entered(manager: StateManager):
    raised = asyncio.Event()
    async with HealthMonitor(manager, interval_s=0.001) as monitor:
        monitor.on_alert(lambda _alert: raised.set())
        for _ in range(20):
            manager.problems.report(Problem("value", "no"))
        await asyncio.wait_for(raised.wait(), 10)

    assert raised.is_set()


async def test_receivers_that_are_never_cancelled_are_suspected(manager: StateManager, seconds: Seconds):
    monitor = HealthMonitor(manager, leak_window_s=60, monotonic=seconds)

    def forgotten(_change: Any) -> None: ...

    health: StateHealth | None = None
    for _ in range(61):
        for _ in range(2):
            manager.subscribe(forgotten)
        health = await monitor.check_health()
        seconds.now_s += 1

    assert health is not None
    assert [suspect.kind for suspect in health.suspects] == ["receivers"]
    assert "forgotten" in health.suspects[0].subject
    assert [reason.condition for reason in health.reasons] == ["growth"]
    await monitor.close()


async def test_a_slice_that_grows_without_bound_is_suspected(manager: StateManager, seconds: Seconds):
    monitor = HealthMonitor(manager, leak_window_s=60, monotonic=seconds)
    health: StateHealth | None = None
    for step in range(61):
        events = [(Said(user="ada", text=f"{step} {number}"), TALK) for number in range(200)]
        await manager.dispatch_all(events)
        health = await monitor.check_health()
        seconds.now_s += 1

    assert health is not None
    assert [suspect.subject for suspect in health.suspects] == [f"talk.texts of {TALK.encode()}"]
    await monitor.close()


async def test_scopes_over_their_bound_that_grow_are_suspected(opened: Open, seconds: Seconds):
    from eliza_state.limits import Limits
    from tests.eliza_state.chat import ROOM, Typing

    manager = await opened(limits=Limits(max_scopes=10))
    monitor = HealthMonitor(manager, leak_window_s=60, monotonic=seconds)
    health: StateHealth | None = None
    for step in range(61):
        for number in range(20):  # volatile state, which is nowhere else, keeps a scope in memory
            path = ROOM.child("conversation", f"{step} {number}")
            await manager.dispatch(Typing(user="ada"), to=path)
        health = await monitor.check_health()
        seconds.now_s += 1

    assert health is not None
    assert [(suspect.kind, suspect.subject) for suspect in health.suspects] == [
        ("live scopes", "level conversation")
    ]
    await monitor.close()


async def test_damage_that_a_verification_found_is_a_reason(opened: Open, sqlite_url: str):
    manager = await opened(sqlite_url)
    monitor = HealthMonitor(manager)
    await say(manager, 3)
    before = await monitor.check_health()
    assert (await monitor.verify()).is_good
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(manager.core.database or "")) as connection, connection:
        connection.execute("UPDATE record SET payload = x'00' WHERE position = 2")
    await monitor.verify()
    health = await monitor.check_health()

    assert (before.damage, health.damage) == (None, 1)
    assert [reason.condition for reason in health.reasons] == ["damage"]
    await monitor.close()


def test_every_condition_says_what_it_counts_in():
    assert all(condition.unit and condition.text for condition in CONDITIONS.values())
