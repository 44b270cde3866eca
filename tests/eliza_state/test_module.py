"""Declaring state modules: what works, and what is refused before anything runs with it."""

from __future__ import annotations

import functools
from typing import Any, Generic, TypeVar

import attrs
import pytest

from eliza_state.errors import RegistrationError
from eliza_state.event import event
from eliza_state.module import Composition, StateModule, check_module, compose, reduces
from eliza_state.path import Path


@attrs.frozen
class Count:
    value: int = 0


@event("up")
class Up:
    by: int = 1


@event("down")
class Down:
    pass


class CountModule(StateModule[Count]):
    name = "count"
    level = "room"

    @reduces(Up)
    def up(self, state: Count, event: Up) -> Count:
        return Count(state.value + event.by)

    @reduces(Down)
    def down(self, state: Count, event: Down, path: Path) -> Count:
        return Count(state.value - len(path.steps))


def test_the_state_type_is_the_type_argument():
    assert CountModule.state_type is Count
    assert CountModule().initial_state() == Count()


def test_a_subclass_keeps_the_state_type():
    class Special(CountModule):
        name = "special"

    assert Special.state_type is Count


def test_a_generic_module_in_between_leaves_the_type_to_its_subclass():
    S = TypeVar("S")

    class Between(StateModule[S], Generic[S]):
        level = "room"

    class Leaf(Between[Count]):
        name = "leaf"

    assert Between.state_type is None
    assert Leaf.state_type is Count


def test_the_state_may_be_a_plain_type():
    class Total(StateModule[int]):
        name = "total"
        level = "room"

        @reduces(Up)
        def up(self, state: int, event: Up) -> int:
            return state + event.by

    assert Total().reduce(Total().initial_state(), Up(by=3)) == 3


def test_a_handler_without_and_one_with_the_path():
    handlers = CountModule().handlers()

    assert (False, True) == (handlers[Up].takes_path, handlers[Down].takes_path)
    assert handlers[Up].reduce(Count(1), Up(by=2)) == Count(3)
    assert handlers[Down].reduce(Count(1), Down(), Path().child("agent", "a")) == Count(0)


def test_reduce_by_hand_takes_the_root_for_a_path():
    assert CountModule().reduce(Count(5), Down()) == Count(5)


def test_reduce_by_hand_leaves_the_state_for_an_event_that_is_not_handled():
    state = Count(5)

    assert CountModule().reduce(state, "anything") is state


def test_one_method_may_reduce_several_events():
    class Any_(StateModule[Count]):
        name = "any"
        level = "room"

        @reduces(Up, Down)
        def count(self, state: Count, event: Any) -> Count:
            return Count(state.value + 1)

    assert set(Any_().handlers()) == {Up, Down}


def test_a_subclass_overrides_a_reducer():
    class Doubling(CountModule):
        @reduces(Up)
        def up(self, state: Count, event: Up) -> Count:
            return Count(state.value + 2 * event.by)

    check_module(Doubling())
    assert Doubling().reduce(Count(), Up()) == Count(2)


def test_an_own_reduce_takes_the_events_of_handles():
    class Whole(StateModule[Count]):
        name = "whole"
        level = "room"
        handles = (Up, Down)

        def reduce(self, state: Count, event: Any) -> Count:
            return Count(state.value + (1 if isinstance(event, Up) else -1))

    check_module(Whole())
    handlers = Whole().handlers()
    assert set(handlers) == {Up, Down}
    assert handlers[Down].reduce(Count(), Down()) == Count(-1)


def test_a_module_may_make_its_initial_state_itself():
    class Own(StateModule[Any]):
        name = "own"
        level = "room"
        state_type = None

        def initial_state(self) -> Any:
            return Count(7)

        @reduces(Up)
        def up(self, state: Any, event: Up) -> Any:
            return state

    check_module(Own())
    assert Own().initial_state() == Count(7)


# What is refused


