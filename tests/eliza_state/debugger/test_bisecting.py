"""The first position at which something holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.debugger import Comparison, Debugger, NoSuchPoint, PredicateFailed
from eliza_state.diff import Difference, Field
from eliza_state.manager import StateManager
from tests.effort import examples
from tests.eliza_state.chat import AGENT, OTHER, TALK, Said, modules
from tests.eliza_state.debugger.conftest import HISTORY


@pytest.mark.parametrize("linear", [False, True])
class TestBoth:
    async def test_the_first_position_with_its_record(self, debugger: Debugger, linear: bool) -> None:
        found = await debugger.bisect(
            lambda state: state.left < 10, path=AGENT, module="budget", linear=linear
        )
        assert found is not None

        assert found.position == 4
        assert found.record is not None
        assert found.record.event == "drawn"
        assert [(change.module, change.differences) for change in found.changes] == [
            ("budget", (Difference((Field("left"),), "changed", 10, 7),))
        ]

    async def test_never(self, debugger: Debugger, linear: bool) -> None:
        found = await debugger.bisect(
            lambda state: state.left > 10, path=AGENT, module="budget", linear=linear
        )

        assert found is None

    async def test_from_the_beginning(self, debugger: Debugger, linear: bool) -> None:
        found = await debugger.bisect(lambda _: True, linear=linear)
        assert found is not None

        assert (found.position, found.record, found.changes) == (0, None, ())

    async def test_all_slices_of_the_root(self, debugger: Debugger, linear: bool) -> None:
        found = await debugger.bisect(lambda slices: slices["totals"].said >= 2, linear=linear)

        assert found is not None
        assert found.position == 3

    async def test_bounds(self, debugger: Debugger, linear: bool) -> None:
        said = Comparison.parse("said >= 2")
        late = await debugger.bisect(said, module="totals", low=5, linear=linear)
        none = await debugger.bisect(said, module="totals", high=2, linear=linear)

        assert late is not None
        assert (late.position, none) == (5, None)

    async def test_a_predicate_that_raises(self, debugger: Debugger, linear: bool) -> None:
        with pytest.raises(PredicateFailed, match=r"at position (8|2):") as caught:
            await debugger.bisect(
                lambda state: 1 / 0 if state.texts else False, path=TALK, module="talk", linear=linear
            )

        assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_a_scan_finds_what_does_not_hold_on(debugger: Debugger) -> None:
    found = await debugger.bisect(
        lambda state: len(state.texts) == 1, path=OTHER, module="talk", high=6, linear=True
    )
    assert found is not None

    assert found.position == 5


async def test_bounds_that_are_not_there(debugger: Debugger) -> None:
    with pytest.raises(NoSuchPoint):
        await debugger.bisect(bool, high=len(HISTORY) + 1)
    with pytest.raises(NoSuchPoint):
        await debugger.bisect(bool, low=5, high=4)


async def test_a_few_states_are_enough(debugger: Debugger, manager: StateManager) -> None:
    for number in range(500):
        await manager.dispatch(Said(user="ada", text=str(number)), to=TALK)
    asked: list[Any] = []
    found = await debugger.bisect(
        lambda state: asked.append(state) or len(state.texts) > 400, path=TALK, module="talk"
    )
    assert found is not None

    assert len(asked) <= 12
    assert (await (await debugger.at(found.position)).state(TALK, "talk")).texts[400] == "397"


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 30), st.integers(0, 35), st.booleans())
async def test_it_is_the_first(count: int, wanted: int, linear: bool) -> None:
    async with StateManager.open(modules=modules()) as manager:
        for number in range(count):
            await manager.dispatch(Said(user="ada", text="x"), to=OTHER if number % 3 else TALK)
        found = await Debugger(manager).bisect(
            lambda state: state.said >= wanted, module="totals", linear=linear
        )

        assert (found.position if found else None) == (wanted if wanted <= count else None)
