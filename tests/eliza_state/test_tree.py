"""Which reducers an event reaches, and what they make of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eliza_state.errors import ReducerError, RegistrationError, Rejected
from eliza_state.event import event
from eliza_state.module import StateModule, compose, reduces
from eliza_state.path import Hierarchy, Path
from eliza_state.tree import Tree
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, ROOM, TALK, BudgetModule, Drawn, Exploded, Noted, Said, TalkModule


@event("pinged")
class Pinged:
    pass


@attrs.frozen
class Seen:
    order: tuple[str, ...] = ()


def marker(name: str, level: str, seen: list[str]) -> StateModule[Any]:
    """A module that notes when its reducer runs."""

    class Marker(StateModule[Seen]):
        @reduces(Pinged)
        def ping(self, state: Seen, _event: Pinged) -> Seen:
            seen.append(name)
            return attrs.evolve(state, order=(*state.order, name))

    Marker.name, Marker.level = name, level
    return Marker()


def reduce(tree: Tree, event: Any, path: Path, chain: list[dict[str, Any]] | None = None) -> Any:
    chain = chain or [tree.initial(tree.hierarchy.level(above)) for above in path.chain()]
    return tree.reduce(tree.plan(type(event), tree.hierarchy.level(path)), chain, event, path)


def test_reducers_run_root_first_and_in_the_order_of_registration():
    seen: list[str] = []
    placed = [("b", "room"), ("z", "global"), ("a", "room"), ("m", "agent"), ("c", "conversation")]
    tree = Tree([marker(name, level, seen) for name, level in placed])
    transitions = reduce(tree, Pinged(), TALK)

    assert ["z", "m", "b", "a", "c"] == seen
    assert [(0, "z"), (1, "m"), (2, "b"), (2, "a"), (3, "c")] == [
        (depth, name) for depth, name, *_ in transitions
    ]


def test_reducers_beside_and_below_the_address_do_not_run():
    seen: list[str] = []
    tree = Tree(
        [marker("user", "user", seen), marker("talk", "conversation", seen), marker("room", "room", seen)]
    )
    reduce(tree, Pinged(), ROOM)

    assert ["room"] == seen


def test_what_changed_is_told_with_before_and_after():
    tree = Tree([TalkModule()])
    chain = [{}, {}, {}, tree.initial("conversation")]
    ((depth, name, before, after),) = reduce(tree, Said(user="ada", text="hello"), TALK, chain)

    assert (3, "talk") == (depth, name)
    assert (chat.Talk(), ["hello"]) == (before, list(after.texts))


def test_nothing_is_changed_in_place():
    tree = Tree(chat.modules())
    chain = [tree.initial(tree.hierarchy.level(above)) for above in TALK.chain()]
    copies = [dict(slices) for slices in chain]
    reduce(tree, Said(user="ada", text="hello"), TALK, chain)

    assert copies == chain
    assert all(
        copy[name] is slices[name] for copy, slices in zip(copies, chain, strict=True) for name in copy
    )


def test_the_same_object_back_is_no_change():
    assert reduce(Tree(chat.modules()), Noted(), TALK) == []


def test_an_event_nobody_handles_has_no_steps():
    assert Tree([TalkModule()]).plan(Drawn, "conversation").steps == ()


def test_an_unknown_event_names_the_nearest_known_ones():
    error = Tree(chat.modules()).unknown("jioned", ROOM)

    assert ("jioned", ROOM.encode(), ("joined",)) == (error.name, error.path, error.nearest)
    assert "did you mean 'joined'?" in str(error)


def test_an_unknown_event_may_have_no_near_one():
    error = Tree(chat.modules()).unknown("xyzzy", Path())

    assert error.nearest == ()
    assert "no module handles 'xyzzy' at the root. Register" in str(error)


def test_an_event_handled_by_volatile_modules_alone_is_not_stored():
    tree = Tree(chat.modules())

    assert not tree.plan(chat.Typing, "conversation").stored
    assert tree.plan(Said, "conversation").stored


def test_the_addressed_level_may_refuse():
    with pytest.raises(Rejected, match="drawn at 'agent:eliza' rejected: 10 left, 11 wanted") as caught:
        reduce(Tree(chat.modules()), Drawn(amount=11), AGENT)

    assert ("10 left, 11 wanted", "agent:eliza", "drawn") == (
        caught.value.reason,
        caught.value.path,
        caught.value.event,
    )


def test_a_level_above_may_not_refuse():
    class Strict(BudgetModule):
        @reduces(Drawn)
        def draw(self, state, event):
            raise Rejected("no")

    with pytest.raises(ReducerError) as caught:
        reduce(Tree([Strict()]), Drawn(amount=1), TALK)

    assert isinstance(caught.value.error, Rejected)


@pytest.mark.parametrize("level", ["global", "agent", "conversation"])
def test_any_other_exception_is_a_bug_of_the_module(level):
    name = {"global": "totals", "agent": "budget", "conversation": "talk"}[level]

    with pytest.raises(ReducerError, match="ZeroDivisionError: a bug") as caught:
        reduce(Tree(chat.modules()), Exploded(level=level), TALK)

    error = caught.value
    assert (name, "exploded", TALK.encode()) == (error.module, error.event, error.path)
    assert isinstance(error.error, ZeroDivisionError)
    assert error.__cause__ is error.error


# Registration


def test_modules_come_in_the_order_of_registration():
    tree = Tree([marker("b", "room", []), marker("a", "room", [])])
    tree.register(marker("c", "room", []))

    assert ["b", "a", "c"] == list(tree.modules("room"))


def test_registration_takes_all_or_none():
    tree = Tree([TalkModule()])

    with pytest.raises(RegistrationError):
        tree.register(BudgetModule(), marker("x", "nowhere", []))

    assert dict(tree.modules("agent")) == {}
    assert tree.event_type("drawn") is None
    tree.register(BudgetModule())


@pytest.mark.parametrize("level", ["room", "agent"])
def test_a_name_is_taken_once_at_whatever_level(level):
    tree = Tree([marker("a", "room", [])])

    with pytest.raises(RegistrationError, match="a module named 'a' is registered already, at 'room'"):
        tree.register(marker("a", level, []))


def test_two_modules_of_one_name_at_once_are_refused():
    with pytest.raises(RegistrationError, match="two modules are named 'a'"):
        Tree([marker("a", "room", []), marker("a", "agent", [])])


def test_an_unknown_level_names_the_known_ones():
    with pytest.raises(
        RegistrationError, match="module 'a' lives at level 'planet'; the levels are global, agent"
    ):
        Tree([marker("a", "planet", [])])


def test_a_hierarchy_of_ones_own_gives_the_levels():
    tree = Tree([marker("a", "planet", [])], hierarchy=Hierarchy({"galaxy": {"planet": {}}}))

    assert [(1, "a")] == [row[:2] for row in reduce(tree, Pinged(), Path().child("planet", "earth"))]


def test_two_event_classes_of_one_name_are_refused():
    @event("pinged")
    class Imposter:
        pass

    class Other(StateModule[Seen]):
        name = "other"
        level = "agent"

        @reduces(Imposter)
        def ping(self, state, event):
            return state

    tree = Tree([marker("a", "room", [])])

    with pytest.raises(
        RegistrationError, match=r"module 'other' handles .*Imposter, but the event name 'pinged'"
    ):
        tree.register(Other())
    assert tree.event_type("pinged").cls is Pinged


def test_a_later_module_joins_the_plans_made_before():
    seen: list[str] = []
    tree = Tree([marker("a", "room", seen)])
    reduce(tree, Pinged(), ROOM)
    tree.register(marker("b", "agent", seen))
    reduce(tree, Pinged(), ROOM)

    assert ["a", "b", "a"] == seen


def test_a_composition_puts_its_name_before_those_of_its_modules():
    tree = Tree([compose("both", marker("a", "room", []), marker("b", "room", []))])

    assert ["both.a", "both.b"] == list(tree.modules("room"))


def test_what_is_no_module_is_refused():
    with pytest.raises(RegistrationError):
        Tree([object()])


def test_a_slice_is_named_by_name_class_or_module():
    talk = TalkModule()
    tree = Tree([talk])

    assert ["talk"] * 3 == [
        tree.slice_name(each, level="conversation") for each in ("talk", TalkModule, talk)
    ]


@pytest.mark.parametrize("wanted", ["tale", BudgetModule, BudgetModule()])
def test_a_slice_that_is_not_there_names_those_that_are(wanted):
    with pytest.raises(
        RegistrationError, match=r"no module .* at level 'conversation'; registered there: talk"
    ):
        Tree([TalkModule()]).slice_name(wanted, level="conversation")
