"""What holds for all ready-made modules and their events."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import entry_points
from math import nan

import attrs
import pytest
from cattrs.preconf.json import make_converter
from hypothesis import given
from hypothesis import strategies as st

import eliza_modules
from eliza_modules import (
    agent,
    approval,
    conversation,
    message,
    observer,
    room,
    run,
    settings,
    system,
    user,
    workspace,
)
from eliza_state.errors import Rejected
from eliza_state.event import event_type
from eliza_state.module import StateModule
from eliza_state.path import DEFAULT_HIERARCHY, Path

FILES = (system, settings, agent, run, approval, observer, room, conversation, message, user, workspace)
AT = "2004-11-15T12:18:00+00:00"

EVENTS = {
    "message_received": (
        conversation.MessageReceived,
        {"id": "m1", "user": "|ada|", "text": "hi", "at": AT, "reply_to": "m0", "metadata": {"a": [1]}},
    ),
    "message_edited": (conversation.MessageEdited, {"id": "m1", "text": "hi"}),
    "message_deleted": (conversation.MessageDeleted, {"id": "m1"}),
    "messages_trimmed": (conversation.MessagesTrimmed, {"keep": 100, "before": AT}),
    "context_switch": (conversation.ContextSwitched, {"context": "tea"}),
    "topic_updated": (conversation.TopicUpdated, {"topic": "tea"}),
    "sentiment_updated": (conversation.SentimentUpdated, {"sentiment": 0.5}),
    "goal_added": (conversation.GoalAdded, {"id": "g1", "description": "find a room", "priority": 1}),
    "goal_completed": (conversation.GoalCompleted, {"id": "g1"}),
    "conversation_ended": (conversation.ConversationEnded, {"at": AT}),
    "reaction_added": (message.ReactionAdded, {"user": "ada", "reaction": "+1"}),
    "reaction_removed": (message.ReactionRemoved, {"user": "ada", "reaction": "+1"}),
    "delivery_updated": (message.DeliveryUpdated, {"status": "read"}),
    "user_joined": (room.UserJoined, {"user": "ada", "at": AT}),
    "user_left": (room.UserLeft, {"user": "ada", "at": AT}),
    "user_renamed": (room.UserRenamed, {"user": "ada", "name": "countess", "at": AT}),
    "room_closed": (room.RoomClosed, {"at": AT}),
    "room_metadata_changed": (room.RoomMetadataChanged, {"key": "purpose", "value": {"a": None}}),
    "agent_started": (agent.AgentStarted, {"at": AT}),
    "agent_stopped": (agent.AgentStopped, {"at": AT}),
    "character_updated": (
        agent.CharacterUpdated,
        {"name": "eliza", "bio": "b", "system_prompt": "p", "style": "s", "traits": ["calm"]},
    ),
    "relationship_updated": (
        agent.RelationshipUpdated,
        {"entity": "ada", "kind": "friend", "affinity": 0.5, "note": "n"},
    ),
    "knowledge_added": (agent.KnowledgeAdded, {"key": "sky", "value": ["blue"], "source": "m1"}),
    "knowledge_removed": (agent.KnowledgeRemoved, {"key": "sky"}),
    "run_created": (run.RunCreated, {"id": "r1", "at": AT, "input": ["a"], "parent": "r0"}),
    "run_investigated": (run.RunInvestigated, {"id": "r1", "at": AT}),
    "run_started": (run.RunStarted, {"id": "r1", "at": AT}),
    "run_held": (run.RunHeld, {"id": "r1", "at": AT}),
    "run_completed": (run.RunCompleted, {"id": "r1", "at": AT, "result": {"a": 1}}),
    "run_failed": (run.RunFailed, {"id": "r1", "at": AT, "error": "no tea"}),
    "run_cancelled": (run.RunCancelled, {"id": "r1", "at": AT, "reason": "late"}),
    "approval_requested": (
        approval.ApprovalRequested,
        {"id": "a1", "at": AT, "subject": "tea", "by": "eliza", "deadline": AT},
    ),
    "approval_granted": (
        approval.ApprovalGranted,
        {"id": "a1", "at": AT, "by": "ada", "reason": "why not"},
    ),
    "approval_denied": (approval.ApprovalDenied, {"id": "a1", "at": AT, "by": "ada", "reason": "no"}),
    "approval_expired": (approval.ApprovalExpired, {"id": "a1", "at": AT}),
    "approval_cancelled": (
        approval.ApprovalCancelled,
        {"id": "a1", "at": AT, "by": "eliza", "reason": "done"},
    ),
    "observer_scheduled": (observer.ObserverScheduled, {"name": "o1", "interval_ms": 1_000}),
    "observer_ran": (observer.ObserverRan, {"name": "o1", "at": AT}),
    "observer_removed": (observer.ObserverRemoved, {"name": "o1"}),
    "resource_shared": (system.ResourceShared, {"key": "faq", "value": [1]}),
    "config_changed": (system.ConfigChanged, {"key": "mode", "value": None}),
    "setting_changed": (settings.SettingChanged, {"key": "mode", "value": {"a": None}}),
    "setting_removed": (settings.SettingRemoved, {"key": "mode"}),
    "user_updated": (user.UserUpdated, {"id": "u1", "name": "Ada", "avatar": "ada.png"}),
    "workspace_message_received": (
        workspace.WorkspaceMessageReceived,
        {
            "id": "m1",
            "text": "hi",
            "at": AT,
            "chat": "c1",
            "platform": "web",
            "source": "m0",
            "policy": "interrupt",
            "position": 1,
        },
    ),
    "workspace_run_claimed": (
        workspace.WorkspaceRunClaimed,
        {"run": "r1", "holder": "p1", "token": 1, "at": AT, "lease_ms": 1_000},
    ),
    "workspace_run_renewed": (workspace.WorkspaceRunRenewed, {"token": 1, "at": AT, "lease_ms": 1_000}),
    "workspace_run_completed": (workspace.WorkspaceRunCompleted, {"token": 1, "at": AT, "response": "hi"}),
    "workspace_run_released": (workspace.WorkspaceRunReleased, {"token": 1, "at": AT}),
    "workspace_message_added": (
        workspace.WorkspaceMessageAdded,
        {"token": 1, "role": "tool", "content": "3", "at": AT},
    ),
    "memory_stored": (workspace.MemoryStored, {"key": "city", "value": "London", "at": AT, "token": 1}),
    "memory_deleted": (workspace.MemoryDeleted, {"key": "city", "token": 1}),
    "tool_server_installed": (workspace.ToolServerInstalled, {"name": "s1", "config": {"url": "a"}}),
    "tool_server_removed": (workspace.ToolServerRemoved, {"name": "s1"}),
    "debug_mode_switched": (workspace.DebugModeSwitched, {"on": True}),
    "workspace_reset": (workspace.WorkspaceReset, {"position": 7, "last_token": 3}),
    "workspace_tokens_kept": (
        workspace.WorkspaceTokensKept,
        {"last_token": 3, "reset_position": 7},
    ),
}
"""Event name → its class and a payload with every field."""

REQUIRED = {
    "message_received": {"id", "user", "text"},
    "user_joined": {"user"},
    "user_left": {"user"},
    "user_renamed": {"user", "name"},
}
"""Events of which a chat log gives no more than these fields."""

by_name = pytest.mark.parametrize("name", EVENTS)


def modules():
    return [
        value()
        for file in FILES
        for value in vars(file).values()
        if isinstance(value, type) and issubclass(value, StateModule) and value.__module__ == file.__name__
    ]


def test_the_package_offers_its_modules_and_events_by_one_name_each():
    offered = eliza_modules.__all__

    assert len(offered) == len(set(offered)) <= 25
    assert set(offered) == {name for name, value in vars(eliza_modules).items() if isinstance(value, type)}


def test_each_file_holds_one_module_named_after_it():
    assert [file.__name__.removeprefix("eliza_modules.") for file in FILES] == [m.name for m in modules()]


def test_the_modules_cover_the_default_hierarchy_level_by_level():
    assert set(DEFAULT_HIERARCHY.levels) == {module.level for module in modules()}


def test_the_modules_are_entry_points_under_their_own_names():
    found = {point.name: point.load() for point in entry_points(group="eliza_state.modules")}
    expected = {module.name: type(module) for module in modules()} | {"settings": settings.AT_EVERY_LEVEL}

    assert expected.items() <= found.items()


def test_the_table_here_names_every_event_that_a_module_handles():
    handled = {event_type(cls).name: cls for module in modules() for cls in module.handlers()}

    assert handled == {name: cls for name, (cls, _) in EVENTS.items()}


@by_name
def test_an_event_comes_from_a_plain_payload(name):
    cls, payload = EVENTS[name]
    converter = make_converter()

    assert {field.name for field in attrs.fields(cls)} == set(payload)
    assert payload == converter.unstructure(converter.structure(payload, cls))


@by_name
def test_an_event_is_frozen_and_takes_keywords_only(name):
    cls, payload = EVENTS[name]
    event = cls(**payload)

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, next(iter(payload)), "other")
    with pytest.raises(TypeError):
        cls(*payload.values())


@pytest.mark.parametrize(("name", "fields"), REQUIRED.items())
def test_a_chat_log_gives_all_that_an_event_needs(name, fields):
    cls, payload = EVENTS[name]

    assert fields == {field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING}
    assert cls(**{field: payload[field] for field in fields})


def test_a_time_is_read_as_one():
    event = make_converter().structure({"user": "ada", "at": AT}, room.UserJoined)

    assert datetime(2004, 11, 15, 12, 18, tzinfo=UTC) == event.at


def test_an_hour_of_a_channel(world):
    """A log of a channel comes as joins, renames and messages, without anything else set up."""
    channel = Path().child("agent", "ubuntu").child("room", "2004-11-15_03")
    lobby = channel.child("conversation", "lobby")
    world.send(lobby, conversation.MessageReceived(id="m0", user="|trey|", text="usual"))
    world.send(
        channel, room.UserJoined(user="tweaked"), room.UserRenamed(user="tweaked", name="tweaked_away")
    )
    world.send(lobby, conversation.MessageReceived(id="m1", user="usual", text="a few libs"))
    world.send(channel, room.UserLeft(user="|trey|"))

    assert list(world.state(channel).participants) == ["tweaked_away", "usual"]
    assert list(world.state(lobby).participants) == ["|trey|", "usual"]
    assert system.Metrics(messages=2, joins=1, departures=1) == world.state("global").metrics


TEXT = st.sampled_from(["", "a", "b"])
FIELDS = {
    "affinity": st.sampled_from([None, -0.5, 0.5, 2.0, nan]),
    "at": st.sampled_from([None, datetime(2024, 5, 1, tzinfo=UTC)]),
    "before": st.sampled_from([None, datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)]),
    "config": st.just({}),
    "keep": st.sampled_from([None, -1, 0, 1, 3]),
    "lease_ms": st.sampled_from([0, 1_000]),
    "metadata": st.just({}),
    "on": st.booleans(),
    "policy": st.sampled_from(["enqueue", "reject", "interrupt", "rollback", "lose"]),
    "position": st.integers(0, 1),
    "role": st.sampled_from(["user", "tool", "nobody"]),
    "token": st.integers(1, 3),
    "priority": st.integers(0, 1),
    "sentiment": st.sampled_from([-0.5, 0.5, 2.0, nan]),
    "status": st.sampled_from(["pending", "sent", "read", "failed", "lost"]),
    "traits": st.sampled_from([None, (), ("calm",)]),
}
ANY_EVENT = st.one_of(
    st.builds(cls, **{field: FIELDS.get(field, TEXT) for field in payload})
    for cls, payload in EVENTS.values()
)


@given(st.lists(st.tuples(ANY_EVENT, st.sampled_from(DEFAULT_HIERARCHY.levels)), max_size=25))
def test_ancestors_never_refuse_and_an_equal_state_is_the_same_object(new_world, steps):
    """Whatever happens anywhere: only the addressed scope refuses, and what changed differs."""
    world = new_world()
    for event, level in steps:
        with suppress(Rejected):  # from above the address it would come as a ReducerError
            transitions = world.send(level, event)

            assert all(change.before != change.after for change in transitions)
