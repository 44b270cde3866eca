"""Messages, topic, sentiment and goals of a conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf, nan

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_modules.conversation import (
    ContextSwitched,
    ConversationEnded,
    ConversationModule,
    ConversationState,
    Goal,
    GoalAdded,
    GoalCompleted,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    SentimentUpdated,
    TopicUpdated,
)
from eliza_state.errors import Rejected
from eliza_state.event import event_type

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def again(text):
    """An equal text that is another object, as one that was read anew."""
    return "".join(list(text))


def said(identifier, *, user="ada", text="hello"):
    return MessageReceived(id=identifier, user=user, text=text)


def test_starts_empty(world):
    state = world.state("conversation")

    assert ConversationState() == state
    assert (
        len(state.messages),
        len(state.participants),
        state.topic,
        state.sentiment,
        len(state.active_goals),
        state.ended,
    ) == (0, 0, None, 0.0, 0, False)


def test_a_message_is_kept_as_it_came(world):
    event = MessageReceived(
        id="m1", user="ada", text="hello", at=NOON, reply_to="m0", metadata={"client": "web"}
    )
    world.send("conversation", event)

    assert (
        Message(
            id="m1", user="ada", text="hello", at=NOON, reply_to="m0", metadata={"client": "web"}, edits=0
        )
        == (world.state("conversation").messages["m1"])
    )


def test_messages_stand_in_the_order_they_were_received(world):
    world.send("conversation", said("m2"), said("m1"), said("m3"))

    assert world.state("conversation").messages.ids() == ("m2", "m1", "m3")


def test_a_repeated_id_is_rejected(world):
    world.send("conversation", said("m1"))
    before = world.state("conversation")

    with pytest.raises(Rejected, match="message 'm1' is in the conversation already"):
        world.send("conversation", said("m1", text="other"))
    assert world.state("conversation") is before


@pytest.mark.parametrize(("identifier", "user"), [("", "ada"), ("m1", "")])
def test_a_message_without_id_or_user_is_rejected(world, identifier, user):
    with pytest.raises(Rejected, match="a message has an id and a user"):
        world.send("conversation", said(identifier, user=user))


def test_participants_are_those_who_spoke(world):
    world.send("conversation", said("m1", user="ada"), said("m2", user="bob"), said("m3", user="ada"))

    assert list(world.state("conversation").participants) == ["ada", "bob"]


def test_an_edit_leaves_all_but_the_text(world):
    received = MessageReceived(id="m1", user="ada", text="helo", at=NOON, reply_to="m0", metadata={"a": 1})
    world.send("conversation", received)
    before = world.state("conversation").messages["m1"]
    world.send("conversation", MessageEdited(id="m1", text="hello"))

    assert attrs.evolve(before, text="hello", edits=1) == world.state("conversation").messages["m1"]


def test_edits_are_counted(world):
    world.send("conversation", said("m1"), MessageEdited(id="m1", text="a"), MessageEdited(id="m1", text="b"))

    assert world.state("conversation").messages["m1"].edits == 2


def test_an_edit_leaves_the_order(world):
    world.send("conversation", said("m1"), said("m2"), MessageEdited(id="m1", text="edited"))

    assert world.state("conversation").messages.ids() == ("m1", "m2")


def test_an_edit_to_the_same_text_changes_nothing_in_the_conversation(world):
    world.send("conversation", said("m1", text="hello"))
    changed = world.send("conversation", MessageEdited(id="m1", text=again("hello")))

    assert "conversation" not in [transition.name for transition in changed]


@pytest.mark.parametrize("event", [MessageEdited(id="m2", text="x"), MessageDeleted(id="m2")])
def test_a_change_to_a_message_that_is_not_there_is_rejected(world, event):
    world.send("conversation", said("m1"))

    with pytest.raises(Rejected, match=r"no message 'm2' to (edit|delete)"):
        world.send("conversation", event)


def test_a_deleted_message_is_gone_and_its_author_stays(world):
    world.send("conversation", said("m1"), said("m2", user="bob"), MessageDeleted(id="m1"))

    assert world.state("conversation").messages.ids() == ("m2",)
    assert list(world.state("conversation").participants) == ["ada", "bob"]


def test_the_id_of_a_deleted_message_is_free_again(world):
    world.send("conversation", said("m1"), said("m2"), MessageDeleted(id="m1"), said("m1", text="anew"))

    assert world.state("conversation").messages.ids() == ("m2", "m1")
    assert world.state("conversation").messages["m1"].text == "anew"


@pytest.mark.parametrize("event", [TopicUpdated(topic="tea"), ContextSwitched(context="tea")])
def test_a_topic_comes_by_itself_or_with_the_context(world, event):
    world.send("conversation", event)

    assert world.state("conversation").topic == "tea"


@pytest.mark.parametrize(
    "event", [TopicUpdated(topic=None), TopicUpdated(topic=""), ContextSwitched(context="")]
)
def test_an_empty_topic_takes_the_topic_away(world, event):
    world.send("conversation", TopicUpdated(topic="tea"), event)

    assert world.state("conversation").topic is None


@pytest.mark.parametrize("sentiment", [-1, -0.25, 1.0])
def test_a_sentiment_lies_from_minus_one_to_one(world, sentiment):
    world.send("conversation", SentimentUpdated(sentiment=sentiment))

    assert sentiment == world.state("conversation").sentiment


@pytest.mark.parametrize("sentiment", [1.01, -1.01, inf, -inf, nan])
def test_another_sentiment_is_rejected(world, sentiment):
    with pytest.raises(Rejected, match="a sentiment lies from -1 to 1"):
        world.send("conversation", SentimentUpdated(sentiment=sentiment))


def test_a_goal_is_active_until_it_is_completed(world):
    world.send("conversation", GoalAdded(id="g1", description="find a room", priority=2))
    active = list(world.state("conversation").active_goals)
    world.send("conversation", GoalCompleted(id="g1"))

    assert [Goal(id="g1", description="find a room", priority=2, completed=False)] == active
    assert list(world.state("conversation").active_goals) == []


def test_a_goal_that_is_active_already_is_rejected(world):
    world.send("conversation", GoalAdded(id="g1", description="find a room"))

    with pytest.raises(Rejected, match="goal 'g1' is active"):
        world.send("conversation", GoalAdded(id="g1", description="another"))


def test_a_completed_goal_may_be_set_again(world):
    goal = GoalAdded(id="g1", description="find a room")
    world.send("conversation", goal, GoalCompleted(id="g1"), goal)

    assert world.state("conversation").active_goals.ids() == ("g1",)


def test_a_goal_without_id_is_rejected(world):
    with pytest.raises(Rejected, match="a goal's id is a non-empty text"):
        world.send("conversation", GoalAdded(id="", description="nothing"))


def test_the_completion_of_a_goal_that_is_not_active_here_is_rejected(world):
    world.send("agent", GoalAdded(id="g1", description="the agent's own"))

    with pytest.raises(Rejected, match="no active goal 'g1'"):
        world.send("conversation", GoalCompleted(id="g1"))


def test_the_end_is_noted(world):
    world.send("conversation", ConversationEnded(at=NOON))
    state = world.state("conversation")

    assert (state.ended, state.ended_at) == (True, NOON)


def test_only_the_end_ends_the_scope():
    ending = [cls for cls in ConversationModule().handlers() if event_type(cls).ends_scope]

    assert [ConversationEnded] == ending


@pytest.mark.parametrize(
    "event",
    [
        ContextSwitched(context=again("tea")),
        TopicUpdated(topic=again("tea")),
        SentimentUpdated(sentiment=float("0.1")),
        ConversationEnded(),
    ],
)
def test_what_is_so_already_changes_nothing(event):
    module = ConversationModule()
    state = ConversationState(topic="tea", sentiment=0.1, ended=True, ended_at=NOON)

    assert module.reduce(state, event) is state


@pytest.mark.parametrize(
    "event",
    [
        said("m1"),
        said(""),
        MessageEdited(id="m2", text="x"),
        MessageDeleted(id="m2"),
        SentimentUpdated(sentiment=nan),
        GoalAdded(id="g1", description="again"),
        GoalAdded(id="", description="nothing"),
        GoalCompleted(id="g2"),
    ],
)
def test_an_event_addressed_further_down_is_not_refused(world, event):
    world.send("conversation", said("m1"), GoalAdded(id="g1", description="find a room"))
    before = world.state("conversation")
    world.send("message", event)

    assert world.state("conversation") is before


EVENTS = st.one_of(
    st.builds(
        MessageReceived,
        id=st.sampled_from(["", "1", "2", "3"]),
        user=st.sampled_from("ab"),
        text=st.text(max_size=2),
    ),
    st.builds(MessageEdited, id=st.sampled_from("123"), text=st.text(max_size=2)),
    st.builds(MessageDeleted, id=st.sampled_from("123")),
)


@given(st.lists(EVENTS, max_size=30))
def test_messages_follow_a_model_of_a_dict(events):
    module, state = ConversationModule(), ConversationState()
    texts: dict[str, str] = {}
    speakers: set[str] = set()
    for event in events:
        new = isinstance(event, MessageReceived)
        if event.id == "" or new is (event.id in texts):
            with pytest.raises(Rejected):
                module.reduce(state, event)
            continue
        state = module.reduce(state, event)
        if isinstance(event, MessageDeleted):
            del texts[event.id]
        else:
            texts[event.id] = event.text
        speakers |= {event.user} if new else set()

        assert list(texts.items()) == [(message.id, message.text) for message in state.messages]
        assert speakers == set(state.participants)
