"""A follower and what was erased: it goes past it, and hears of it if it asks to."""

from __future__ import annotations

from eliza_state.event import ScopeErased
from eliza_state.followers import FollowersModule
from tests.eliza_state.chat import OTHER, TALK, Said


async def say(manager, *texts, to=TALK):
    for text in texts:
        await manager.dispatch(Said(user="ada", text=text), to=to)


async def test_it_goes_past_what_was_erased(manager, followers):
    heard = []
    await say(manager, "one", "two", "three")
    await manager.root.erase(where=lambda event: event.text == "two")

    follower = await followers.follow("f", lambda told, write: heard.append(told.event))
    await follower.settled()

    assert ["one", "three"] == [event.text for event in heard]
    assert follower.error is None


async def test_it_hears_of_an_erasure_only_if_it_says_so(manager, followers):
    heard, others = [], []
    await followers.follow("f", lambda told, write: heard.append(told.event), events=[ScopeErased])
    await followers.follow("all", lambda told, write: others.append(type(told.event)))
    await say(manager, "one")
    await followers.settled()
    await manager.at(TALK).erase()
    await followers.settled()

    assert [1] == [event.count for event in heard]
    assert {Said} == set(others)


async def test_its_place_outlives_the_erasure_of_everything(manager, followers):
    heard = []
    follower = await followers.follow("f", lambda told, write: heard.append(told.event.text))
    await say(manager, "one")
    await followers.settled()
    await follower.close()
    before = (await manager.root.state(FollowersModule)).positions

    await manager.root.erase()

    assert before == (await manager.root.state(FollowersModule)).positions
    again = await followers.follow("f", lambda told, write: heard.append(told.event.text))
    await say(manager, "two", to=OTHER)
    await again.settled()
    assert ["one", "two"] == heard


async def test_what_it_derived_and_was_erased_does_not_come_back(manager, followers):
    def copy(told, write):
        write(Said(user="copy", text=told.event.text), to=OTHER)

    follower = await followers.follow("f", copy, events=[Said], below=TALK)
    await say(manager, "one")
    await follower.settled()
    await manager.at(OTHER).erase()

    (derived, _) = await manager.at(OTHER).records()
    again = await manager.dispatch(Said(user="copy", text="one"), to=OTHER, id=derived.id)

    assert again.duplicate
    assert [] == list((await manager.at(OTHER).state("talk")).texts)
