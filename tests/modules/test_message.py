"""What happens to one message: reactions and delivery."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_modules.message import (
    DELIVERY,
    DeliveryStatus,
    DeliveryUpdated,
    MessageModule,
    MessageState,
    ReactionAdded,
    ReactionRemoved,
)
from eliza_state.collections import Set
from eliza_state.errors import Rejected


def test_starts_pending_without_reactions(world):
    assert MessageState() == world.state("message")
    assert world.state("message").delivery == "pending"


def test_a_reaction_names_its_users_in_their_order(world):
    world.send("message", ReactionAdded(user="bob", reaction="+1"), ReactionAdded(user="ada", reaction="+1"))

    assert {"+1": Set(["bob", "ada"])} == dict(world.state("message").reactions)
    assert list(world.state("message").reactions["+1"]) == ["bob", "ada"]


def test_the_same_reaction_again_changes_nothing(world):
    world.send("message", ReactionAdded(user="ada", reaction="+1"))

    assert world.send("message", ReactionAdded(user="ada", reaction="+1")) == []


def test_a_reaction_taken_back_leaves_the_other_users(world):
    world.send("message", ReactionAdded(user="ada", reaction="+1"), ReactionAdded(user="bob", reaction="+1"))
    world.send("message", ReactionRemoved(user="ada", reaction="+1"))

    assert list(world.state("message").reactions["+1"]) == ["bob"]


def test_a_reaction_goes_with_its_last_user(world):
    world.send(
        "message", ReactionAdded(user="ada", reaction="+1"), ReactionRemoved(user="ada", reaction="+1")
    )

    assert MessageState() == world.state("message")


@pytest.mark.parametrize("user", ["ada", "bob"])
def test_taking_back_a_reaction_that_is_not_there_changes_nothing(world, user):
    world.send("message", ReactionAdded(user="ada", reaction="+1"))

    assert world.send("message", ReactionRemoved(user=user, reaction="-1")) == []


def test_taking_back_the_reaction_of_another_user_changes_nothing(world):
    world.send("message", ReactionAdded(user="ada", reaction="+1"))

    assert world.send("message", ReactionRemoved(user="bob", reaction="+1")) == []


@pytest.mark.parametrize("kind", [ReactionAdded, ReactionRemoved])
@pytest.mark.parametrize(("user", "reaction"), [("", "+1"), ("ada", "")])
def test_a_reaction_without_user_or_text_is_rejected(world, kind, user, reaction):
    with pytest.raises(Rejected, match="a reaction has a user and a text"):
        world.send("message", kind(user=user, reaction=reaction))


def test_the_table_of_deliveries_knows_every_status():
    statuses = set(get_args(DeliveryStatus))

    assert statuses == set(DELIVERY)
    assert all(following <= statuses for following in DELIVERY.values())


def test_receipts_move_the_delivery_on(world):
    seen = []
    for status in ("sent", "delivered", "read"):
        world.send("message", DeliveryUpdated(status=status))
        seen.append(world.state("message").delivery)

    assert seen == ["sent", "delivered", "read"]


def test_a_receipt_that_comes_late_changes_nothing(world):
    world.send("message", DeliveryUpdated(status="read"))

    assert world.send("message", DeliveryUpdated(status="delivered")) == []
    assert world.state("message").delivery == "read"


def test_a_failed_delivery_may_be_tried_again(world):
    world.send("message", DeliveryUpdated(status="failed"), DeliveryUpdated(status="sent"))

    assert world.state("message").delivery == "sent"


def test_an_unknown_status_is_rejected(world):
    with pytest.raises(Rejected, match=r"one of pending, .*, failed, got 'lost'"):
        world.send("message", DeliveryUpdated(status="lost"))


def test_nothing_above_the_message_changes(world):
    changed = world.send("message", ReactionAdded(user="ada", reaction="+1"), DeliveryUpdated(status="read"))

    assert [transition.name for transition in changed] == ["message", "message"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ReactionAdded, ReactionRemoved]), st.sampled_from("abc"), st.sampled_from("+-")
        ),
        max_size=30,
    )
)
def test_reactions_follow_a_model_of_sets(steps):
    module, state, model = MessageModule(), MessageState(), set()
    for kind, user, reaction in steps:
        before = state
        state = module.reduce(state, kind(user=user, reaction=reaction))
        changed = ((reaction, user) in model) is (kind is ReactionRemoved)
        (model.add if kind is ReactionAdded else model.discard)((reaction, user))

        assert changed is (state is not before)
    assert model == {(reaction, user) for reaction, users in state.reactions.items() for user in users}
    assert all(state.reactions.values())
