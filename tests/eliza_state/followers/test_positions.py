"""How far followers have come is known by name, and forgotten when it is of no more use."""

from __future__ import annotations

import pytest

from eliza_state.errors import StateError
from eliza_state.event import event_type
from eliza_state.followers.positions import FollowerForgotten
from tests.eliza_state.chat import TALK, Said


def nothing(told, write) -> None:
    """Derive nothing."""


async def test_places_are_those_of_all_followers_there_ever_were(manager, followers):
    await manager.dispatch(Said(user="ada", text="hello"), to=TALK)
    first = await followers.follow("first", nothing)
    await first.settled()
    await first.close()
    await followers.follow("second", nothing, start="now")

    assert set(await followers.places()) == {"first", "second"}


async def test_a_store_without_followers_has_no_places(followers):
    assert await followers.places() == {}


async def test_a_forgotten_follower_begins_anew(manager, followers):
    await manager.dispatch(Said(user="ada", text="hello"), to=TALK)
    follower = await followers.follow("f", nothing, start="now")
    await follower.close()
    await followers.forget("f")
    heard: list[str] = []
    again = await followers.follow("f", lambda told, write: heard.append(told.event.text), events=[Said])
    await again.settled()

    assert heard == ["hello"]


async def test_one_that_runs_is_not_forgotten(followers):
    await followers.follow("f", nothing)

    with pytest.raises(StateError, match="'f' is being followed here"):
        await followers.forget("f")


async def test_a_name_that_nobody_knows_is_forgotten_already(manager, followers):
    await followers.places()
    position = await manager.position()
    await followers.forget("f")

    assert await manager.position() == position


async def test_what_is_forgotten_is_kept_by_an_erasure(manager, followers):
    """A record that says so has no content of anybody's; without it the place would come back."""
    follower = await followers.follow("f", nothing)
    await follower.close()
    await followers.forget("f")
    await manager.root.erase()
    records = await manager.root.records(limit=None)

    assert [record.is_erased for record in records if record.event == event_type(FollowerForgotten).name] == [
        False
    ]
    assert await followers.places() == {}
