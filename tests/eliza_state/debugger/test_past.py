"""Looking back: one cut through all scopes, equal to a fold of the records before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.debugger import Debugger
from eliza_state.errors import RegistrationError
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.scope import StateTree
from eliza_state.testing import fold
from tests.effort import examples
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    Drawn,
    Joined,
    Noted,
    Said,
    Talk,
    TalkModule,
    modules,
)
from tests.eliza_state.debugger.conftest import HISTORY


def flat(tree: StateTree) -> dict[Path, Any]:
    """The slices of all scopes in a tree, by path."""
    found = {tree.path: dict(tree.slices)}
    for child in tree.children:
        found |= flat(child)
    return found


def folded(facts: Any) -> dict[Path, Any]:
    """What a fold of facts gives, the root's initial states included."""
    found = {path: dict(slices) for path, slices in fold(modules(), facts).items()}
    return {Path(): {"totals": modules()[0].initial_state()}} | found


@pytest.mark.parametrize("position", range(len(HISTORY) + 1))
async def test_it_is_the_fold_of_the_records_before(debugger: Debugger, position: int) -> None:
    tree = await (await debugger.at(position)).tree()

    assert flat(tree) == folded(HISTORY[:position])


EVENTS = st.one_of(
    st.tuples(st.builds(Joined, user=st.sampled_from("ab")), st.just(ROOM)),
    st.tuples(
        st.builds(Said, user=st.sampled_from("ab"), text=st.sampled_from("xyz")),
        st.sampled_from([TALK, OTHER]),
    ),
    st.tuples(st.builds(Drawn, amount=st.integers(0, 1)), st.just(AGENT)),
    st.tuples(st.builds(Noted, text=st.just("n")), st.sampled_from([ROOM, TALK])),
)


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(EVENTS, max_size=10), st.lists(st.integers(0, 10), max_size=12))
async def test_it_is_the_fold_in_whatever_order_one_looks(facts: Any, positions: list[int]) -> None:
    async with StateManager.open(modules=modules()) as manager:
        for fact, path in facts:
            await manager.dispatch(fact, to=path)
        debugger = Debugger(manager)
        for position in [min(position, len(facts)) for position in positions]:
            past = await debugger.at(position)

            assert flat(await past.tree()) == folded(facts[:position])


async def test_position_0_is_the_initial_state(debugger: Debugger) -> None:
    past = await debugger.at(0)

    assert await past.state(TALK, TalkModule) == Talk()
    assert past.recorded_at is None


async def test_it_stays_true_whatever_comes(debugger: Debugger, manager: StateManager) -> None:
    past = await debugger.at(len(HISTORY))
    before = await past.snapshot()
    await manager.dispatch(Said(user="cy", text="later"), to=TALK)

    assert await past.snapshot() == before


async def test_children_are_cut_where_their_parents_are(debugger: Debugger) -> None:
    tree = await (await debugger.at(4)).tree(ROOM)

    assert [child.path for child in tree.children] == [TALK]
    assert len(tree.children[0].slices["talk"].texts) == 2


async def test_its_methods_begin_where_it_was_made_for(debugger: Debugger) -> None:
    past = await debugger.at(version=2, path=TALK)

    assert (await past.state())["talk"].texts == ("hello", "Hello yourself")
    assert list((await past.snapshot()).scopes) == [TALK]


async def test_what_differs_to_now_and_to_another_past(debugger: Debugger) -> None:
    past = await debugger.at(3, path=TALK)

    assert (await past.diff()).render() == (
        "agent:eliza/room:general/conversation:c1: talk\n+ texts[2]: 'bye'\n~ counts['ada']: 1 → 2"
    )
    assert not await past.diff(await debugger.at(6))


async def test_a_snapshot_of_it_says_when_it_was(debugger: Debugger) -> None:
    past = await debugger.at(3)
    snapshot = await past.snapshot(depth=0)

    assert (snapshot.position, snapshot.recorded_at) == (3, past.recorded_at)


async def test_an_unknown_module_is_an_error(debugger: Debugger) -> None:
    with pytest.raises(RegistrationError, match="no module 'budget' at level 'conversation'"):
        await (await debugger.at(3)).state(TALK, "budget")
