"""Finding messages among 100,000: through indexes in memory, beside sets by hand, databases and scans."""

from __future__ import annotations

import asyncio
import datetime
import random
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from benchmarks.dispatching import TEXT
from benchmarks.harness import Row, compare, figure
from benchmarks.peers import peer
from eliza_state import Dispatch, Path, StateManager, StateModule, event, evolve, reduces
from eliza_state.collections import Entities
from eliza_state.indexes import Composite, Index, Indexes
from eliza_state.query import F, Match, Prepared, param

MESSAGES = 100_000
TALKS = 100
SMALL_TALKS = 2_000
CALLS = 2_000
SCANS = 20
EVENTS = 300
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@attrs.frozen(kw_only=True)
class Message:
    """What is searched."""

    id: str
    user: str
    at: datetime.datetime
    topic: str
    text: str = TEXT


@attrs.frozen
class Talk:
    """The messages of a conversation."""

    messages: Entities[Message] = attrs.field(factory=Entities[Message])


@event("bench_said")
class Said:
    """Somebody said something."""

    message: Message


def hour_of(message: Message) -> datetime.datetime:
    """Return the hour in which a message came."""
    return message.at.replace(minute=0, second=0, microsecond=0)


class PlainModule(StateModule[Talk]):
    """Keep the messages, without an index."""

    name = "talk"
    level = "conversation"

    @reduces(Said)
    def say(self, state: Talk, event: Said) -> Talk:
        """Append the message."""
        return evolve(state, messages=state.messages.add(event.message))


class TalkModule(PlainModule):
    """Keep the messages, found by three fields."""

    indexes: ClassVar[Indexes] = {"messages": (Index("user"), Index("hour", key=hour_of), Index("topic"))}


class WideModule(PlainModule):
    """Keep the messages, found by three fields at once."""

    indexes: ClassVar[Indexes] = {
        "messages": (Index("hour", key=hour_of), Composite("user", "hour", "topic"))
    }


def messages() -> list[Message]:
    """Return messages of which one half shares few users, hours and topics, and the other one many."""
    chance = random.Random(7)
    found: list[Message] = []
    for number in range(MESSAGES):
        users, hours, topics = (8, 8, 6) if number % 2 else (1_000, 1_000, 50)
        found.append(
            Message(
                id=f"m{number}",
                user=f"user{chance.randrange(users)}/{users}",
                at=START + datetime.timedelta(hours=chance.randrange(hours) * 10 + hours % 10),
                topic=f"topic{chance.randrange(topics)}/{topics}",
            )
        )
    return found


Wanted = tuple[str, datetime.datetime, str]


def wanted(found: Message) -> Wanted:
    """Return the three values that find a message and those like it."""
    return found.user, hour_of(found), found.topic


def rows() -> list[Row]:
    """Measure all of this file."""
    found = messages()
    some = found[:20_000]
    return [*asyncio.run(_finding(found)), *_upkeep(some), *_building(some)]


def each(call: Callable[[], Sequence[Any]], *, found: int, calls: int = CALLS) -> Callable[[], float]:
    """Return what measures the median microseconds of a call that finds so many."""

    def measure() -> float:
        taken: list[float] = []
        for _ in range(calls):
            started = time.perf_counter()
            result = call()
            taken.append(time.perf_counter() - started)
            assert len(result) == found
        return statistics.median(taken) * 1e6

    return measure


async def filled(module: StateModule[Talk], messages: list[Message]) -> StateManager:
    """Return a manager in memory that holds the messages in a hundred conversations."""
    manager = await StateManager.open("memory://", modules=[module])
    room = Path().child("agent", "eliza").child("room", "general")
    talks = [room.child("conversation", f"c{number}") for number in range(TALKS)]
    await manager.dispatch_all(
        [Dispatch(Said(message=each), talks[number % TALKS]) for number, each in enumerate(messages)]
    )
    return manager


def prepared(manager: StateManager) -> Prepared:
    """Return the query for three fields."""
    condition = (F.user == param("user")) & (F.hour == param("hour")) & (F.topic == param("topic"))
    return manager.queries.prepare("talk", where=condition)


