"""Runs: how they move, what refuses, how many are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path as FilePath

import pytest

from eliza_modules.run import (
    LEADS_TO,
    TRANSITIONS,
    Run,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunInvestigated,
    RunModule,
    RunStarted,
)
from eliza_serializers import Secret
from eliza_state.errors import RegistrationError, Rejected
from eliza_state.testing import TreeDriver

AGENT = "agent:eliza"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NAIVE = datetime(2024, 5, 1, 12)  # noqa: DTZ001  # what is refused
EVENT_OF = {status: event for event, status in LEADS_TO.items()}
WAYS = {
    "pending": (),
    "investigating": ("investigating",),
    "active": ("active",),
    "waiting_for_approval": ("waiting_for_approval",),
    "completed": ("active", "completed"),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}
"""How a run gets to each status."""


def moved(run, status, at=NOON):
    """The event that takes a run to a status."""
    more = {"error": "no"} if status == "failed" else {}
    return EVENT_OF[status](id=run, at=at, **more)


def at_status(status, **options):
    driver = TreeDriver(RunModule(**options))
    driver.send(AGENT, RunCreated(id="r1", at=NOON), *(moved("r1", step) for step in WAYS[status]))
    return driver


def runs(driver):
    return driver.state(RunModule, of=AGENT).runs


def finish(driver, *ids):
    for run in ids:
        driver.send(AGENT, RunCreated(id=run, at=NOON), RunStarted(id=run, at=NOON))
        driver.send(AGENT, RunCompleted(id=run, at=NOON))


def test_a_new_run_is_pending():
    driver = TreeDriver(RunModule())
    driver.send(AGENT, RunCreated(id="r1", at=NOON, input={"ask": "tea"}, parent="r0"))

    assert runs(driver)["r1"] == Run(
        id="r1", input={"ask": "tea"}, parent="r0", created_at=NOON, updated_at=NOON
    )


@pytest.mark.parametrize(("before", "after"), [(a, b) for a, allowed in TRANSITIONS.items() for b in allowed])
def test_what_the_table_allows_happens(before, after):
    driver = at_status(before)
    driver.send(AGENT, moved("r1", after))

    assert after == runs(driver)["r1"].status


@pytest.mark.parametrize(
    ("before", "after"),
    [(a, b) for a, b in product(TRANSITIONS, EVENT_OF) if TRANSITIONS[a] and b not in TRANSITIONS[a]],
)
def test_what_it_does_not_allow_is_rejected_with_what_it_does(before, after):
    driver = at_status(before)
    *others, last = TRANSITIONS[before]
    allowed = f"from where it becomes {', '.join(others)} or {last}, not {after}"

    with pytest.raises(Rejected, match=f"run 'r1' is {before}, {allowed}"):
        driver.send(AGENT, moved("r1", after))


@pytest.mark.parametrize(
    ("before", "after"), [(a, b) for a, b in product(TRANSITIONS, EVENT_OF) if not TRANSITIONS[a]]
)
def test_a_finished_run_stays_as_it_is(before, after):
    with pytest.raises(Rejected, match=f"run 'r1' is {before} and stays so"):
        at_status(before).send(AGENT, moved("r1", after))


def test_a_transition_moves_the_time_of_the_last_one_alone():
    later = NOON + timedelta(hours=1)
    driver = at_status("pending")
    driver.send(AGENT, moved("r1", "active", at=later))
    run = runs(driver)["r1"]

    assert (run.created_at, run.updated_at, run.finished_at) == (NOON, later, None)


@pytest.mark.parametrize(
    ("event", "result", "error"),
    [
        (RunCompleted(id="r1", at=NOON, result=[1]), [1], None),
        (RunFailed(id="r1", at=NOON, error="no water"), None, "no water"),
        (RunCancelled(id="r1", at=NOON, reason="enough"), None, "enough"),
        (RunCancelled(id="r1", at=NOON), None, None),
    ],
)
def test_the_end_tells_what_came_of_it(event, result, error):
    driver = at_status("active")
    driver.send(AGENT, event)
    run = runs(driver)["r1"]

    assert (run.result, run.error, run.finished_at, run.is_finished) == (result, error, NOON, True)


@pytest.mark.parametrize("result", [None, False, (1, {"a"}), NOON, {1: b"x"}, {"key": Secret("abc")}])
def test_a_result_comes_back_from_a_snapshot_as_it_was(result):
    driver = at_status("active")
    driver.send(AGENT, RunCompleted(id="r1", at=NOON, result=result))
    restored = driver.restored(RunModule, of=AGENT).runs["r1"].result

    assert (restored, type(restored)) == (result, type(result))


def test_a_secret_in_a_run_is_not_shown():
    driver = at_status("active")
    driver.send(AGENT, RunCompleted(id="r1", at=NOON, result={"key": Secret("abc")}))

    assert "abc" not in repr(runs(driver)["r1"])


@pytest.mark.parametrize("status", TRANSITIONS)
def test_an_id_that_was_used_is_rejected(status):
    with pytest.raises(Rejected, match="there is a run 'r1' already"):
        at_status(status).send(AGENT, RunCreated(id="r1", at=NOON))


@pytest.mark.parametrize("run", ["", "index"])
def test_an_id_that_is_none_is_rejected(run):
    with pytest.raises(Rejected, match="a run's id is a non-empty text other than 'index'"):
        TreeDriver(RunModule()).send(AGENT, RunCreated(id=run, at=NOON))


@pytest.mark.parametrize("parent", ["", "r1"])
def test_a_parent_that_is_none_is_rejected(parent):
    with pytest.raises(Rejected, match="a run's parent is the id of another run"):
        TreeDriver(RunModule()).send(AGENT, RunCreated(id="r1", at=NOON, parent=parent))


def test_an_unknown_run_is_rejected():
    with pytest.raises(Rejected, match="run_started at 'agent:eliza' rejected: there is no run 'r9'"):
        at_status("pending").send(AGENT, RunStarted(id="r9", at=NOON))


@pytest.mark.parametrize("event", [RunCreated(id="r2", at=NAIVE), RunInvestigated(id="r1", at=NAIVE)])
def test_a_naive_time_is_rejected(event):
    with pytest.raises(Rejected, match="a time with a time zone is wanted"):
        at_status("pending").send(AGENT, event)


@pytest.mark.parametrize(
    "event", [RunCreated(id="r1", at=NOON), RunCreated(id="r2", at=NAIVE), RunStarted(id="r9", at=NOON)]
)
def test_what_is_addressed_further_down_is_not_refused(event):
    driver = at_status("pending")
    before = driver.state(RunModule, of=AGENT)
    driver.send(f"{AGENT}/room:general", event)

    assert driver.state(RunModule, of=AGENT) is before


def test_of_the_finished_runs_those_that_finished_last_are_kept():
    driver = TreeDriver(RunModule(keep_finished=2))
    driver.send(AGENT, RunCreated(id="slow", at=NOON))
    finish(driver, "a", "b", "c")
    driver.send(AGENT, RunCancelled(id="slow", at=NOON))

    assert runs(driver).ids() == ("slow", "c")


def test_what_is_not_finished_is_always_kept():
    driver = TreeDriver(RunModule(keep_finished=1))
    for run, status in enumerate(status for status, allowed in TRANSITIONS.items() if allowed):
        driver.send(AGENT, RunCreated(id=f"r{run}", at=NOON))
        driver.send(AGENT, *(moved(f"r{run}", step) for step in WAYS[status]))
    finish(driver, "a", "b", "c")

    assert runs(driver).ids() == ("r0", "r1", "r2", "r3", "c")


def test_the_id_of_a_run_that_is_kept_no_longer_is_free():
    driver = TreeDriver(RunModule(keep_finished=1))
    finish(driver, "a", "b")
    driver.send(AGENT, RunCreated(id="a", at=NOON))

    assert "pending" == runs(driver)["a"].status


def test_a_lower_limit_takes_effect_when_the_next_run_finishes():
    driver = TreeDriver(RunModule(keep_finished=5))
    finish(driver, *"abcde")
    before = driver.state(RunModule, of=AGENT)
    lower = RunModule(keep_finished=2)
    after = lower.reduce(
        lower.reduce(before, RunCreated(id="f", at=NOON)), RunFailed(id="f", at=NOON, error="")
    )

    assert after.runs.ids() == ("e", "f") == tuple(after.finished)


@pytest.mark.parametrize("number", [0, -1, True, 1.5, None])
def test_a_limit_counts_from_one(number):
    with pytest.raises(RegistrationError, match="keep_finished counts runs, at least 1"):
        RunModule(keep_finished=number)


@pytest.mark.parametrize("status", TRANSITIONS)
def test_every_run_is_either_finished_or_not(status):
    state = at_status(status).state(RunModule, of=AGENT)
    finished = not TRANSITIONS[status]

    assert (list(state.unfinished), list(state.finished)) == (([], ["r1"]) if finished else (["r1"], []))


def test_the_page_shows_the_table():
    rows = [f"    [*] --> {next(iter(TRANSITIONS))}"]
    rows += [f"    {before} --> {after}" for before, allowed in TRANSITIONS.items() for after in allowed]
    rows += [f"    {status} --> [*]" for status, allowed in TRANSITIONS.items() if not allowed]
    page = FilePath(__file__).parents[2] / "docs" / "runs.md"

    assert "\n".join(["stateDiagram-v2", *rows, ""]) in page.read_text(encoding="utf-8")
