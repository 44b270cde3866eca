"""Replaying with records left out, changed, or in another order, beside what was."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.change import Record
from eliza_state.debugger import Debugger
from eliza_state.diff import Field, Index, Key
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.testing import fold
from tests.effort import examples
from tests.eliza_state.chat import AGENT, ROOM, TALK, Budget, Drawn, Noted, Said, Talk, modules
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.test_past import EVENTS


async def test_with_nothing_otherwise_it_is_what_is(debugger: Debugger) -> None:
    replay = await debugger.replay()

    assert replay.is_same
    assert await debugger.snapshot() == replay.was == replay.would_be


async def test_a_record_left_out_is_missing_in_the_end(debugger: Debugger) -> None:
    replay = await debugger.replay(skip=3)

    talk = replay.would_be.state(TALK, "talk")
    assert ["hello", "bye"] == list(talk.texts)
    assert {"ada": 2} == dict(talk.counts)
    assert 1 == replay.skipped


async def test_the_diff_tells_each_slice_that_differs(debugger: Debugger) -> None:
    replay = await debugger.replay(skip=3)

    assert [(Path(), "totals"), (ROOM, "people"), (TALK, "talk")] == [
        (change.path, change.module) for change in replay.diff
    ]


async def test_the_first_divergence_tells_where_the_courses_part(debugger: Debugger) -> None:
    replay = await debugger.replay(TALK, skip=3)

    found = replay.first_divergence
    assert found is not None
    assert (3, TALK, "talk") == (found.position, found.change.path, found.change.module)
    assert {(Field("texts"), Index(1)), (Field("counts"), Key("bo"))} == {
        difference.path for difference in found.change.differences
    }


async def test_a_slice_that_is_the_same_again_has_diverged_all_the_same(debugger: Debugger) -> None:
    replay = await debugger.replay(AGENT, order=[4, 3])

    assert not replay.diff
    assert {"people", "budget", "talk"} == {found.change.module for found in replay.divergences}
    assert {3} == {found.position for found in replay.divergences}


async def test_it_begins_where_the_first_named_record_is(debugger: Debugger) -> None:
    replay = await debugger.replay(skip=[7, 5])

    assert (5, len(HISTORY), 4) == (replay.first, replay.last, replay.records)


async def test_states_before_the_range_are_taken_over(debugger: Debugger) -> None:
    replay = await debugger.replay(TALK, first=7, skip=7)

    assert ["hello", "Hello yourself"] == list(replay.would_be.state(TALK, "talk").texts)


async def test_the_range_ends_where_it_is_told(debugger: Debugger) -> None:
    replay = await debugger.replay(TALK, first=1, last=2)

    assert ["hello"] == list(replay.would_be.state(TALK, "talk").texts)


@pytest.mark.parametrize("as_list", [False, True])
async def test_records_are_named_by_their_ids_too(
    debugger: Debugger, manager: StateManager, as_list: bool
) -> None:
    (record,) = await manager.at(TALK).records(after=2, limit=1)

    replay = await debugger.replay(TALK, skip=[record.id] if as_list else record.id)

    assert 3 == replay.first
    assert 1 == replay.skipped


async def test_a_function_picks_what_to_skip(debugger: Debugger) -> None:
    def by_path(record: Record) -> bool:
        return record.path == TALK and record.event == "said"

    replay = await debugger.replay(skip=by_path)

    assert 3 == replay.skipped
    assert Talk() == replay.would_be.state(TALK, "talk")


async def test_a_function_edits_events(debugger: Debugger) -> None:
    def louder(event: Any) -> Any:
        return attrs.evolve(event, text=event.text.upper()) if isinstance(event, Said) else event

    replay = await debugger.replay(TALK, edit=louder)

    assert ["HELLO", "HELLO YOURSELF", "BYE"] == list(replay.would_be.state(TALK, "talk").texts)
    assert 3 == replay.edited


async def test_a_function_leaves_events_out(debugger: Debugger) -> None:
    replay = await debugger.replay(TALK, edit=lambda event: None if isinstance(event, Said) else event)

    assert (3, 0) == (replay.skipped, replay.edited)


@pytest.mark.parametrize("change", [{"amount": 1}, Drawn(amount=1)])
async def test_changes_go_by_position(debugger: Debugger, change: Any) -> None:
    replay = await debugger.replay(edit={4: change})

    assert Budget(left=9) == replay.would_be.state(AGENT, "budget")


async def test_an_event_becomes_another(debugger: Debugger) -> None:
    replay = await debugger.replay(edit={2: Noted(text="instead")})

    assert ["Hello yourself", "bye"] == list(replay.would_be.state(TALK, "talk").texts)


async def test_records_come_in_another_order_at_the_places_that_they_have(debugger: Debugger) -> None:
    replay = await debugger.replay(TALK, order=[7, 2, 3])

    assert ["bye", "hello", "Hello yourself"] == list(replay.would_be.state(TALK, "talk").texts)
    assert 3 == replay.moved


async def test_what_a_reducer_refuses_leaves_its_slice_and_is_told(debugger: Debugger) -> None:
    replay = await debugger.replay(edit={2: {"text": ""}})

    (problem,) = replay.problems
    assert "nothing was said" in problem.message
    assert replay.was.state("", "totals") == replay.would_be.state("", "totals")
    assert ["Hello yourself", "bye"] == list(replay.would_be.state(TALK, "talk").texts)


async def test_it_writes_nothing_and_tells_nobody(debugger: Debugger, manager: StateManager) -> None:
    before = await manager.state()

    await debugger.replay(skip=2, edit={3: {"text": ""}})

    assert before == await manager.state()
    assert len(HISTORY) == await manager.position()
    assert not list(manager.problems)


FACTS = st.lists(EVENTS, min_size=1, max_size=12)


@settings(max_examples=examples(30), deadline=None)
@given(FACTS, st.data())
async def test_with_some_left_out_it_is_the_fold_of_the_others(facts: Any, data: st.DataObject) -> None:
    skipped = data.draw(st.sets(st.integers(1, len(facts))))
    first = data.draw(st.integers(1, min(skipped, default=len(facts))))
    async with StateManager.open(modules=modules()) as manager:
        for fact, path in facts:
            await manager.dispatch(fact, to=path)
        replay = await Debugger(manager).replay(first=first, skip=skipped)
    wanted = fold(modules(), [fact for position, fact in enumerate(facts, 1) if position not in skipped])

    for path, scope in replay.would_be.scopes.items():
        if path in wanted:
            assert wanted[path] == scope.slices


@settings(max_examples=examples(30), deadline=None)
@given(FACTS, st.data())
async def test_in_another_order_it_is_the_fold_in_that_order(facts: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(1, len(facts) + 1)))
    async with StateManager.open(modules=modules()) as manager:
        for fact, path in facts:
            await manager.dispatch(fact, to=path)
        replay = await Debugger(manager).replay(order=order)
    wanted = fold(modules(), [facts[position - 1] for position in order])

    assert {Path(), *wanted} == set(replay.would_be.scopes)
    assert all(slices == replay.would_be.scopes[path].slices for path, slices in wanted.items())
