"""Participants, context and history of a room."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_modules.conversation import ContextSwitched, MessageDeleted, MessageReceived
from eliza_modules.room import (
    MessageReference,
    RoomClosed,
    RoomMetadataChanged,
    RoomModule,
    RoomState,
    UserJoined,
    UserLeft,
    UserRenamed,
)
from eliza_state.errors import RegistrationError, Rejected
from eliza_state.event import event_type
from eliza_state.path import Path

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ROOM = Path().child("agent", "eliza").child("room", "general")
TEA = ROOM.child("conversation", "tea")
RAIN = ROOM.child("conversation", "rain")


def said(identifier, *, user="ada"):
    return MessageReceived(id=identifier, user=user, text="hello")


def test_starts_empty(world):
    assert RoomState() == world.state("room")


def test_a_closed_room_says_so(world):
    world.send("room", RoomClosed(at=NOON))

    assert world.state("room").closed


def test_a_closed_room_ends_its_scope():
    assert event_type(RoomClosed).ends_scope


def test_what_is_closed_below_a_room_does_not_close_it(world):
    world.send("conversation", RoomClosed())

    assert not world.state("room").closed


def test_who_joins_is_in(world):
    world.send("room", UserJoined(user="ada", at=NOON), UserJoined(user="bob"))

    assert list(world.state("room").participants) == ["ada", "bob"]


def test_who_speaks_is_in(world):
    world.send("conversation", said("m1", user="ada"))

    assert list(world.state("room").participants) == ["ada"]


def test_who_left_is_out(world):
    world.send("room", UserJoined(user="ada"), UserJoined(user="bob"), UserLeft(user="ada", at=NOON))

    assert list(world.state("room").participants) == ["bob"]


def test_a_new_name_takes_the_place_of_the_old_one(world):
    world.send("room", UserJoined(user="ada"), UserRenamed(user="ada", name="countess", at=NOON))

    assert list(world.state("room").participants) == ["countess"]


def test_a_new_name_is_in_even_if_the_old_one_was_not(world):
    world.send("room", UserRenamed(user="ada", name="countess"))

    assert list(world.state("room").participants) == ["countess"]


def test_a_rename_to_the_same_name_keeps_the_user_in(world):
    world.send("room", UserJoined(user="ada"))

    assert world.send("room", UserRenamed(user="ada", name="ada")) == []
    assert list(world.state("room").participants) == ["ada"]


@pytest.mark.parametrize(
    "event",
    [
        UserJoined(user=""),
        UserLeft(user=""),
        UserRenamed(user="", name="ada"),
        UserRenamed(user="ada", name=""),
    ],
)
def test_an_empty_user_is_rejected(world, event):
    with pytest.raises(Rejected, match="non-empty text"):
        world.send("room", event)


def test_a_message_is_referred_to_without_its_text(world):
    world.send(TEA, MessageReceived(id="m1", user="ada", text="hello", at=NOON))

    assert (MessageReference("tea", "m1", "ada", NOON),) == world.state("room").history


def test_a_message_to_the_room_itself_has_no_conversation(world):
    world.send("room", said("m1"))

    assert (MessageReference(None, "m1", "ada"),) == world.state("room").history


def test_the_history_holds_the_messages_of_all_conversations(world):
    world.send(TEA, said("m1"))
    world.send(RAIN, said("m1"))
    world.send(TEA, said("m2"))

    references = [(reference.conversation, reference.message) for reference in world.state("room").history]
    assert references == [("tea", "m1"), ("rain", "m1"), ("tea", "m2")]


@pytest.mark.parametrize("limit", [1, 3])
def test_the_history_is_bounded(new_world, limit):
    world = new_world(RoomModule(history_limit=limit))
    world.send(TEA, *(said(f"m{number}") for number in range(5)))

    assert ["m2", "m3", "m4"][-limit:] == [reference.message for reference in world.state("room").history]


def test_the_history_holds_a_hundred_by_default(world):
    world.send(TEA, *(said(f"m{number}") for number in range(101)))

    assert len(world.state("room").history) == 100


def test_a_stored_history_follows_a_lower_limit():
    state = RoomState(history=tuple(MessageReference("tea", f"m{number}", "ada") for number in range(5)))
    state = RoomModule(history_limit=2).reduce(state, said("m5"))

    assert [reference.message for reference in state.history] == ["m4", "m5"]


@pytest.mark.parametrize("limit", [0, -1, 2.0, True, "many", None])
def test_a_limit_that_is_no_count_is_refused(limit):
    with pytest.raises(RegistrationError, match="history_limit counts references"):
        RoomModule(history_limit=limit)


def test_a_deleted_message_leaves_the_history_of_its_conversation_alone(world):
    world.send(TEA, said("m1"), said("m2"))
    world.send(RAIN, said("m1"))
    world.send(TEA, MessageDeleted(id="m1"))

    references = [(reference.conversation, reference.message) for reference in world.state("room").history]
    assert references == [("tea", "m2"), ("rain", "m1")]


def test_deleting_a_message_that_the_history_has_lost_changes_nothing_in_the_room(new_world):
    world = new_world(RoomModule(history_limit=1))
    world.send(TEA, said("m1"), said("m2"))

    assert [change.name for change in world.send(TEA, MessageDeleted(id="m1"))] == ["system", "conversation"]


@pytest.mark.parametrize("path", [ROOM, TEA])
def test_the_context_follows_a_switch_in_the_room_or_in_a_conversation(world, path):
    world.send(path, ContextSwitched(context="tea"))

    assert world.state("room").context == "tea"


def test_a_switch_in_the_room_leaves_the_topics_of_its_conversations(world):
    world.send("room", ContextSwitched(context="tea"))

    assert world.state("conversation").topic is None


def test_metadata_is_kept_by_key(world):
    world.send("room", RoomMetadataChanged(key="a", value=1), RoomMetadataChanged(key="b", value=None))

    assert dict(world.state("room").metadata) == {"a": 1, "b": None}


def test_metadata_without_a_key_is_rejected(world):
    with pytest.raises(Rejected, match="a key is a non-empty text"):
        world.send("room", RoomMetadataChanged(key="", value=1))


@pytest.mark.parametrize(
    "event",
    [
        UserJoined(user="ada"),
        UserLeft(user="bob"),
        UserRenamed(user="bob", name="ada"),
        ContextSwitched(context="".join(["t", "ea"])),
        RoomMetadataChanged(key="purpose", value="".join(["t", "alk"])),
        MessageDeleted(id="m1"),
    ],
)
def test_what_is_so_already_changes_nothing(world, event):
    world.send(
        "room",
        UserJoined(user="ada"),
        ContextSwitched(context="tea"),
        RoomMetadataChanged(key="purpose", value="talk"),
    )
    before = world.state("room")

    assert RoomModule().reduce(before, event) is before


@pytest.mark.parametrize("event", [UserJoined(user=""), UserLeft(user=""), UserRenamed(user="", name="")])
def test_an_event_addressed_further_down_is_not_refused(world, event):
    world.send("conversation", event)

    assert RoomState() == world.state("room")


USERS = st.sampled_from("abcd")
EVENTS = st.one_of(
    st.builds(UserJoined, user=USERS),
    st.builds(UserLeft, user=USERS),
    st.builds(UserRenamed, user=USERS, name=USERS),
    st.builds(MessageReceived, id=st.just("m"), user=USERS, text=st.just("x")),
)


@given(st.lists(EVENTS, max_size=40))
def test_participants_follow_a_model_of_a_set(events):
    module, state = RoomModule(history_limit=3), RoomState()
    model: set[str] = set()
    for event in events:
        state = module.reduce(state, event)
        if isinstance(event, UserLeft | UserRenamed):
            model.discard(event.user)
        if isinstance(event, UserJoined | MessageReceived):
            model.add(event.user)
        if isinstance(event, UserRenamed):
            model.add(event.name)

        assert model == set(state.participants)
        assert len(state.history) <= 3
