from __future__ import annotations

import datetime
from collections import Counter
from typing import Any, ClassVar

import attrs
import pytest

from eliza_state import StateManager
from eliza_state.collections import Entities, Map
from eliza_state.errors import InvalidPath, RegistrationError, StoreError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.indexes import Index
from eliza_state.module import StateModule, compose, reduces
from eliza_state.query import F, InvalidQuery, Match, field
from tests.eliza_state.query.forum import ROOM, START, ForumModule, TopicChosen, at_hour, post, talk


async def filled(manager: StateManager) -> None:
    for number in range(6):
        await manager.dispatch(
            post(f"m{number}", author="ada" if number % 2 else "bob", at=at_hour(number), score=number),
            to=talk("c1" if number < 3 else "c2"),
        )
    await manager.dispatch(TopicChosen(topic="tea"), to=talk("c1"))


def keys(answer: Any) -> list[Any]:
    return [match.key for match in answer]


async def test_a_match_names_scope_key_and_entry(memory):
    await memory.dispatch(post("m1", author="ada"), to=talk())
    (match,) = await memory.query(ForumModule, of="posts", where=F.author == "ada")

    assert (match.path, match.key, match.entry) == (talk(), "m1", post("m1", author="ada").post)


async def test_an_answer_says_which_position_it_is_true_at(memory):
    await filled(memory)
    answer = await memory.query("forum", of="posts")

    assert answer.position == await memory.position() == 7


async def test_without_a_condition_all_entries_come_by_path_and_key(memory):
    await filled(memory)

    assert keys(await memory.query(ForumModule, of="posts")) == ["m0", "m1", "m2", "m3", "m4", "m5"]


async def test_only_scopes_at_and_below_the_path_are_asked(memory):
    await filled(memory)
    await memory.dispatch(post("other"), to=ROOM.parent.child("room", "general2").child("conversation", "c1"))

    assert len(await memory.query(ForumModule, of="posts", below=ROOM)) == 6
    assert keys(await memory.query(ForumModule, of="posts", below=talk("c1").encode())) == ["m0", "m1", "m2"]
    assert not await memory.query(ForumModule, of="posts", below=talk("c1").child("message", "m"))


async def test_the_one_collection_with_indexes_is_meant(memory):
    await filled(memory)

    assert len(await memory.query(ForumModule)) == 6


async def test_logs_and_maps_are_collections_too(memory):
    await filled(memory)
    log = await memory.query("forum", of="lines", where=F.value == "bob", below=talk("c1"))
    counts = await memory.query("forum", of="counts", where=(F.key == "ada") & (F.value > 1))

    assert keys(log) == [0, 2]
    assert [(match.path, match.entry) for match in counts] == [(talk("c2"), 2)]


async def test_an_order_by_several_fields(memory):
    await filled(memory)
    answer = await memory.query(ForumModule, order_by=("author", "-score"))

    assert keys(answer) == ["m5", "m3", "m1", "m4", "m2", "m0"]


async def test_none_comes_first_and_last_when_descending(memory):
    await memory.dispatch(post("m1", score=1), to=talk())
    await memory.dispatch(post("m2"), to=talk())

    assert keys(await memory.query(ForumModule, order_by="score")) == ["m2", "m1"]
    assert keys(await memory.query(ForumModule, order_by="-score")) == ["m1", "m2"]


async def test_values_of_several_kinds_have_an_order(memory):
    for number, lang in enumerate(["en", 2, None, True, [1], at_hour(1)]):
        await memory.dispatch(post(f"m{number}", meta={"lang": lang}), to=talk())
    answer = await memory.query(ForumModule, order_by="meta.lang")

    assert [match.entry.meta["lang"] for match in answer] == [None, True, 2, "en", at_hour(1), [1]]


async def test_pages_go_on_where_the_last_one_ended(memory):
    await filled(memory)
    first = await memory.query(ForumModule, order_by="-at", limit=4)
    await memory.dispatch(post("m9", at=at_hour(9)), to=talk("c1"))
    second = await memory.query(ForumModule, order_by="-at", limit=4, after=first.cursor)

    assert (keys(first), keys(second)) == (["m5", "m4", "m3", "m2"], ["m1", "m0"])
    assert second.cursor is None


async def test_a_cursor_belongs_to_its_order(memory):
    await filled(memory)
    page = await memory.query(ForumModule, order_by="-at", limit=1)

    with pytest.raises(InvalidQuery, match="not of a query ordered by"):
        await memory.query(ForumModule, order_by="at", after=page.cursor)


async def test_counts_and_groups(memory):
    await filled(memory)

    assert await memory.queries.count(ForumModule, where=F.topic == "tea") == 3
    assert await memory.queries.groups(ForumModule, by="author", where=F.score < 5) == Counter(bob=3, ada=2)
    assert await memory.queries.groups(ForumModule, by="topic") == Counter({"tea": 3, None: 3})


async def test_what_has_no_hash_cannot_be_counted_by(memory):
    await memory.dispatch(post("m1", meta={"lang": ["en"]}), to=talk())

    with pytest.raises(InvalidQuery, match="cannot be counted by"):
        await memory.queries.groups(ForumModule, by="meta.lang")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (F.autor == "ada", "no field 'autor'; did you mean 'author'"),
        (F.token == "x", "'token' is a secret"),
        (F.token.exists(), "'token' is a secret"),
        (F.score == "high", "'score' holds nothing or number, got 'high'"),
        (F.at > "yesterday", "'at' holds nothing or moment, got 'yesterday'"),
        (F.score.startswith("1"), "startswith is for text"),
        (F.score.contains(1), "nothing in it to look for"),
        (F.tags == "red", "'tags' holds an object, got 'red'"),
    ],
)
async def test_a_query_that_cannot_mean_anything_is_refused(memory, condition, message):
    with pytest.raises(InvalidQuery, match=message):
        await memory.query(ForumModule, where=condition)


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 1.5}, {"order_by": "-autor"}, {"order_by": [1]}])
async def test_other_mistakes_are_refused(memory, options):
    with pytest.raises(InvalidQuery):
        await memory.query(ForumModule, **options)


