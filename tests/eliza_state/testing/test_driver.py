"""Modules without a store, held against what a store does."""

from __future__ import annotations

import attrs
import pytest

from eliza_state.errors import (
    InvalidEvent,
    RegistrationError,
    Rejected,
    ScopeArchived,
    StateError,
    UnknownTransition,
)
from eliza_state.manager import StateManager
from eliza_state.module import reduces
from eliza_state.testing import TreeDriver, fold
from tests.eliza_state import chat
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    BudgetModule,
    Closed,
    Drawn,
    Joined,
    Said,
    TalkModule,
    TotalsModule,
)


def test_a_driver_starts_with_initial_states():
    driver = TreeDriver(TalkModule())

    assert driver.state(TalkModule, of=TALK) == chat.Talk()
    assert driver.paths == []


def test_given_this_state_events_go_on_from_it():
    driver = TreeDriver(TalkModule(), TotalsModule())
    driver.given(TalkModule, chat.Talk(closed=True), of=TALK)
    driver.send(TALK, Said(user="ada", text="one"))

    assert driver.state(TalkModule, of=TALK).closed
    assert list(driver.state("talk", of=TALK).texts) == ["one"]
    assert driver.state(TalkModule, of=OTHER) == chat.Talk()


def test_given_a_module_that_is_not_there_it_is_an_error():
    with pytest.raises(RegistrationError, match="no module 'talk' at level 'room'"):
        TreeDriver(TalkModule()).given("talk", chat.Talk(), of=ROOM)


def test_given_these_events_this_state():
    driver = TreeDriver(TalkModule(), TotalsModule())
    driver.send(TALK, Said(user="ada", text="one"), Said(user="bob", text="two"))

    assert list(driver.state(TalkModule, of=TALK).texts) == ["one", "two"]
    assert driver.state("totals").said == 2
    assert {"talk": driver.state("talk", of=TALK)} == driver.slices(TALK)


def test_a_driver_tells_what_changed():
    changes = TreeDriver(*chat.modules()).send(TALK.encode(), Said(user="ada", text="one"))

    assert ["totals", "people", "talk"] == [change.module for change in changes]


def test_a_driver_counts_versions_as_a_store_does():
    driver = TreeDriver(*chat.modules())
    driver.send(TALK, Said(user="ada", text="one"), chat.Typing(user="bob"))

    assert (1, 0, 0) == (driver.version(TALK), driver.version(ROOM), driver.version(OTHER))


def test_a_refused_event_changes_nothing():
    driver = TreeDriver(*chat.modules())

    with pytest.raises(Rejected):
        driver.send(AGENT, Drawn(amount=7), Drawn(amount=7))

    assert (3, 1) == (driver.state(BudgetModule, of=AGENT).left, driver.version(AGENT))


@pytest.mark.parametrize(
    ("event", "to", "error"),
    [
        (Drawn(amount=1), "", None),
        (Joined(user="ada"), AGENT, None),
        (Closed(), ROOM, None),
        (chat.Noted(), AGENT, UnknownTransition),
        (Said(user=5, text="x"), TALK, InvalidEvent),
    ],
)
async def test_a_driver_takes_and_refuses_what_a_store_does(sqlite_url, event, to, error):
    outcomes = []
    async with StateManager.open(sqlite_url, modules=chat.modules()) as manager:
        for send in (
            lambda: TreeDriver(*chat.modules()).send(to, event),
            lambda: manager.dispatch(event, to=to),
        ):
            try:
                sent = send()
                if not isinstance(sent, list):
                    await sent
                outcomes.append(None)
            except StateError as refused:
                outcomes.append(type(refused))

    assert [error, error] == outcomes


def test_a_closed_scope_takes_no_more():
    driver = TreeDriver(*chat.modules())
    driver.send(TALK, Closed())

    with pytest.raises(ScopeArchived):
        driver.send(TALK.child("message", "m"), Said(user="ada", text="x"))


def test_a_closed_scope_goes_on_from_a_state_that_is_given():
    driver = TreeDriver(TalkModule())
    driver.send(TALK, Closed())
    driver.given(TalkModule, chat.Talk(), of=TALK)
    driver.send(TALK, Said(user="ada", text="back"))

    assert ("back",) == driver.state(TalkModule, of=TALK).texts


def test_a_state_comes_back_from_its_snapshot():
    driver = TreeDriver(*chat.modules())
    driver.send(TALK, *(Said(user=f"u{number % 7}", text=f"t{number}") for number in range(1_100)))

    assert driver.state(TalkModule, of=TALK) == driver.restored(TalkModule, of=TALK)


def test_a_state_that_cannot_be_written_is_told():
    class Odd(TotalsModule):
        state_type = chat.Totals

        @reduces(Said, Joined)
        def count(self, state, event):
            return attrs.evolve(state, events=object())

    driver = TreeDriver(Odd())
    driver.send(ROOM, Joined(user="ada"))

    with pytest.raises(StateError, match="the state of module 'totals' cannot be written"):
        driver.restored(Odd)


def test_folding_gives_the_slices_of_every_scope():
    states = fold(chat.modules(), [(Said(user="ada", text="x"), TALK), (Joined(user="bob"), ROOM.encode())])

    assert [*TALK.chain()] == list(states)
    assert list(states[ROOM]["people"].names) == ["ada", "bob"]
    assert states[TALK.parent.parent.parent]["totals"].events == 2
