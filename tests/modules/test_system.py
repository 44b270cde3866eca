"""What all agents share, and totals."""

from __future__ import annotations

import attrs
import pytest

from eliza_modules.agent import AgentStarted, AgentStopped
from eliza_modules.conversation import (
    ConversationEnded,
    GoalAdded,
    GoalCompleted,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
)
from eliza_modules.room import UserJoined, UserLeft
from eliza_modules.system import ConfigChanged, Metrics, ResourceShared, SystemModule, SystemState
from eliza_state.errors import Rejected
from eliza_state.path import Path

SAID = MessageReceived(id="m1", user="ada", text="hello")
GOAL = GoalAdded(id="g1", description="find a room")


def test_starts_with_nothing_counted(world):
    assert SystemState() == world.state("global")
    assert {0} == set(attrs.asdict(world.state("global").metrics).values())


def test_a_setting_is_kept_by_key(world):
    world.send("global", ConfigChanged(key="mode", value="dark"), ConfigChanged(key="limit", value=None))

    assert dict(world.state("global").config) == {"mode": "dark", "limit": None}


def test_a_resource_takes_the_place_of_the_one_before(world):
    world.send("global", ResourceShared(key="faq", value=["a"]), ResourceShared(key="faq", value=["a", "b"]))

    assert dict(world.state("global").shared_resources) == {"faq": ["a", "b"]}


@pytest.mark.parametrize("kind", [ConfigChanged, ResourceShared])
def test_an_empty_key_is_rejected(world, kind):
    with pytest.raises(Rejected, match="a key is a non-empty text"):
        world.send("global", kind(key="", value=1))


@pytest.mark.parametrize("kind", [ConfigChanged, ResourceShared])
def test_an_empty_key_from_below_changes_nothing(world, kind):
    assert world.send("agent", kind(key="", value=1)) == []


@pytest.mark.parametrize("kind", [ConfigChanged, ResourceShared])
def test_an_equal_text_changes_nothing(world, kind):
    world.send("global", kind(key="mode", value="dark"))

    assert world.send("global", kind(key="mode", value="".join(["da", "rk"]))) == []


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), ({"on": 1}, {"on": True})])
def test_an_equal_value_of_another_type_is_a_change(world, before, after):
    world.send("global", ConfigChanged(key="mode", value=before), ConfigChanged(key="mode", value=after))

    assert repr(after) == repr(world.state("global").config["mode"])


@pytest.mark.parametrize(
    ("level", "events", "total"),
    [
        ("conversation", [SAID], "messages"),
        ("conversation", [SAID, MessageEdited(id="m1", text="hi")], "edits"),
        ("conversation", [SAID, MessageDeleted(id="m1")], "deletions"),
        ("room", [UserJoined(user="ada")], "joins"),
        ("room", [UserLeft(user="ada")], "departures"),
        ("agent", [GOAL, GoalCompleted(id="g1")], "goals_completed"),
        ("conversation", [GOAL, GoalCompleted(id="g1")], "goals_completed"),
        ("conversation", [ConversationEnded()], "conversations_ended"),
    ],
)
def test_each_kind_of_event_adds_one_to_its_total(world, level, events, total):
    *before, last = events
    world.send(level, *before)
    counted = world.state("global").metrics
    world.send(level, last)

    assert attrs.evolve(counted, **{total: 1}) == world.state("global").metrics


def test_every_total_is_counted_by_some_event(world):
    world.send("conversation", SAID, MessageEdited(id="m1", text="hi"), MessageDeleted(id="m1"))
    world.send("room", UserJoined(user="ada"), UserLeft(user="ada"))
    world.send("conversation", GOAL, GoalCompleted(id="g1"), ConversationEnded())

    assert {1} == set(attrs.asdict(world.state("global").metrics).values())


def test_totals_are_over_all_agents(world):
    for agent in ("one", "two"):
        world.send(Path().child("agent", agent).child("room", "r").child("conversation", "c"), SAID)

    assert Metrics(messages=2) == world.state("global").metrics


def test_an_event_that_changes_nothing_below_is_counted(world):
    world.send("room", UserLeft(user="ada"), UserLeft(user="ada"))

    assert world.state("global").metrics.departures == 2


def test_a_rejected_event_is_not_counted(world):
    world.send("conversation", SAID)
    with pytest.raises(Rejected):
        world.send("conversation", SAID)

    assert world.state("global").metrics.messages == 1


def test_the_agents_that_run_are_known(world):
    for agent in ("one", "two", "three"):
        world.send(Path().child("agent", agent), AgentStarted())
    world.send(Path().child("agent", "two"), AgentStopped())

    assert list(world.state("global").running_agents) == ["one", "three"]


@pytest.mark.parametrize("event", [AgentStarted(), AgentStopped()])
def test_a_start_or_stop_without_an_agent_changes_nothing(event):
    state = SystemState()

    assert SystemModule().reduce(state, event) is state


def test_a_second_start_or_stop_changes_nothing_here(world):
    world.send("agent", AgentStarted())
    again = world.send("agent", AgentStarted())
    world.send("agent", AgentStopped())

    assert again + world.send("agent", AgentStopped()) == []
