"""Replaying with other reducers."""

from __future__ import annotations

import attrs
import pytest

from eliza_state.debugger import Debugger
from eliza_state.errors import RegistrationError, StateError
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, compose, reduces
from tests.eliza_state.chat import (
    AGENT,
    TALK,
    Budget,
    BudgetModule,
    Drawn,
    Said,
    Talk,
    TalkModule,
)
from tests.eliza_state.conftest import Open


class Generous(BudgetModule):
    """Takes half."""

    @reduces(Drawn)
    def draw(self, state: Budget, event: Drawn) -> Budget:
        return evolve(state, left=state.left - event.amount // 2)


class Same(TalkModule):
    """Written anew, to the same end."""


class Newer(TalkModule):
    """Of another shape."""

    version = 2


@attrs.frozen
class Words:
    count: int = 0


class WordsModule(StateModule[Words]):
    """A further module."""

    name = "words"
    level = "conversation"

    @reduces(Said)
    def count(self, state: Words, event: Said) -> Words:
        return evolve(state, count=state.count + len(event.text.split()))


class Failing(BudgetModule):
    """With a bug."""

    @reduces(Drawn)
    def draw(self, state: Budget, event: Drawn) -> Budget:
        raise ZeroDivisionError("a bug")


async def test_a_module_takes_the_place_of_the_one_of_its_name(debugger: Debugger) -> None:
    replay = await debugger.replay(modules=[Generous()])

    assert (7, 9) == (replay.was.state(AGENT, "budget").left, replay.would_be.state(AGENT, "budget").left)
    assert [4] == [found.position for found in replay.divergences]


async def test_a_module_that_does_the_same_never_diverges(debugger: Debugger) -> None:
    replay = await debugger.replay(modules=[Same()])

    assert replay.is_same
    assert replay.was.state(TALK, "talk") is replay.would_be.state(TALK, "talk")


async def test_a_further_module_stands_beside_the_others(debugger: Debugger) -> None:
    replay = await debugger.replay(TALK, modules=[WordsModule()])

    assert Words(count=4) == replay.would_be.state(TALK, "words")
    assert ["added"] == [difference.kind for change in replay.diff for difference in change.differences]


async def test_a_reducer_that_fails_leaves_its_slice_and_is_told(debugger: Debugger) -> None:
    replay = await debugger.replay(modules=[Failing()])

    assert Budget() == replay.would_be.state(AGENT, "budget")
    assert ["module 'budget' failed on record 4 (drawn): a bug"] == [
        problem.message for problem in replay.problems
    ]


async def test_a_changed_module_goes_on_from_the_state_before_the_range(debugger: Debugger) -> None:
    replay = await debugger.replay(AGENT, first=4, modules=[Generous()])

    assert Budget(left=9) == replay.would_be.state(AGENT, "budget")


async def test_a_module_of_another_version_has_to_begin_at_the_first_record(debugger: Debugger) -> None:
    with pytest.raises(StateError, match="'talk' is of version 2, the states before position 4 of version 1"):
        await debugger.replay(first=4, modules=[Newer()])


async def test_from_the_first_record_on_any_version_will_do(debugger: Debugger) -> None:
    assert (await debugger.replay(modules=[Newer()])).is_same


async def test_modules_that_do_not_fit_together_are_refused(debugger: Debugger) -> None:
    with pytest.raises(RegistrationError, match="two modules are named 'budget'"):
        await debugger.replay(modules=[Generous(), Failing()])


async def test_a_member_of_a_composition_is_replaced_by_its_whole_name(opened: Open) -> None:
    manager = await opened(modules=[compose("wallet", BudgetModule())])
    await manager.dispatch(Drawn(amount=4), to=AGENT)

    replay = await Debugger(manager).replay(modules=[compose("wallet", Generous())])

    assert Budget(left=8) == replay.would_be.state(AGENT, "wallet.budget")


async def test_a_range_of_states_is_reduced_once_where_nothing_differs(debugger: Debugger) -> None:
    replay = await debugger.replay(skip=4)

    assert isinstance(replay.was.state(TALK, "talk"), Talk)
    assert replay.was.state(TALK, "talk") is replay.would_be.state(TALK, "talk")
