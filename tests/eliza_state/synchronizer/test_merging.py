"""What merging makes of a journal: positions, versions, snapshots, indexes, followers, restores."""

from __future__ import annotations

import sqlite3

from eliza_state.debugger import Debugger
from eliza_state.event import event
from eliza_state.followers import FollowersModule
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from eliza_state.query.index_file import SUFFIX
from tests.eliza_state import chat
from tests.eliza_state.chat import OTHER, ROOM, TALK, Joined, Said
from tests.eliza_state.synchronizer.replicas import bring, meet


async def apart(laptop, phone, clock) -> None:
    """Have both say something in turn, having two records in common."""
    await laptop.say("one", "two")
    meet(laptop, phone)
    for replica, text in ((phone, "p1"), (laptop, "l1"), (phone, "p2"), (laptop, "l2")):
        clock.turn(1)
        await replica.say(text)


# Order


async def test_records_come_in_the_order_of_their_times_on_both_sides(laptop, phone, clock):
    await apart(laptop, phone, clock)

    meet(laptop, phone)

    assert ["one", "two", "p1", "l1", "p2", "l2"] == await laptop.texts() == await phone.texts()
    assert await laptop.records() == await phone.records()


async def test_versions_and_positions_count_without_a_gap(laptop, phone, clock):
    await apart(laptop, phone, clock)
    await phone.say("elsewhere", to=OTHER)

    meet(laptop, phone)
    records = await laptop.records()

    assert list(range(1, 8)) == [record.position for record in records]
    assert list(range(1, 7)) == [record.version for record in records if record.path == TALK]
    assert [1] == [record.version for record in records if record.path == OTHER]


async def test_what_stood_before_the_first_arrival_is_as_it_was(laptop, phone, clock):
    await apart(laptop, phone, clock)
    before = await laptop.records()

    merged = bring(phone, laptop)
    records = await laptop.records()

    assert (2, 2, 2, 6) == (merged.records, merged.place, merged.moved, merged.position)
    assert before[:2] == records[:2]
    assert {record.id for record in before} < {record.id for record in records}


async def test_a_state_is_the_fold_of_the_merged_records_with_snapshots_or_without(laptop, phone, clock):
    await laptop.say(*(f"l{number}" for number in range(70)))  # enough for a snapshot when it is closed
    meet(laptop, phone)
    clock.turn(1)
    await phone.say(*(f"p{number}" for number in range(70)))
    clock.turn(1)
    await laptop.say(*(f"m{number}" for number in range(70)))

    meet(laptop, phone)
    (with_snapshots, problems), (without, _) = await laptop.states(), await laptop.states(snapshots=False)

    assert without == with_snapshots
    assert all("another record there" in problem for problem in problems)
    assert 210 == len(without[TALK]["talk"].texts)


async def test_a_snapshot_from_before_the_first_arrival_is_used(laptop, phone, clock):
    await laptop.say(*(f"l{number}" for number in range(70)))
    meet(laptop, phone)
    clock.turn(1)
    await phone.say("p")
    clock.turn(1)
    await laptop.say("l")

    bring(phone, laptop)

    async def tail(manager: StateManager) -> int:
        await manager.at(TALK).state()
        live = manager.root.access.scopes.find(TALK)
        assert live is not None
        return live.tail

    assert 2 == await laptop.use(tail)


async def test_a_refusal_at_its_time_stays_a_fact_that_the_other_side_folds(laptop, phone, clock):
    # What was decided was decided: no dispatch takes place again.
    await laptop.use(lambda manager: manager.dispatch(chat.Drawn(amount=8), to=chat.AGENT))
    clock.turn(1)
    await phone.use(lambda manager: manager.dispatch(chat.Drawn(amount=7), to=chat.AGENT))

    meet(laptop, phone)
    states = [await replica.states() for replica in (laptop, phone)]

    assert [chat.Budget(left=2)] * 2 == [found[chat.AGENT]["budget"] for found, _ in states]
    assert all("2 left, 7 wanted" in problems[0] for _, problems in states)


