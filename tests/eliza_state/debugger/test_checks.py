"""Checks on the reducers of an open store."""

from __future__ import annotations

import itertools

import pytest

from eliza_state.checking import ImpureReducer
from eliza_state.debugger import Debugger
from eliza_state.errors import ReducerError, StateError
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import reduces
from tests.eliza_state.chat import AGENT, TALK, Budget, BudgetModule, Drawn, Said, TalkModule
from tests.eliza_state.conftest import Open


class Counting(BudgetModule):
    """Remembers something outside of its state."""

    def __init__(self) -> None:
        self.counter = itertools.count()

    @reduces(Drawn)
    def draw(self, state: Budget, event: Drawn) -> Budget:
        return evolve(state, left=next(self.counter))


@pytest.fixture
async def impure(opened: Open, url: str) -> StateManager:
    """A store with a module that is not pure, and one that is."""
    manager: StateManager = await opened(url, modules=[Counting(), TalkModule()])
    return manager


async def test_a_fault_is_a_problem_with_module_event_and_place(impure: StateManager) -> None:
    with Debugger(impure).check() as checks:
        await impure.dispatch(Drawn(amount=1), to=AGENT)

    (problem,) = impure.problems
    assert ("reducer", AGENT) == (problem.kind, problem.path)
    assert isinstance(problem.error, ImpureReducer)
    assert "module 'budget' gives another result at '.left' when it reduces 'drawn'" in problem.message
    assert checks.faults == (problem.error,)


async def test_it_is_reported_once_and_the_dispatch_stands(impure: StateManager) -> None:
    with Debugger(impure).check() as checks:
        for _ in range(3):
            await impure.dispatch(Drawn(amount=1), to=AGENT)

    assert 1 == len(impure.problems) == len(checks.faults)
    assert 3 == await impure.position()


async def test_strictly_the_dispatch_fails_and_stores_nothing(impure: StateManager) -> None:
    with Debugger(impure).check(strict=True):
        for _ in range(2):
            with pytest.raises(ReducerError, match="gives another result"):
                await impure.dispatch(Drawn(amount=1), to=AGENT)

    assert 0 == await impure.position()


async def test_pure_reducers_are_left_alone(impure: StateManager) -> None:
    with Debugger(impure).check(strict=True) as checks:
        await impure.dispatch(Said(user="ada", text="x"), to=TALK)

    assert () == checks.faults
    assert ["x"] == list((await impure.at(TALK).state("talk")).texts)


async def test_once_stopped_nothing_is_looked_at(impure: StateManager) -> None:
    checks = Debugger(impure).check()
    checks.stop()

    await impure.dispatch(Drawn(amount=1), to=AGENT)

    assert () == checks.faults
    assert "reduce" not in vars(impure.tree)


async def test_one_check_at_a_time(impure: StateManager) -> None:
    with Debugger(impure).check(), pytest.raises(StateError, match="being checked already"):
        Debugger(impure).check()


async def test_modules_registered_later_are_checked_too(opened: Open) -> None:
    manager = await opened(modules=[])
    with Debugger(manager).check() as checks:
        await manager.register_module(Counting())
        await manager.dispatch(Drawn(amount=1), to=AGENT)

    assert 1 == len(checks.faults)
