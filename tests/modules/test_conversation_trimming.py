"""Letting go of the old messages of a conversation, and of what its room refers to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_modules.conversation import MessageDeleted, MessageReceived, MessagesTrimmed
from eliza_modules.room import RoomModule
from eliza_state.errors import Rejected

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def said(number, *, at=NOON, user="ada"):
    """A message that came so many hours after noon."""
    return MessageReceived(id=f"m{number}", user=user, text="hello", at=at and at + timedelta(hours=number))


def referred(world):
    """The ids of the messages that the room refers to."""
    return [reference.message for reference in world.state("room").history]


def test_the_last_messages_stay(world):
    world.send("conversation", said(1), said(2), said(3), MessagesTrimmed(keep=2))

    assert world.state("conversation").messages.ids() == ("m2", "m3")


def test_none_are_kept_where_none_are_to_be(world):
    world.send("conversation", said(1), said(2), MessagesTrimmed(keep=0))

    assert not world.state("conversation").messages
    assert not referred(world)


def test_messages_from_before_a_time_go(world):
    world.send("conversation", said(1), said(2), said(3), MessagesTrimmed(before=NOON + timedelta(hours=2)))

    assert world.state("conversation").messages.ids() == ("m2", "m3")


def test_a_time_without_a_zone_counts_as_utc(world):
    before = datetime(2024, 5, 1, 14, tzinfo=UTC).replace(tzinfo=None)
    world.send("conversation", said(1), said(2), said(3), MessagesTrimmed(before=before))

    assert world.state("conversation").messages.ids() == ("m2", "m3")


def test_a_message_without_a_time_is_never_too_old(world):
    world.send("conversation", said(1, at=None), said(2), MessagesTrimmed(before=NOON + timedelta(days=1)))

    assert world.state("conversation").messages.ids() == ("m1",)


def test_number_and_time_hold_together(world):
    trimming = MessagesTrimmed(keep=2, before=NOON + timedelta(hours=3))
    world.send("conversation", said(1), said(2), said(3), trimming)

    assert world.state("conversation").messages.ids() == ("m3",)


def test_deleted_messages_do_not_count(world):
    world.send("conversation", said(1), said(2), said(3), MessageDeleted(id="m2"), MessagesTrimmed(keep=2))

    assert world.state("conversation").messages.ids() == ("m1", "m3")


def test_who_spoke_stays_a_participant(world):
    world.send("conversation", said(1, user="bob"), said(2), MessagesTrimmed(keep=1))

    assert list(world.state("conversation").participants) == ["bob", "ada"]


def test_the_id_of_a_trimmed_message_is_free_again(world):
    world.send("conversation", said(1), said(2), MessagesTrimmed(keep=1), said(1))

    assert world.state("conversation").messages.ids() == ("m2", "m1")


def test_a_trimming_that_finds_nothing_changes_nothing(world):
    world.send("conversation", said(1), said(2))

    assert world.send("conversation", MessagesTrimmed(keep=2, before=NOON)) == []


@pytest.mark.parametrize("event", [MessagesTrimmed(), MessagesTrimmed(keep=-1)])
@pytest.mark.parametrize("level", ["conversation", "room"])
def test_a_trimming_without_a_measure_is_rejected(world, event, level):
    with pytest.raises(Rejected, match="messages"):
        world.send(level, event)


def test_the_room_refers_to_what_is_left(world):
    other = world.path("room").child("conversation", "c2")
    world.send("conversation", said(1), said(2))
    world.send(other, said(1))
    world.send("conversation", said(3), MessagesTrimmed(keep=1))

    assert referred(world) == ["m1", "m3"]


messages = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([None, NOON])), max_size=8)
trimmings = st.builds(
    MessagesTrimmed,
    keep=st.integers(0, 5),
    before=st.sampled_from([None, NOON + timedelta(hours=3), NOON + timedelta(hours=6)]),
)


@given(messages, trimmings, messages)
def test_a_room_refers_to_messages_that_are_there(new_world, first, trimming, then):
    """However a conversation is trimmed, all that the history of its room names can be found."""
    world = new_world(RoomModule(history_limit=4))
    for number, at in (*first, *then):
        if number == 9 or f"m{number}" in world.state("conversation").messages:
            world.send("conversation", trimming)
        else:
            world.send("conversation", said(number, at=at))
    world.send("conversation", trimming)

    assert set(referred(world)) <= set(world.state("conversation").messages.ids())


@given(messages, trimmings)
def test_a_trimming_twice_is_one(new_world, said_so_far, trimming):
    world = new_world()
    for number, (_, at) in enumerate(said_so_far):
        world.send("conversation", said(number, at=at))
    world.send("conversation", trimming)

    assert world.send("conversation", trimming) == []