def declared(**attributes: Any) -> StateModule[Any]:
    """A module of class `Broken` that would be right but for the attributes given; `None` takes one away."""
    right: dict[str, Any] = {"name": "broken", "level": "room", "state_type": Count, "up": CountModule.up}
    kept = {name: value for name, value in {**right, **attributes}.items() if value is not None}
    return type("Broken", (StateModule,), kept)()


def test_the_module_of_the_following_cases_is_right_without_them():
    check_module(declared())


async def waits(self, state, event):
    return state


def yields(self, state, event):
    yield state


def takes_too_little(self, state):
    return state


def takes_too_much(self, state, event, path, more):
    return state


def takes_by_keyword(self, state, event, *, path):
    return state


def takes_all(self, *args):
    return args[0]


def twin(self, state, event):
    return state


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": None}, "Broken needs `name`, a lower-case word, got None"),
        ({"name": "Broken"}, "Broken needs `name`"),
        ({"name": "a.b"}, "Broken needs `name`"),
        ({"name": ""}, "Broken needs `name`"),
        ({"name": 5}, "Broken needs `name`"),
        ({"level": None}, "Broken needs `level`"),
        ({"level": "a room"}, "Broken needs `level`"),
        ({"version": 0}, "Broken: `version` counts from 1, got 0"),
        ({"version": "1"}, "Broken: `version` counts from 1"),
        ({"version": True}, "Broken: `version` counts from 1"),
        ({"state_type": None}, r"Broken names no state; write `class Broken\(StateModule\[YourState\]\)`"),
        ({"up": None}, "Broken handles no event"),
        ({"reduce": lambda self, state, event: state}, "Broken overrides `reduce` and marks methods"),
        (
            {"reduce": lambda self, state, event: state, "up": None},
            "Broken overrides `reduce`, so it declares",
        ),
        ({"handles": (Up,)}, "Broken declares `handles` without its own `reduce`"),
        ({"handles": (Up,), "up": None}, "Broken declares `handles` without its own `reduce`"),
        ({"twin": reduces(Up)(twin)}, "Broken: (up and twin|twin and up) both reduce Up"),
        ({"up": reduces(Up)(waits)}, "Broken.waits is a plain function: reducers do not wait or yield"),
        ({"up": reduces(Up)(yields)}, "Broken.yields is a plain function"),
        ({"up": reduces(Up)(takes_too_little)}, r"Broken.takes_too_little takes \(self, state, event\) or"),
        ({"up": reduces(Up)(takes_too_much)}, "Broken.takes_too_much takes"),
        ({"up": reduces(Up)(takes_by_keyword)}, "Broken.takes_by_keyword takes"),
        ({"up": reduces(Up)(takes_all)}, "Broken.takes_all takes"),
        ({"handles": (int,), "up": None, "reduce": lambda self, state, event: state}, "int is no event"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(attributes, message):
    with pytest.raises(RegistrationError, match=message):
        check_module(declared(**attributes))


def test_reduces_takes_at_least_one_event():
    with pytest.raises(RegistrationError, match="takes at least one event class"):
        reduces()


@pytest.mark.parametrize("other", [int, "up", None, Up()])
def test_reduces_takes_event_classes_alone(other):
    with pytest.raises(RegistrationError, match="is no event"):
        reduces(other)


def test_a_wrapper_that_keeps_the_signature_is_taken():
    def logged(method):
        @functools.wraps(method)
        def wrapper(self, state, event):
            return method(self, state, event)

        return wrapper

    check_module(declared(up=reduces(Up)(logged(twin))))


# Compositions


class OtherModule(CountModule):
    name = "other"


class ElsewhereModule(CountModule):
    name = "elsewhere"
    level = "agent"


def test_a_composition_holds_modules_under_one_name():
    count, other = CountModule(), OtherModule()

    assert compose("both", count, other) == Composition("both", (count, other))


@pytest.mark.parametrize("name", ["", "Both", "a.b", "a b"])
def test_a_composition_has_a_name(name):
    with pytest.raises(RegistrationError, match="a composition's name is a lower-case word"):
        compose(name, CountModule())


def test_a_composition_is_of_one_level():
    with pytest.raises(
        RegistrationError, match=r"takes modules of one level, got levels \['agent', 'room'\]"
    ):
        compose("both", CountModule(), ElsewhereModule())


def test_a_composition_is_not_empty():
    with pytest.raises(RegistrationError, match="takes modules of one level"):
        compose("none")


# Modules of several levels


def test_a_module_at_another_level_is_named_after_both():
    module = CountModule().at("agent")

    assert (type(module), module.name, module.level) == (CountModule, "count_agent", "agent")
    assert (CountModule.name, CountModule.level) == ("count", "room")


def test_a_module_at_its_own_level_is_itself():
    module = CountModule()

    assert module.at("room") is module


def test_a_module_at_another_level_keeps_what_it_was_made_with():
    module = CountModule()
    module.since_position = 7

    assert module.at("agent").since_position == 7


def test_its_reducers_know_their_level():
    class Level(StateModule[str]):
        name = "here"
        level = "room"

        @reduces(Up)
        def up(self, state: str, event: Up) -> str:
            return self.level

    assert Level().at("agent").reduce("", Up()) == "agent"


@pytest.mark.parametrize("level", ["", "Room", 3, "a" * 60])
def test_a_level_that_is_no_word_is_refused_with_its_module(level):
    with pytest.raises(RegistrationError, match=r"CountModule needs `(name|level)`, a lower-case word"):
        check_module(CountModule().at(level))


def of_kind(kind):
    class Module(StateModule[kind]):
        name = "module"
        level = "room"

        @reduces(Up)
        def up(self, state, event):
            return state

    return Module()


def test_a_mapping_sets_its_items():
    assert of_kind(dict[str, int]).own_values({"a": None}) == {"a": None}


@attrs.frozen
class Look:
    colour: str | None = None
    sizes: tuple[int, ...] = attrs.field(factory=tuple)


@pytest.mark.parametrize(
    ("state", "values"),
    [
        (Look(), {}),
        (Look(colour="red"), {"colour": "red"}),
        (Look(colour=None, sizes=()), {}),
        (Look(sizes=(1,)), {"sizes": (1,)}),
    ],
)
def test_an_attrs_object_sets_the_fields_that_differ_from_the_initial_state(state, values):
    assert of_kind(Look).own_values(state) == values


def test_the_initial_state_is_the_modules_own():
    class Red(CountModule):
        def initial_state(self) -> Count:
            return Count(5)

    assert (Red().own_values(Count(5)), Red().own_values(Count(0))) == ({}, {"value": 0})


def test_a_state_that_sets_nothing_by_name_is_refused():
    with pytest.raises(RegistrationError, match="for 7 override `own_values`"):
        of_kind(int).own_values(7)


@pytest.mark.parametrize(
    ("migrations", "message"),
    [
        ({3: dict}, r"Module is at version 3: its migrations are from earlier versions, .* got one from 3"),
        ({0: dict}, "got one from 0"),
        ({True: dict}, "got one from True"),
        ({"1": dict}, "got one from '1'"),
        ({1: "a step"}, "the migration from version 1 is a function, got 'a step'"),
        ([dict], "`migrations` maps versions to functions"),
    ],
)
def test_migrations_that_cannot_work_are_refused(migrations, message):
    module = of_kind(dict[str, int])
    module.version, module.migrations = 3, migrations

    with pytest.raises(RegistrationError, match=message):
        check_module(module)


@pytest.mark.parametrize("migrations", [{}, {1: dict, 2: dict}, {2: dict}])
def test_migrations_may_leave_versions_out(migrations):
    module = of_kind(dict[str, int])
    module.version, module.migrations = 3, migrations

    check_module(module)
