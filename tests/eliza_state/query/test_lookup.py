from __future__ import annotations

import pytest

from eliza_state.query import F
from tests.eliza_state.query.forum import ForumModule, TopicChosen, at_hour, post, talk


@pytest.fixture
async def manager(memory):
    for number in range(40):
        await memory.dispatch(
            post(
                f"m{number}",
                author=f"u{number % 10}",
                score=number,
                at=at_hour(number % 3),
                tags=frozenset(["red"] if number % 2 else []),
            ),
            to=talk(f"c{number % 2}"),
        )
    await memory.dispatch(TopicChosen(topic="tea"), to=talk("c1"))
    return memory


@pytest.mark.parametrize(
    ("condition", "loaded", "scanned"),
    [
        (None, "everything", ()),
        (F.author == "u1", "author", ()),
        ((F.author == "u1") & (F.score == 1), "author & score", ()),
        ((F.author == "u1") & (F.hour == at_hour(1)), "author+hour", ()),
        (F.author.in_(["u1", "u2"]), "author", ()),
        ((F.score > 3) & (F.score <= 9), "score & score", ()),
        (F.tags.contains("red"), "tags", ()),
        (F.topic == "tea", "topic", ()),
        ((F.author == "u1") | (F.score < 2), "author | score", ()),
        ((F.author == "u1") & F.id.startswith("m"), "author", ('id startswith "m"',)),
        (F.author > "u1", "everything", ('author > "u1"',)),
        (F.author != "u1", "everything", ('author != "u1"',)),
        ((F.author == "u1") | (F.at == at_hour(1)), "everything", ('at == "2026-01-01T01:00:00+00:00"',)),
        (~(F.at == at_hour(1)) & (F.author == "u1"), "author", ('at == "2026-01-01T01:00:00+00:00"',)),
    ],
)
async def test_it_is_told_which_indexes_are_used_and_what_has_none(manager, condition, loaded, scanned):
    explanation = await manager.queries.explain(ForumModule, where=condition)

    assert (explanation.loaded, explanation.scanned) == (loaded, scanned)


async def test_the_explanation_is_text_for_people(manager):
    explanation = await manager.queries.explain(ForumModule, where=(F.author == "u1") & F.at.exists())

    assert str(explanation) == (
        "position 41\n"
        "in memory (2 scopes): author\n"
        "elsewhere: each scope is opened and looked through\n"
        "no index for: at exists\n"
        "0 scopes opened, 0 entries tested, 4 found"
    )


async def test_indexes_of_several_sorts_are_taken_together(manager):
    condition = (F.tags.contains("red")) & (F.score.between(3, 4)) & (F.author.in_(["u3", "u4", "u5"]))
    answer = await manager.query(ForumModule, where=condition)

    assert [match.key for match in answer] == ["m3"]


async def test_in_one_small_scope_its_entries_are_looked_at(manager):
    await manager.dispatch(post("only", author="u1"), to=talk("small"))
    answer = await manager.query(ForumModule, where=F.author == "u1", below=talk("small"))

    assert [match.key for match in answer] == ["only"]
