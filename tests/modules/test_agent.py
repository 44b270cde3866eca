"""Character, goals, relationships and knowledge of an agent."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf, nan

import attrs
import pytest

from eliza_modules.agent import (
    AgentModule,
    AgentStarted,
    AgentState,
    AgentStopped,
    Character,
    CharacterUpdated,
    KnowledgeAdded,
    KnowledgeEntry,
    KnowledgeRemoved,
    Relationship,
    RelationshipUpdated,
)
from eliza_modules.conversation import Goal, GoalAdded, GoalCompleted, MessageReceived
from eliza_modules.room import UserRenamed
from eliza_state.errors import Rejected
from eliza_state.path import Path

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
FIND = GoalAdded(id="g1", description="find a room", priority=2)


def again(text):
    """An equal text that is another object, as one that was read anew."""
    return "".join(list(text))


def said(identifier, *, user, at=None):
    return MessageReceived(id=identifier, user=user, text="hello", at=at)


def test_starts_as_nobody_that_runs(world):
    assert AgentState() == world.state("agent")
    assert world.state("agent").running is False


def test_a_start_tells_since_when_the_agent_runs(world):
    world.send("agent", AgentStarted(at=NOON))

    assert (world.state("agent").running, world.state("agent").started_at) == (True, NOON)


def test_a_stop_ends_that(world):
    world.send("agent", AgentStarted(at=NOON), AgentStopped(at=NOON))

    assert AgentState() == world.state("agent")


def test_a_start_without_a_stop_is_a_new_start(world):
    later = NOON.replace(hour=13)
    world.send("agent", AgentStarted(at=NOON), AgentStarted(at=later))

    assert later == world.state("agent").started_at


def test_a_character_is_set_part_by_part(world):
    world.send("agent", CharacterUpdated(name="eliza", bio="listens"), CharacterUpdated(traits=("calm",)))

    assert Character(name="eliza", bio="listens", traits=("calm",)) == world.state("agent").character


def test_every_part_of_the_character_can_be_set(world):
    parts = {"name": "eliza", "bio": "b", "system_prompt": "p", "style": "s", "traits": ("calm",)}
    world.send("agent", CharacterUpdated(**parts))

    assert parts == attrs.asdict(world.state("agent").character, recurse=False)


def test_an_empty_part_clears(world):
    world.send(
        "agent", CharacterUpdated(bio="listens", traits=("calm",)), CharacterUpdated(bio="", traits=())
    )

    assert Character() == world.state("agent").character


@pytest.mark.parametrize("level", ["agent", "conversation"])
def test_a_goal_of_the_agent_or_of_a_conversation_is_the_agents(world, level):
    world.send(level, FIND)

    assert [Goal(id="g1", description="find a room", priority=2)] == list(world.state("agent").goals)


@pytest.mark.parametrize("level", ["agent", "conversation"])
def test_a_completed_goal_stays_as_completed(world, level):
    world.send(level, FIND, GoalCompleted(id="g1"))

    assert world.state("agent").goals["g1"].completed is True


def test_a_goal_of_the_agent_is_none_of_a_conversations(world):
    world.send("agent", FIND)

    assert list(world.state("conversation").active_goals) == []


def test_an_agent_completes_the_goal_that_came_from_a_conversation(world):
    world.send("conversation", FIND)
    world.send("agent", GoalCompleted(id="g1"))
    changed = world.send("conversation", GoalCompleted(id="g1"))

    assert world.state("agent").goals["g1"].completed is True
    assert [transition.name for transition in changed] == ["system", "conversation"]


def test_a_goal_that_is_open_already_is_rejected(world):
    world.send("agent", FIND)

    with pytest.raises(Rejected, match="goal 'g1' is open already"):
        world.send("agent", FIND)


def test_a_completed_goal_may_be_set_again(world):
    world.send("agent", FIND, GoalCompleted(id="g1"), FIND)

    assert world.state("agent").goals["g1"].completed is False


def test_the_same_id_in_a_second_conversation_is_the_same_goal_as_told_last(world):
    room = Path().child("agent", "eliza").child("room", "general")
    world.send(room.child("conversation", "tea"), FIND)
    world.send(room.child("conversation", "rain"), GoalAdded(id="g1", description="find shelter"))

    assert [Goal(id="g1", description="find shelter")] == list(world.state("agent").goals)


def test_a_goal_without_id_is_rejected(world):
    with pytest.raises(Rejected, match="a goal's id is a non-empty text"):
        world.send("agent", GoalAdded(id="", description="nothing"))


@pytest.mark.parametrize("before", [[], [FIND, GoalCompleted(id="g1")]])
def test_the_completion_of_a_goal_that_is_not_open_is_rejected(world, before):
    world.send("agent", *before)

    with pytest.raises(Rejected, match="no open goal 'g1'"):
        world.send("agent", GoalCompleted(id="g1"))


def test_a_relationship_is_set_part_by_part(world):
    world.send(
        "agent",
        RelationshipUpdated(entity="ada", kind="friend", affinity=0.5),
        RelationshipUpdated(entity="ada", note="likes engines"),
    )

    assert (
        Relationship(entity="ada", kind="friend", affinity=0.5, note="likes engines")
        == (world.state("agent").relationships["ada"])
    )


@pytest.mark.parametrize("affinity", [1.5, -1.5, inf, nan])
def test_an_affinity_outside_minus_one_to_one_is_rejected(world, affinity):
    with pytest.raises(Rejected, match="an affinity lies from -1 to 1"):
        world.send("agent", RelationshipUpdated(entity="ada", affinity=affinity))


def test_a_relationship_to_nobody_is_rejected(world):
    with pytest.raises(Rejected, match="an entity is a non-empty text"):
        world.send("agent", RelationshipUpdated(entity="", kind="friend"))


def test_whoever_speaks_is_known_from_the_first_message(world):
    world.send(
        "conversation", said("m1", user="ada", at=NOON), said("m2", user="ada", at=NOON.replace(hour=13))
    )

    assert {"ada": Relationship(entity="ada", met_at=NOON)} == dict(world.state("agent").relationships)


def test_an_agent_that_speaks_does_not_meet_itself(world):
    world.send("conversation", said("m1", user="eliza"))

    assert len(world.state("agent").relationships) == 0


def test_a_message_of_somebody_known_leaves_the_agent_as_it_is(world):
    world.send("conversation", said("m1", user="ada"))
    changed = world.send("conversation", said("m2", user="ada"))

    assert [transition.name for transition in changed] == ["system", "room", "conversation"]


def test_a_relationship_goes_with_the_new_name(world):
    world.send("agent", RelationshipUpdated(entity="ada", kind="friend"))
    world.send("room", UserRenamed(user="ada", name="countess"))

    assert {"countess": Relationship(entity="countess", kind="friend")} == (
        dict(world.state("agent").relationships)
    )


def test_a_rename_to_somebody_known_leaves_both_relationships(world):
    world.send("agent", RelationshipUpdated(entity="ada"), RelationshipUpdated(entity="bob"))

    assert [
        change for change in world.send("room", UserRenamed(user="ada", name="bob")) if change.name == "agent"
    ] == []


def test_knowledge_is_kept_by_key(world):
    world.send("agent", KnowledgeAdded(key="sky", value={"colour": "blue"}, source="m1"))

    assert {"sky": KnowledgeEntry(value={"colour": "blue"}, source="m1")} == dict(
        world.state("agent").knowledge
    )


def test_newer_knowledge_takes_the_place_of_older(world):
    world.send(
        "agent", KnowledgeAdded(key="sky", value="blue", source="m1"), KnowledgeAdded(key="sky", value="grey")
    )

    assert {"sky": KnowledgeEntry(value="grey")} == dict(world.state("agent").knowledge)


def test_another_source_of_the_same_knowledge_is_a_change(world):
    world.send("agent", KnowledgeAdded(key="sky", value="blue", source="m1"))
    world.send("agent", KnowledgeAdded(key="sky", value="blue", source="m2"))

    assert world.state("agent").knowledge["sky"].source == "m2"


def test_removed_knowledge_is_gone(world):
    world.send("agent", KnowledgeAdded(key="sky", value="blue"), KnowledgeRemoved(key="sky"))

    assert AgentState() == world.state("agent")


def test_the_removal_of_knowledge_that_is_not_there_is_rejected(world):
    with pytest.raises(Rejected, match="nothing is known under 'sky'"):
        world.send("agent", KnowledgeRemoved(key="sky"))


def test_knowledge_without_a_key_is_rejected(world):
    with pytest.raises(Rejected, match="a key is a non-empty text"):
        world.send("agent", KnowledgeAdded(key="", value="blue"))


@pytest.mark.parametrize(
    "event",
    [
        AgentStarted(at=NOON),
        CharacterUpdated(),
        CharacterUpdated(name=again("eliza")),
        RelationshipUpdated(entity="ada", affinity=float("0.5")),
        KnowledgeAdded(key="sky", value=again("blue"), source=again("m1")),
        UserRenamed(user="bob", name="carol"),
    ],
)
def test_what_is_so_already_changes_nothing(world, event):
    world.send(
        "agent",
        AgentStarted(at=NOON),
        CharacterUpdated(name="eliza"),
        RelationshipUpdated(entity="ada", affinity=0.5),
        KnowledgeAdded(key="sky", value="blue", source="m1"),
    )
    before = world.state("agent")

    assert AgentModule().reduce(before, event) is before


def test_a_stop_of_an_agent_that_does_not_run_changes_nothing(world):
    assert world.send("agent", AgentStopped(at=NOON)) == []


def test_a_value_of_another_type_is_a_change(world):
    world.send("agent", KnowledgeAdded(key="on", value=1), KnowledgeAdded(key="on", value=True))

    assert world.state("agent").knowledge["on"].value is True


@pytest.mark.parametrize(
    "event",
    [
        GoalAdded(id="", description="nothing"),
        GoalCompleted(id="g9"),
        RelationshipUpdated(entity=""),
        RelationshipUpdated(entity="ada", affinity=nan),
        KnowledgeAdded(key="", value=1),
        KnowledgeRemoved(key="sky"),
        said("m1", user=""),
        UserRenamed(user="ada", name=""),
    ],
)
def test_an_event_addressed_further_down_is_not_refused(world, event):
    world.send("agent", RelationshipUpdated(entity="ada"))
    before = world.state("agent")
    world.send("user", event)

    assert world.state("agent") is before