def at_hand(query: Prepared, values: Wanted) -> Callable[[], list[Match]]:
    """Return the query with its values."""
    user, hour, topic = values
    return lambda: query.at_hand(user=user, hour=hour, topic=topic)


async def _finding(messages: list[Message]) -> list[Row]:
    rare, common = wanted(messages[0]), wanted(messages[1])
    narrow, wide = await filled(TalkModule(), messages), await filled(WideModule(), messages)
    query, composite = prepared(narrow), prepared(wide)
    few, many = len(at_hand(query, rare)()), len(at_hand(query, common)())
    by_hand, catalogue = by_sets(messages), by_ducks(messages)
    single = by_sqlite(messages, "user", "hour", "topic")
    together = by_sqlite(messages, "user, hour, topic")

    def row(
        name: str,
        values: Wanted,
        found: int,
        other: Callable[..., Any],
        other_name: str,
        bound: float | None = None,
        calls: int = CALLS,
    ) -> Row:
        return compare(
            f"three filters over {MESSAGES:,}, {found} found{name}",
            ours=each(at_hand(composite if name else query, values), found=found),
            other=each(lambda: other(*values), found=found, calls=calls),
            other_name=other_name,
            unit="µs",
            bound=bound,
        )

    return [
        row("", rare, few, catalogue, "ducks", 1.0),
        row("", rare, few, single, "SQLite in memory, three indexes", 1.0),
        row("", common, many, by_hand, "a dict of sets, smallest first", 2.0),
        row("", common, many, catalogue, "ducks", 1.0),
        row(", composite", rare, few, together, "SQLite in memory, one index of three", 1.0),
        row("", rare, few, by_scan(messages), "a scan in a list comprehension", calls=SCANS),
        row("", rare, few, by_tinydb(messages), "TinyDB in memory", calls=SCANS),
        row("", rare, few, by_polars(messages), "polars, a filter", calls=SCANS),
    ]


def by_scan(messages: list[Message]) -> Callable[..., list[Message]]:
    """Return the same search as a scan of all messages."""

    def find(user: str, hour: datetime.datetime, topic: str) -> list[Message]:
        return [
            entry
            for entry in messages
            if entry.user == user and entry.topic == topic and hour_of(entry) == hour
        ]

    return find


def by_tinydb(messages: list[Message]) -> Callable[..., list[Any]]:
    """Return the same search in TinyDB, which has no indexes; it remembers no answer here."""
    tinydb = peer("tinydb")
    table = tinydb.TinyDB(storage=peer("tinydb.storages").MemoryStorage).table("message", cache_size=0)
    table.insert_multiple({**attrs.asdict(entry), "hour": hour_of(entry)} for entry in messages)
    where = tinydb.where

    def find(user: str, hour: datetime.datetime, topic: str) -> list[Any]:
        found: list[Any] = table.search(
            (where("user") == user) & (where("topic") == topic) & (where("hour") == hour)
        )
        return found

    return find


def by_polars(messages: list[Message]) -> Callable[..., list[Any]]:
    """Return the same search in a frame of columns."""
    polars = peer("polars")
    frame = polars.DataFrame([{**attrs.asdict(entry), "hour": hour_of(entry)} for entry in messages])
    column = polars.col

    def find(user: str, hour: datetime.datetime, topic: str) -> list[Any]:
        found: list[Any] = frame.filter(
            column("user") == user, column("hour") == hour, column("topic") == topic
        ).rows()
        return found

    return find


def by_sets(messages: list[Message]) -> Callable[..., list[Message]]:
    """Return a search as one would write it: a dict of sets of ids for each field."""
    by_id = {each.id: each for each in messages}
    indexes: tuple[defaultdict[Any, set[str]], ...] = (defaultdict(set), defaultdict(set), defaultdict(set))
    for entry in messages:
        for index, value in zip(indexes, wanted(entry), strict=True):
            index[value].add(entry.id)

    def find(*values: Any) -> list[Message]:
        sets = [index.get(value, set()) for index, value in zip(indexes, values, strict=True)]
        sets.sort(key=len)
        return [by_id[found] for found in sets[0].intersection(*sets[1:])]

    return find


