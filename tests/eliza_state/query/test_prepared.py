from __future__ import annotations

import pytest

from eliza_state.query import F, InvalidQuery, param
from tests.eliza_state.query.forum import ForumModule, TopicChosen, at_hour, post, talk


def keys(matches):
    return sorted(match.key for match in matches)


@pytest.mark.parametrize(
    ("condition", "given", "found"),
    [
        (F.author == param("who"), {"who": "ada"}, ["m1", "m3"]),
        ((F.author == param("who")) & (F.hour == param("hour")), {"who": "ada", "hour": at_hour(1)}, ["m1"]),
        (
            (F.author == param("who")) & (F.topic == "tea"),
            {"who": "bob"},
            ["m2"],
        ),
        ((F.author == param("who")) & (F.score > param("low")), {"who": "ada", "low": 1}, ["m3"]),
        (F.score.between(param("low"), param("high")), {"low": 1, "high": 2}, ["m1", "m2"]),
        (F.author.in_([param("one"), "eve"]), {"one": "bob"}, ["m2"]),
        ((F.author == "ada") & (F.hour == "2026-01-01T01:00"), {}, ["m1"]),
        (F.hour == param("hour"), {"hour": "2026-01-01T01:00"}, ["m1"]),
        (F.author == param("who"), {"who": "nobody"}, []),
    ],
)
async def test_it_finds_what_the_query_finds(memory, condition, given, found):
    for number in (1, 2, 3):
        await memory.dispatch(
            post(f"m{number}", author="ada" if number % 2 else "bob", score=number, at=at_hour(number)),
            to=talk(),
        )
    await memory.dispatch(TopicChosen(topic="tea"), to=talk())
    prepared = memory.queries.prepare(ForumModule, where=condition)

    assert keys(prepared.at_hand(**given)) == found
    assert keys(await prepared.run(**given)) == found


async def test_it_is_up_to_date_at_every_call(memory):
    prepared = memory.queries.prepare(ForumModule, where=F.author == "ada")
    seen = []
    for number in range(3):
        await memory.dispatch(post(f"m{number}"), to=talk(f"c{number}"))
        seen.append(len(prepared.at_hand()))
    await memory.dispatch(post("m0", author="bob"), to=talk("c0"))

    assert [*seen, len(prepared.at_hand())] == [1, 2, 3, 2]


async def test_it_is_up_to_date_within_a_receiver(memory):
    seen = []
    memory.subscribe(lambda change: seen.append(len(prepared.at_hand())))
    prepared = memory.queries.prepare(ForumModule, where=F.author == "ada")
    for number in range(3):
        await memory.dispatch(post(f"m{number}"), to=talk())

    assert seen == [1, 2, 3]


async def test_at_hand_are_the_loaded_scopes_alone(open_forum):
    manager = await open_forum()
    for number in range(12):
        await manager.dispatch(post("m1"), to=talk(f"c{number}"))
    prepared = manager.queries.prepare(ForumModule, where=F.author == "ada")
    loaded = len(prepared.at_hand())

    assert 0 < loaded < 5
    assert len(await prepared.run()) == 12
    await manager.at(talk("c1")).state()
    assert talk("c1") in {match.path for match in prepared.at_hand()}


async def test_an_evicted_scope_that_changed_elsewhere_is_not_answered_from_memory(open_forum):
    manager, other = await open_forum(), await open_forum()
    await manager.dispatch(post("m1", author="ada"), to=talk("first"))
    prepared = manager.queries.prepare(ForumModule, where=F.author == "ada", below=talk("first"))
    assert len(prepared.at_hand()) == 1
    for number in range(12):
        await manager.dispatch(post("m1", author="bob"), to=talk(f"c{number}"))
    await other.dispatch(post("m1", author="eve"), to=talk("first"))
    await manager.refresh()

    assert prepared.at_hand() == []
    assert len(await prepared.run()) == 0


async def test_order_limit_and_path_hold_at_hand_too(memory):
    for number in range(4):
        await memory.dispatch(post(f"m{number}", score=number), to=talk("c1" if number < 3 else "c2"))
    prepared = memory.queries.prepare(ForumModule, below=talk("c1"), order_by="-score", limit=2)

    assert [match.key for match in prepared.at_hand()] == ["m2", "m1"]


async def test_every_parameter_is_wanted_and_no_other(memory):
    prepared = memory.queries.prepare(ForumModule, where=F.author == param("who"))

    for given in ({}, {"whom": "ada"}, {"who": "ada", "more": 1}):
        with pytest.raises(InvalidQuery, match="takes \\['who'\\]"):
            prepared.at_hand(**given)
        with pytest.raises(InvalidQuery, match="takes \\['who'\\]"):
            await prepared.run(**given)


async def test_parameters_are_checked_like_values(memory):
    prepared = memory.queries.prepare(ForumModule, where=F.score == param("score"))

    with pytest.raises(InvalidQuery, match="'score' holds"):
        prepared.at_hand(score="high")


async def test_true_is_not_one(memory):
    await memory.dispatch(post("m1", meta={"lang": True}), to=talk())
    await memory.dispatch(post("m2", meta={"lang": 1}), to=talk())
    prepared = memory.queries.prepare(ForumModule, where=F.meta["lang"] == param("lang"))

    assert keys(prepared.at_hand(lang=True)) == ["m1"]
    assert keys(prepared.at_hand(lang=1)) == keys(prepared.at_hand(lang=1.0)) == ["m2"]


async def test_pages_of_a_prepared_query(memory):
    for number in range(3):
        await memory.dispatch(post(f"m{number}"), to=talk())
    prepared = memory.queries.prepare(ForumModule, limit=2)
    first = await prepared.run()

    assert keys(await prepared.run(after=first.cursor)) == ["m2"]


async def test_it_explains_itself(memory):
    await memory.dispatch(post("m1"), to=talk())
    prepared = memory.queries.prepare(ForumModule, where=(F.author == param("who")) & F.at.exists())
    explanation = await prepared.explain(who="ada")

    assert explanation.loaded == "author"
    assert explanation.scanned == ("at exists",)
