"""What went wrong without stopping anything."""

from __future__ import annotations

import logging

import pytest

from eliza_state.path import Path
from eliza_state.problems import KEPT, Problem, Problems

PROBLEM = Problem("snapshot", "it does not match", Path().child("agent", "eliza"))


def test_problems_are_kept_in_order():
    problems = Problems()
    problems.report(PROBLEM)
    problems.report(Problem("journal", "slow"))

    assert [PROBLEM, Problem("journal", "slow")] == list(problems)
    assert len(problems) == 2


def test_the_last_thousand_are_kept():
    problems = Problems()
    for number in range(KEPT + 5):
        problems.report(Problem("journal", str(number)))

    assert len(problems) == KEPT
    assert next(iter(problems)).message == "5"


def test_a_problem_is_logged_as_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "eliza_state"):
        Problems().report(PROBLEM)

    assert ["snapshot at 'agent:eliza': it does not match"] == [
        record.getMessage() for record in caplog.records
    ]


def test_a_listener_hears_of_further_problems_until_it_stops():
    problems, heard = Problems(), []
    problems.report(Problem("journal", "before"))
    stop = problems.listen(heard.append)
    problems.report(PROBLEM)
    stop()
    stop()
    problems.report(PROBLEM)

    assert [PROBLEM] == heard


@pytest.mark.filterwarnings("default")
def test_a_listener_that_raises_stops_nobody(caplog):
    problems, heard = Problems(), []

    def broken(problem):
        raise ValueError("listener")

    problems.listen(broken)
    problems.listen(heard.append)
    problems.report(PROBLEM)

    assert [PROBLEM] == heard
    assert "a listener for problems failed" in caplog.text