# What is not known here


@event("sung")
class Sung:
    text: str


class SongModule(StateModule[int]):
    name = "songs"
    level = "conversation"

    def initial_state(self) -> int:
        return 0

    @reduces(Sung)
    def sing(self, state: int, _event: Sung) -> int:
        return state + 1


async def test_an_event_that_nobody_knows_is_kept_and_left_out_of_the_state(laptop, phone):
    modules = [*chat.modules(), SongModule()]
    await laptop.use(lambda manager: manager.dispatch(Sung(text="la"), to=TALK), modules=modules)
    await laptop.say("one")

    bring(laptop, phone)

    assert ["one"] == await phone.texts()
    assert ["sung", "said"] == [record.event for record in await phone.records()]


# Restores


async def test_a_restore_travels_and_means_the_same_record(laptop, phone, clock):
    await laptop.say("one", "two")
    meet(laptop, phone)
    clock.turn(1)
    await phone.use(lambda manager: manager.dispatch(Joined(user="bo"), to=ROOM))
    clock.turn(1)
    await laptop.use(lambda manager: Debugger(manager).restore(position=1, path=TALK))
    clock.turn(1)
    await phone.say("three")

    meet(laptop, phone)

    assert ["one", "three"] == await laptop.texts() == await phone.texts()
    assert await laptop.states(snapshots=False) == await phone.states(snapshots=False)


# What is made of records


async def test_indexes_beside_the_store_are_removed(laptop, phone, clock):
    await apart(laptop, phone, clock)
    index = laptop.file.with_name(laptop.file.name + SUFFIX)
    index.write_bytes(b"")

    bring(phone, laptop)

    assert not index.exists()


async def test_the_file_stays_a_sound_database(laptop, phone, clock):
    await apart(laptop, phone, clock)

    meet(laptop, phone)
    with sqlite3.connect(laptop.file) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchone()
        scopes = connection.execute("SELECT count(DISTINCT position), min(position) FROM below").fetchone()
    connection.close()

    assert (("ok",), (6, 1)) == (found, scopes)


# Followers


async def follow(manager: StateManager) -> list[str]:
    heard: list[str] = []

    def hear(told, write) -> None:
        heard.append(told.event.text)
        write("noted", {"text": told.event.text})

    follower = await manager.follow("ears", hear, events=[Said])
    await follower.settled()
    await follower.close()
    return heard


async def test_a_follower_hears_what_came_and_what_it_derives_is_there_once(laptop, phone, clock):
    modules = [*chat.modules(), FollowersModule()]
    await laptop.say("one")
    meet(laptop, phone)
    clock.turn(1)
    await phone.say("late")
    clock.turn(1)
    await laptop.say("two")
    first = await laptop.use(follow, modules=modules)

    merged = bring(phone, laptop)
    second = await laptop.use(follow, modules=modules)
    noted = [record for record in await laptop.records() if record.event == "noted"]

    assert ["one", "two"] == first
    assert ("ears",) == merged.followers
    assert ["late", "two"] == second
    assert 3 == len(noted) == len({record.id for record in noted})


async def test_where_followers_stand_does_not_travel(laptop, phone, clock):
    modules = [*chat.modules(), FollowersModule()]
    for replica in (laptop, phone):
        clock.turn(1)
        await replica.say(f"of {replica.file.stem}")
        await replica.use(follow, modules=modules)

    meet(laptop, phone)
    heard = [await replica.use(follow, modules=modules) for replica in (laptop, phone)]
    meet(laptop, phone)
    noted = [
        [record.id for record in await replica.records() if record.event == "noted"]
        for replica in (laptop, phone)
    ]

    assert [["of phone"], ["of laptop", "of phone"]] == heard
    assert noted[0] == noted[1]
