"""Approvals: what may be asked, who may answer, and what is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from eliza_modules.approval import (
    Answer,
    Approval,
    ApprovalCancelled,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalModule,
    ApprovalRequested,
)
from eliza_serializers import Secret
from eliza_state.errors import RegistrationError, Rejected
from eliza_state.testing import START, TreeDriver

AGENT = "agent:eliza"
SOON = START + timedelta(minutes=5)
NAIVE = datetime(2024, 5, 1, 12)  # noqa: DTZ001  # what is refused
ASKED = ApprovalRequested(id="a1", at=START, subject={"tool": "mail"}, by="eliza", deadline=SOON)
YES = ApprovalGranted(id="a1", at=START, by="ada", reason="fine")
ANSWERS = [
    (YES, "approved", Answer(at=START, by="ada", reason="fine")),
    (ApprovalDenied(id="a1", at=START, by="ada"), "denied", Answer(at=START, by="ada")),
    (ApprovalExpired(id="a1", at=SOON), "expired", Answer(at=SOON)),
    (ApprovalCancelled(id="a1", at=START, reason="no need"), "cancelled", Answer(at=START, reason="no need")),
]
answers = pytest.mark.parametrize(("event", "status", "answer"), ANSWERS)


@pytest.fixture
def driver():
    """An agent that has asked something."""
    found = TreeDriver(ApprovalModule())
    found.send(AGENT, ASKED)
    return found


def state(driver):
    return driver.state(ApprovalModule, of=AGENT)


def test_what_is_asked_is_pending(driver):
    expected = Approval(
        id="a1", subject={"tool": "mail"}, requested_at=START, requested_by="eliza", deadline=SOON
    )

    assert [expected] == list(state(driver).pending)
    assert [] == list(state(driver).history)


@answers
def test_an_answer_moves_it_to_the_history(driver, event, status, answer):
    driver.send(AGENT, event)
    (answered,) = state(driver).history

    assert [] == list(state(driver).pending)
    assert (answered.status, answered.answer, answered.subject) == (status, answer, {"tool": "mail"})


@answers
def test_a_second_answer_is_rejected(driver, event, status, answer):
    driver.send(AGENT, event)

    for second, _, _ in ANSWERS:
        with pytest.raises(Rejected, match=f"approval 'a1' is {status} .*since {answer.at.isoformat()[:10]}"):
            driver.send(AGENT, second)


def test_the_refusal_names_who_answered(driver):
    driver.send(AGENT, YES)

    with pytest.raises(Rejected, match="approval 'a1' is approved by 'ada' since 2024-01-01T00:00:00"):
        driver.send(AGENT, YES)


@pytest.mark.parametrize("at", [SOON, SOON + timedelta(days=1)])
@pytest.mark.parametrize("kind", [ApprovalGranted, ApprovalDenied, ApprovalCancelled])
def test_at_its_deadline_it_can_only_expire(driver, kind, at):
    with pytest.raises(Rejected, match="'a1' was to be answered before 2024-01-01T00:05:00"):
        driver.send(AGENT, kind(id="a1", at=at, by="ada"))


REFUSED = [
    (ApprovalRequested(id="", at=START, subject=1), "an approval's id is a non-empty text"),
    (ApprovalRequested(id="a1", at=START, subject=1), "there is an approval 'a1' already"),
    (ApprovalRequested(id="a2", at=NAIVE, subject=1), "a time with a time zone is wanted"),
    (ApprovalRequested(id="a2", at=NAIVE, subject=1, deadline=SOON), "a time with a time zone is wanted"),
    (ApprovalRequested(id="a2", at=START, subject=1, deadline=NAIVE), "a time with a time zone is wanted"),
    (ApprovalRequested(id="a2", at=SOON, subject=1, deadline=START), "a deadline lies ahead"),
    (ApprovalRequested(id="a2", at=SOON, subject=1, deadline=SOON), "a deadline lies ahead"),
    (ApprovalGranted(id="a9", at=START, by="ada"), "there is no approval 'a9'"),
    (ApprovalGranted(id="a1", at=NAIVE, by="ada"), "a time with a time zone is wanted"),
    (ApprovalGranted(id="a1", at=START, by=""), "whoever answers is named by a non-empty text"),
    (ApprovalExpired(id="a1", at=START), "approval 'a1' does not expire before 2024-01-01T00:05:00"),
]


@pytest.mark.parametrize(("event", "reason"), REFUSED)
def test_what_cannot_be_is_rejected_and_further_down_ignored(driver, event, reason):
    before = state(driver)

    with pytest.raises(Rejected, match=reason):
        driver.send(AGENT, event)
    driver.send(f"{AGENT}/room:general", event)
    assert state(driver) is before


def test_the_id_of_an_answered_one_is_taken(driver):
    driver.send(AGENT, YES)

    with pytest.raises(Rejected, match="there is an approval 'a1' already"):
        driver.send(AGENT, ASKED)


def test_without_a_deadline_it_never_expires():
    driver = TreeDriver(ApprovalModule())
    driver.send(AGENT, ApprovalRequested(id="a1", at=START, subject=1))

    with pytest.raises(Rejected, match="approval 'a1' has no deadline; it cannot expire"):
        driver.send(AGENT, ApprovalExpired(id="a1", at=SOON))
    driver.send(AGENT, ApprovalGranted(id="a1", at=START + timedelta(days=9999), by="ada"))


def test_the_history_keeps_the_last_answers():
    driver = TreeDriver(ApprovalModule(history_limit=2))
    for identifier in ("a", "b", "c", "d"):
        driver.send(AGENT, ApprovalRequested(id=identifier, at=START, subject=1))
    for identifier in ("d", "a", "b"):
        driver.send(AGENT, ApprovalDenied(id=identifier, at=START, by="ada"))

    assert (state(driver).pending.ids(), state(driver).history.ids()) == (("c",), ("a", "b"))


def test_the_id_of_one_that_is_kept_no_longer_is_free():
    driver = TreeDriver(ApprovalModule(history_limit=1))
    for identifier in ("a", "b"):
        driver.send(AGENT, ApprovalRequested(id=identifier, at=START, subject=1))
        driver.send(AGENT, ApprovalDenied(id=identifier, at=START, by="ada"))
    driver.send(AGENT, ApprovalRequested(id="a", at=START, subject=2))

    assert 2 == state(driver).pending["a"].subject


@pytest.mark.parametrize("number", [0, -1, True, 1.5, None])
def test_a_limit_counts_from_one(number):
    with pytest.raises(RegistrationError, match="history_limit counts approvals, at least 1"):
        ApprovalModule(history_limit=number)


def test_the_state_comes_back_from_a_snapshot(driver):
    driver.send(AGENT, ApprovalRequested(id="a2", at=START, subject=(Secret("abc"), {1})), YES)

    assert driver.restored(ApprovalModule, of=AGENT) == state(driver)


def test_a_secret_is_not_shown(driver):
    driver.send(AGENT, ApprovalRequested(id="a2", at=START, subject={"key": Secret("abc")}))

    assert "abc" not in repr(state(driver))
