"""What differs between two snapshots: as values, text and patches; carried out on a third."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.debugger import Debugger, JsonPatch, PatchFailed, SnapshotDiff, diff
from eliza_state.diff import Difference, Index
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Noted, Said, modules
from tests.eliza_state.debugger.test_past import EVENTS

THIRD = ROOM.child("conversation", "c3")


async def between(debugger: Debugger, first: int, last: int) -> SnapshotDiff:
    return diff(await (await debugger.at(first)).snapshot(), await (await debugger.at(last)).snapshot())


async def test_the_slices_that_differ(debugger: Debugger) -> None:
    found = await between(debugger, 2, 4)

    assert [(slice_.path, slice_.module) for slice_ in found] == [
        (Path(), "totals"),
        (AGENT, "budget"),
        (ROOM, "people"),
        (TALK, "talk"),
    ]
    assert bool(found)
    assert len(found) == 6


async def test_scopes_that_came_and_went(debugger: Debugger) -> None:
    forth, back = await between(debugger, 4, 5), await between(debugger, 5, 4)

    assert (forth.added, forth.removed) == ((OTHER,), ())
    assert (back.added, back.removed) == ((), (OTHER,))
    assert [(slice_.module, slice_.differences[0].kind) for slice_ in forth if slice_.path == OTHER] == [
        ("talk", "added")
    ]


async def test_of_a_new_scope_what_is_as_it_begins_is_not_shown(debugger: Debugger) -> None:
    found = await between(debugger, 4, 5)

    assert "presence" not in {slice_.module for slice_ in found}
    assert found.after.state(OTHER, "presence") == found.apply(found.before).state(OTHER, "presence")


async def test_a_scope_that_came_as_it_begins_is_named(debugger: Debugger, manager: StateManager) -> None:
    await manager.dispatch(Noted(), to=THIRD)
    forth, back = await between(debugger, 8, 9), await between(debugger, 9, 8)

    assert not forth.slices
    assert forth
    assert forth.render() == f"{THIRD.encode()}\n+ the scope, as it begins"
    assert back.render() == f"{THIRD.encode()}\n- the scope, as it begins"


async def test_a_scope_that_came_and_is_not_as_it_begins_is_not_named_twice(debugger: Debugger) -> None:
    assert "the scope, as it begins" not in (await between(debugger, 4, 5)).render()


async def test_where_nobody_knows_how_slices_begin_all_are_shown(debugger: Debugger) -> None:
    found = await between(debugger, 4, 5)
    sides = [attrs.evolve(side, initial=None) for side in (found.before, found.after)]

    assert "presence" in {slice_.module for slice_ in diff(*sides)}


async def test_nothing_differs_from_itself(debugger: Debugger) -> None:
    found = await between(debugger, 5, 6)

    assert not found
    assert found.render() == ""


async def test_text_for_people(debugger: Debugger) -> None:
    found = await between(debugger, 3, 5)

    assert found.render() == (
        "the root: totals\n"
        "~ events: 3 → 5\n"
        "~ said: 2 → 3\n"
        "agent:eliza: budget\n"
        "~ left: 10 → 7\n"
        "agent:eliza/room:general/conversation:c2: talk\n"
        "+ state: Talk(texts=Log('elsewhere'), counts=Map('ada': 1), closed=False)"
    )


async def test_colour(debugger: Debugger) -> None:
    shown = (await between(debugger, 3, 4)).render(colour=True)

    assert "\x1b[1magent:eliza: budget\x1b[0m\n\x1b[33m~ left: 10 → 7\x1b[0m" in shown


def test_secrets_are_masked_everywhere() -> None:
    found = diff({"token": Secret("old-one")}, {"token": Secret("new-one"), "more": Secret("third-one")})
    told = [found.render(), found.render(colour=True), str(found.to_json_patch().to_json()), repr(found)]

    assert "-one" not in "".join(told)
    assert "[SECRET]" in told[0]


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(EVENTS, max_size=12), st.integers(0, 12), st.integers(0, 12))
async def test_a_difference_leads_from_one_snapshot_to_the_other(facts: Any, first: int, last: int) -> None:
    async with StateManager.open(modules=modules()) as manager:
        for fact, path in facts:
            await manager.dispatch(fact, to=path)
        found = await between(Debugger(manager), min(first, len(facts)), min(last, len(facts)))
        patch = JsonPatch.read(found.to_json_patch().to_json())

        assert found.apply(found.before) == found.after
        assert found.apply(found.before).to_json() == found.after.to_json()
        assert patch.apply(found.before) == found.after.to_json()
        assert patch.inverse().apply(found.after) == found.before.to_json()


async def test_a_patch_fits_no_other_snapshot(debugger: Debugger) -> None:
    patch = (await between(debugger, 3, 4)).to_json_patch()

    with pytest.raises(PatchFailed, match=r"operation 1: test '/position': expected 3, found 5"):
        patch.apply(await (await debugger.at(5)).snapshot())


async def test_a_difference_fits_what_differs_elsewhere(debugger: Debugger, manager: StateManager) -> None:
    found = await between(debugger, 3, 4)
    await manager.dispatch(Said(user="cy", text="more"), to=TALK)
    changed = found.apply(attrs.evolve(await debugger.snapshot(), scopes=found.before.scopes))

    assert changed.state(AGENT, "budget").left == 7


async def test_a_difference_that_does_not_fit(debugger: Debugger) -> None:
    found = await between(debugger, 4, 5)

    with pytest.raises(PatchFailed, match=r"the scope '.*c2' is there already"):
        found.apply(found.after)
    with pytest.raises(PatchFailed, match=r"a Log has no room for the change of 'texts\[2\]'"):
        (await between(debugger, 6, 7)).apply(await (await debugger.at(7)).snapshot())


async def test_pointers_are_escaped(debugger: Debugger) -> None:
    patch = (await between(debugger, 2, 3)).to_json_patch()
    paths = [operation["path"] for operation in patch.to_json()]

    assert "/scopes/agent:eliza~1room:general/slices/people/names/bo" in paths


async def test_as_json(debugger: Debugger) -> None:
    found = await between(debugger, 3, 4)

    assert [slice_.to_json() for slice_ in found][-1] == {
        "path": "agent:eliza",
        "module": "budget",
        "differences": [{"at": "left", "kind": "changed", "before": 10, "after": 7}],
    }


def test_two_states() -> None:
    found = diff(["a"], ["a", "b"])

    assert found.differences == (Difference((Index(1),), "added", after="b"),)
    assert (list(found), len(found), bool(found)) == ([*found.differences], 1, True)
    assert found.apply(["a"]) == ["a", "b"]
    assert found.render() == "+ [1]: 'b'"
