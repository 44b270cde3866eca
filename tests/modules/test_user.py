"""Who a user is."""

from __future__ import annotations

import pytest

from eliza_modules.user import UserModule, UserState, UserUpdated
from eliza_state.errors import Rejected
from eliza_state.path import Path


def test_nothing_is_known_at_first(world):
    assert UserState(id="", name="", avatar="") == world.state("user")


def test_an_update_sets_what_it_carries(world):
    world.send("user", UserUpdated(id="u1", name="Ada", avatar="ada.png"))

    assert UserState(id="u1", name="Ada", avatar="ada.png") == world.state("user")


def test_the_id_is_the_scopes_unless_an_event_gives_one(world):
    world.send("user", UserUpdated(name="Ada"))

    assert UserState(id="ada", name="Ada") == world.state("user")


def test_an_id_once_given_stays(world):
    world.send("user", UserUpdated(id="u1"), UserUpdated(name="Ada"))

    assert UserState(id="u1", name="Ada") == world.state("user")


def test_without_an_address_the_id_stays_unknown():
    state = UserModule().reduce(UserState(), UserUpdated(name="Ada"))

    assert UserState(name="Ada") == state


def test_what_an_update_leaves_out_stays(world):
    world.send("user", UserUpdated(name="Ada", avatar="ada.png"), UserUpdated(name="Countess"))

    assert world.state("user").avatar == "ada.png"


def test_an_empty_text_clears(world):
    world.send("user", UserUpdated(name="Ada", avatar="ada.png"), UserUpdated(avatar=""))

    assert UserState(id="ada", name="Ada") == world.state("user")


def test_an_empty_id_is_rejected(world):
    with pytest.raises(Rejected, match="id is a non-empty text"):
        world.send("user", UserUpdated(id="", name="Ada"))


@pytest.mark.parametrize(
    "update", [UserUpdated(), UserUpdated(name="".join(["A", "da"])), UserUpdated(id="ada")]
)
def test_an_update_without_news_changes_nothing(world, update):
    world.send("user", UserUpdated(name="Ada"))

    assert world.send("user", update) == []


def test_users_are_known_per_agent(world):
    world.send(Path().child("agent", "one").child("user", "ada"), UserUpdated(name="Ada"))

    assert UserState() == world.state(Path().child("agent", "two").child("user", "ada"))