async def test_it_is_not_sorted_by_secrets(memory):
    with pytest.raises(InvalidQuery, match="secret"):
        await memory.query(ForumModule, order_by="token")


async def test_an_unknown_module_or_collection_is_an_error(memory):
    with pytest.raises(RegistrationError, match="did you mean 'forum'"):
        await memory.query("forums")
    with pytest.raises(InvalidQuery, match="no collection 'post'; did you mean 'posts'"):
        await memory.query("forum", of="post")
    with pytest.raises(InvalidPath):
        await memory.query("forum", below="planet:mars")


async def test_text_is_read_as_what_the_field_holds(memory):
    await filled(memory)

    assert keys(await memory.query(ForumModule, where=F.at == "2026-01-01T02:00:00")) == ["m2"]
    assert keys(await memory.query(ForumModule, where=F.hour >= "2026-01-01T06:00+02:00")) == ["m4", "m5"]


async def test_a_time_without_a_zone_is_another_kind(memory):
    await filled(memory)

    assert not await memory.query(ForumModule, where=F.at >= START.replace(tzinfo=None))


async def test_long_conditions_are_answered(open_forum):
    manager = await open_forum()
    await filled(manager)
    many = F.author == "nobody"
    for number in range(1_000):
        many |= F.author == f"nobody{number}"
    many |= F.author == "ada"

    assert keys(await manager.query(ForumModule, where=many)) == ["m1", "m3", "m5"]
    names = [f"nobody{number}" for number in range(50_000)]
    assert keys(await manager.query(ForumModule, where=F.author.in_(["ada", *names]))) == ["m1", "m3", "m5"]


async def test_a_closed_manager_answers_nothing(open_forum):
    manager = await open_forum()
    await filled(manager)
    await manager.close()

    with pytest.raises(StoreError, match="closed"):
        await manager.query(ForumModule)


async def test_what_is_announced_is_found_before_it_is_durable(open_forum):
    manager = await open_forum(durability="buffered")
    await filled(manager)

    assert len(await manager.query(ForumModule, where=F.author == "ada")) == 3


async def test_a_module_of_a_composition_is_named_by_its_slice(open_forum):
    manager = await open_forum(compose("all", ForumModule()))
    await filled(manager)

    assert len(await manager.query("all.forum", where=F.author == "ada")) == 3
    assert len(await manager.query(ForumModule, where=F.author == "ada")) == 3


@attrs.frozen
class Typist:
    id: str


@attrs.frozen
class Typists:
    names: Entities[Typist] = attrs.field(factory=Entities[Typist])
    mixed: Map[Any, int] = attrs.field(factory=Map[Any, int])


@event("types_now")
class TypesNow:
    id: str


class TypistsModule(StateModule[Typists]):
    name = "typists"
    level = "global"
    volatile = True
    indexes: ClassVar[Any] = {"names": (Index("id"), Index("broken", key=lambda typist: typist.nothing))}

    @reduces(TypesNow)
    def take(self, state: Typists, event: TypesNow) -> Typists:
        mixed = state.mixed.set(len(state.mixed), 1).set(event.id, 2).set(True, 3).set((1, 2), 4)
        return evolve(state, names=state.names.upsert(Typist(event.id)), mixed=mixed)


async def test_volatile_state_at_the_root_is_found(open_forum):
    manager = await open_forum(TypistsModule())
    await manager.dispatch(TypesNow(id="ada"), to="")

    assert keys(await manager.query(TypistsModule, where=F.id == "ada")) == ["ada"]


async def test_keys_of_several_kinds_have_an_order(memory):
    await memory.register_module(TypistsModule())
    await memory.dispatch(TypesNow(id="ada"), to="")
    found = keys(await memory.query(TypistsModule, of="mixed", where=F.value.in_([1, 2, 3])))

    assert sorted(map(repr, found)) == ["'ada'", "0", "True"]


async def test_a_function_that_raises_gives_none_and_is_reported_once(memory):
    await memory.register_module(TypistsModule())
    await memory.dispatch(TypesNow(id="ada"), to="")
    await memory.dispatch(TypesNow(id="bob"), to="")

    assert keys(await memory.query(TypistsModule, where=field("broken") == None)) == ["ada", "bob"]  # noqa: E711
    assert [problem.kind for problem in memory.problems] == ["index"]


async def test_matches_never_change(memory):
    await memory.dispatch(post("m1", score=1), to=talk())
    answer = await memory.query(ForumModule)
    await memory.dispatch(post("m1", score=2), to=talk())

    assert answer[0].entry.score == 1
    assert isinstance(answer[0], Match)
    assert (await memory.query(ForumModule))[0].entry.score == 2


async def test_a_choice_of_time_types(memory):
    await memory.dispatch(post("m1", at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)), to=talk())
    zone = datetime.timezone(datetime.timedelta(hours=5))

    assert keys(await memory.query(ForumModule, where=F.at == START.astimezone(zone))) == ["m1"]
