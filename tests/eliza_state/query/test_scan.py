"""Whatever happens to a store: what is found through indexes is what a look at every entry finds."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path as FilePath
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eliza_state import StateManager
from eliza_state.limits import Limits
from eliza_state.query import Condition, F, field
from tests.effort import examples
from tests.eliza_state.query.forum import (
    ROOM,
    ForumModule,
    Post,
    Posted,
    PostRemoved,
    TopicChosen,
    at_hour,
    hour_of,
    talk,
)

names = st.sampled_from(["c1", "c2", "c3"])
authors = st.sampled_from(["ada", "bob", "b\0b", "eve"])
hours = st.none() | st.integers(0, 3).map(at_hour)
scores = st.sampled_from([None, 0, 1, 1.0, 1.5, -2, 2**60, 2**60 + 1])
tags = st.frozensets(st.sampled_from(["red", "blue"]))
languages = st.sampled_from(
    [{}, {"lang": "en"}, {"lang": 1}, {"lang": True}, {"lang": None}, {"lang": ["en"]}]
)
posts = st.builds(
    Post,
    id=st.integers(0, 8).map("m{}".format),
    author=authors,
    at=hours,
    score=scores,
    tags=tags,
    meta=languages,
)


def posted(post: Post) -> Posted:
    return Posted(post=post)


events = st.one_of(
    posts.map(posted),
    posts.map(posted),
    st.integers(0, 8).map(lambda number: PostRemoved(id=f"m{number}")),
    st.sampled_from([TopicChosen(topic="boot"), TopicChosen(topic="tea"), TopicChosen(topic=None)]),
)


def leaf(field_name: str, values: Any) -> Any:
    """Comparisons of a field, each with its meaning in plain Python."""
    target = field(field_name)
    return st.one_of(
        values.map(lambda value: target == value),
        values.map(lambda value: target != value),
        st.lists(values, max_size=2).map(target.in_),
        st.just(target.exists()),
    )


def ordered(field_name: str, values: Any) -> Any:
    target = field(field_name)
    return st.one_of(
        values.map(lambda value: target < value),
        values.map(lambda value: target <= value),
        values.map(lambda value: target > value),
        values.map(lambda value: target >= value),
        st.tuples(values, values).map(lambda bounds: target.between(*bounds)),
    )


numbers = scores.filter(lambda score: score is not None)
moments = hours.filter(lambda hour: hour is not None)
leaves = st.one_of(
    leaf("author", authors),
    leaf("score", scores),
    ordered("score", numbers),
    leaf("hour", hours),
    ordered("hour", moments),
    ordered("at", moments),
    leaf("topic", st.sampled_from(["boot", "tea", None])),
    leaf("meta.lang", st.sampled_from(["en", 1, True, None])),
    st.sampled_from(["red", "blue"]).map(F.tags.contains),
    st.sampled_from(["b", "", "ad"]).map(F.author.startswith),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda one: ~one),
    ),
    max_leaves=4,
)
orders = st.sampled_from([(), ("score",), ("-hour", "author"), ("-topic",), ("key",)])

steps = st.one_of(
    st.tuples(st.just("write"), names, events),
    st.tuples(st.just("write"), names, events),
    st.tuples(st.just("write elsewhere"), names, events),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("lose the indexes")),
    st.tuples(st.just("load"), names),
    st.tuples(st.just("erase"), names, st.integers(0, 8)),
    st.tuples(st.just("ask"), conditions, orders, st.sampled_from([None, 1, 3]), names | st.none()),
)


def value_of(name: str, entry: Post, state: Any) -> Any:
    match name:
        case "hour":
            return hour_of(entry)
        case "topic":
            return state.topic
        case "meta.lang":
            return entry.meta.get("lang")
        case "key":
            return entry.id
        case _:
            return getattr(entry, name)


def is_like(value: Any, other: Any) -> bool:
    return (type(value) is bool) is (type(other) is bool) and value == other


def holds(condition: Any, entry: Post, state: Any) -> bool:  # noqa: C901  # one line a comparison
    """The meaning of a condition, told once more."""
    match type(condition).__name__:
        case "All":
            return all(holds(each, entry, state) for each in condition.conditions)
        case "AnyOf":
            return any(holds(each, entry, state) for each in condition.conditions)
        case "Not":
            return not holds(condition.condition, entry, state)
    value, wanted = value_of(condition.field, entry, state), condition.operand
    match condition.op:
        case "==":
            return is_like(value, wanted)
        case "!=":
            return not is_like(value, wanted)
        case "in":
            return any(is_like(value, each) for each in wanted)
        case "exists":
            return value is not None
        case "contains":
            return wanted in value
        case "startswith":
            return value.startswith(wanted)
        case "between":
            return value is not None and wanted[0] <= value <= wanted[1]
        case "<":
            return value is not None and value < wanted
        case "<=":
            return value is not None and value <= wanted
        case ">":
            return value is not None and value > wanted
        case _:
            return value is not None and value >= wanted


class Store:
    """A store under test, opened and closed as the steps say."""

    def __init__(self, folder: str) -> None:
        self.url = f"sqlite:///{folder}/state.db?synchronous=NORMAL"
        self.index_file = FilePath(folder, "state.db-indexes")
        self.manager: Any = None
        self.elsewhere: Any = None

    async def open(self, *, modules: Any) -> Any:
        # So few scopes that some are always evicted.
        return await StateManager.open(self.url, modules=modules, limits=Limits(max_scopes=4))

    async def take(self, step: tuple[Any, ...]) -> None:  # one line a step
        match step:
            case ("write", name, event):
                await self.manager.dispatch(event, to=talk(name))
            case ("write elsewhere", name, event):
                if self.elsewhere is None:
                    self.elsewhere = await self.open(modules=[ForumModule()])
                await self.elsewhere.dispatch(event, to=talk(name))
            case ("reopen",):
                await self.manager.close()
                self.manager = await self.open(modules=[ForumModule()])
            case ("lose the indexes",):
                await self.manager.close()
                self.index_file.unlink(missing_ok=True)
                self.manager = await self.open(modules=[ForumModule()])
            case ("load", name):
                await self.manager.at(talk(name)).state()
            case ("erase", name, number):
                await self.manager.erase(talk(name), where=lambda event: is_post(event, number))
            case ("ask", condition, order, limit, name):
                await self.ask(condition, order, limit, name)

    async def scan(self, condition: Condition, name: str | None) -> list[tuple[str, str]]:
        found = []
        for each in ("c1", "c2", "c3"):
            state = await self.manager.at(talk(each)).state(ForumModule)
            if name in (None, each):
                found += [
                    (talk(each).encode(), entry) for entry in state.posts if holds(condition, entry, state)
                ]
        return found

    async def ask(self, condition: Condition, order: Any, limit: int | None, name: str | None) -> None:
        below = ROOM if name is None else talk(name)
        pages: list[Any] = []
        cursor = None
        while True:
            answer = await self.manager.query(
                ForumModule, where=condition, below=below, order_by=order, limit=limit, after=cursor
            )
            pages += answer
            cursor = answer.cursor
            if cursor is None:
                break
        whole = await self.manager.query(ForumModule, where=condition, below=below, order_by=order)
        scanned = await self.scan(condition, name)

        assert Counter((match.path.encode(), match.entry.id) for match in pages) == Counter(
            (path, entry.id) for path, entry in scanned
        ), (str(condition), order)
        assert {(match.path.encode(), match.key): match.entry for match in pages} == {
            (path, entry.id): entry for path, entry in scanned
        }
        assert [(m.path, m.key) for m in pages] == [(m.path, m.key) for m in whole]
        assert await self.manager.queries.count(ForumModule, where=condition, below=below) == len(scanned)
        assert await self.manager.queries.groups(
            ForumModule, by="author", where=condition, below=below
        ) == Counter(entry.author for _, entry in scanned)

    async def close(self) -> None:
        await self.manager.close()
        if self.elsewhere is not None:
            await self.elsewhere.close()


def is_post(event: Any, number: int) -> bool:
    return isinstance(event, Posted) and event.post.id == f"m{number}"


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=4, max_size=25), conditions, st.booleans())
def test_an_answer_is_what_a_look_at_every_entry_finds(script, last, is_late):
    async def play(folder: str) -> None:
        store = Store(folder)
        store.manager = await store.open(modules=[] if is_late else [ForumModule()])
        try:
            if is_late:
                other = await store.open(modules=[ForumModule()])
                await other.dispatch(Posted(post=Post(id="m0")), to=talk())
                await other.close()
                await store.manager.refresh()
                await store.manager.register_module(ForumModule())
            for step in script:
                await store.take(step)
            await store.take(("ask", last, ("score",), 2, None))
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(folder))