def by_ducks(messages: list[Message]) -> Callable[..., Any]:
    """Return the same search with `ducks`, which finds objects by their attributes."""
    dex = peer("ducks").Dex(messages, ["user", hour_of, "topic"])

    def find(user: str, hour: datetime.datetime, topic: str) -> Any:
        return dex[{"user": user, hour_of: hour, "topic": topic}]

    return find


def by_sqlite(messages: list[Message], *indexes: str) -> Callable[..., list[Any]]:
    """Return the same search in SQLite in memory, with these indexes."""
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE message (id TEXT PRIMARY KEY, user TEXT, hour INTEGER, topic TEXT, text TEXT)"
    )
    connection.executemany(
        "INSERT INTO message VALUES (?, ?, ?, ?, ?)",
        [(each.id, each.user, int(hour_of(each).timestamp()), each.topic, each.text) for each in messages],
    )
    for number, columns in enumerate(indexes):
        connection.execute(f"CREATE INDEX index{number} ON message ({columns})")
    connection.execute("ANALYZE")
    text = "SELECT id, user, hour, topic, text FROM message WHERE user = ? AND hour = ? AND topic = ?"

    def find(user: str, hour: datetime.datetime, topic: str) -> list[Any]:
        return connection.execute(text, (user, int(hour.timestamp()), topic)).fetchall()

    return find


def _upkeep(messages: list[Message]) -> list[Row]:
    def durable(module: StateModule[Talk]) -> float:
        """Return the median microseconds of a durable dispatch while queries are asked of the collection."""

        async def run(url: str) -> float:
            async with StateManager.open(url, modules=[module]) as manager:
                talk = manager.agent("eliza").room("general").conversation("c")
                await talk.dispatch(Said(message=messages[0]))
                if module.indexes:
                    await manager.query("talk", where=F.user == "user7/8")
                taken: list[float] = []
                for each in messages[1:EVENTS]:
                    said = Said(message=each)
                    started = time.perf_counter()
                    await talk.dispatch(said)
                    taken.append(time.perf_counter() - started)
                return statistics.median(taken) * 1e6

        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(run(f"sqlite:///{folder}/state.db"))

    return [
        compare(
            "durable dispatch with three indexes kept up",
            ours=lambda: durable(TalkModule()),
            other=lambda: durable(PlainModule()),
            other_name="the same without",
            unit="µs",
            bound=1.3,
            runs=7,
        ),
    ]


def _building(messages: list[Message]) -> list[Row]:
    def built() -> float:
        """Return the milliseconds of the first query, which makes the index file of 20,000 messages."""

        async def run(url: str) -> float:
            async with StateManager.open(url, modules=[TalkModule()]) as manager:
                room = manager.agent("eliza").room("general").path
                events = [
                    Dispatch(Said(message=each), room.child("conversation", f"c{number % TALKS}"))
                    for number, each in enumerate(messages)
                ]
                await manager.dispatch_all(events)
                started = time.perf_counter()
                await manager.query("talk", where=F.user == "user7/8", limit=1)
                return (time.perf_counter() - started) * 1e3

        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(run(f"sqlite:///{folder}/state.db"))

    def built_of_small() -> float:
        """Return the milliseconds a scope of the first query on many conversations of three messages."""

        async def run(url: str) -> float:
            async with StateManager.open(url, modules=[TalkModule()]) as manager:
                room = manager.agent("eliza").room("general").path
                events = [
                    Dispatch(Said(message=each), room.child("conversation", f"c{number // 3}"))
                    for number, each in enumerate(messages[: 3 * SMALL_TALKS])
                ]
                await manager.dispatch_all(events)
            async with StateManager.open(url, modules=[TalkModule()]) as manager:
                started = time.perf_counter()
                await manager.query("talk", where=F.user == "user7/8", limit=1)
                return (time.perf_counter() - started) * 1e3 / SMALL_TALKS

        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(run(f"sqlite:///{folder}/state.db"))

    return [
        figure(
            "first query over 20,000 messages: indexes are made", ours=built, unit="ms", bound=2_000, runs=3
        ),
        figure(
            f"the same over {SMALL_TALKS:,} small conversations, for each of them",
            ours=built_of_small,
            unit="ms",
            bound=0.5,
            runs=3,
        ),
    ]
