"""A whole store, through its public face: dispatching, reading, opening, closing."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sqlite3
import sys
import threading
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eliza_state.dispatcher import Dispatch
from eliza_state.errors import (
    InvalidEvent,
    InvalidPath,
    ReducerError,
    RegistrationError,
    Rejected,
    StaleState,
    StateError,
    StoreError,
    UnknownTransition,
)
from eliza_state.event import event
from eliza_state.limits import Limits
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, compose, reduces
from eliza_state.path import Path
from eliza_state.testing import ManualClock, RecordingReceiver
from tests.effort import examples
from tests.eliza_state import chat
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    Drawn,
    Exploded,
    Joined,
    Noted,
    PeopleModule,
    Said,
    TalkModule,
    TotalsModule,
    Typing,
)

HELLO = Said(user="ada", text="hello")


async def everything(manager: StateManager) -> Any:
    """All that must not change when something is refused."""
    paths = [*TALK.chain(), OTHER]
    return (
        await manager.state(),
        await manager.position(),
        [record.position for record in await manager.root.records(limit=None)],
        [(await manager.at(path).version(), await manager.at(path).phase()) for path in paths],
        [await manager.at(path).state() for path in paths],
    )


# One dispatch


async def test_a_dispatch_changes_all_slices_on_the_way(manager):
    change = await manager.dispatch(HELLO, to=TALK)

    assert ["totals", "people", "talk"] == [changed.module for changed in change.slices]
    assert (await manager.root.state(TotalsModule)).said == 1
    assert list((await manager.at(ROOM).state(PeopleModule)).names) == ["ada"]
    assert list((await manager.at(TALK).state(TalkModule)).texts) == ["hello"]


async def test_a_change_tells_what_was_and_what_is(manager):
    change = await manager.dispatch(HELLO, to=TALK)

    assert ({"talk": chat.Talk()}, HELLO) == (change.before, change.event)
    assert {"talk": await manager.at(TALK).state("talk")} == change.after
    assert (TALK, 1, 1, False, "local") == (
        change.path,
        change.position,
        change.version,
        change.duplicate,
        change.origin,
    )


async def test_versions_count_what_is_addressed_to_a_path(manager):
    for to in (TALK, TALK, ROOM, OTHER):
        await manager.dispatch(Noted() if to is ROOM else HELLO, to=to)

    assert [2, 1, 1, 0] == [await manager.at(path).version() for path in (TALK, ROOM, OTHER, Path())]
    assert await manager.position() == 4


async def test_an_address_is_a_path_its_text_or_a_handle(manager):
    for to in (TALK, TALK.encode(), manager.at(TALK)):
        await manager.dispatch(HELLO, to=to)

    assert await manager.at(TALK).version() == 3


async def test_an_event_goes_by_name_and_payload(manager):
    change = await manager.dispatch("said", {"user": "ada", "text": "hello"}, to=TALK)

    assert HELLO == change.event


REFUSED = [
    (Said(user="ada"), TALK, {}, Rejected),
    (Drawn(amount=11), AGENT, {}, Rejected),
    (Exploded(level="global"), TALK, {}, ReducerError),
    (Exploded(level="agent"), TALK, {}, ReducerError),
    (Exploded(level="conversation"), TALK, {}, ReducerError),
    (Noted(), AGENT, {}, UnknownTransition),
    ("sayd", TALK, {"payload": {}}, UnknownTransition),
    ("said", AGENT.child("user", "u"), {"payload": {"user": 5}}, InvalidEvent),
    ("said", TALK, {"payload": {"user": 5, "text": "x"}}, InvalidEvent),
    ("said", TALK, {"payload": {"usr": "ada"}}, InvalidEvent),
    ("said", TALK, {}, InvalidEvent),
    (HELLO, TALK, {"payload": {"user": "ada"}}, InvalidEvent),
    (HELLO, TALK, {"expected_version": 0}, StaleState),
    (HELLO, TALK, {"expected_version": 2}, StaleState),
    (HELLO, TALK, {"id": ""}, InvalidEvent),
    (HELLO, TALK, {"id": "a" * 257}, InvalidEvent),
    (HELLO, TALK, {"id": "\ud800"}, InvalidEvent),
    (HELLO, TALK, {"id": 5}, InvalidEvent),
    (HELLO, TALK, {"cause": "\ud800"}, InvalidEvent),
    (HELLO, TALK, {"cause": 5}, InvalidEvent),
    (HELLO, "room:general", {}, InvalidPath),
    (HELLO, "nonsense", {}, InvalidPath),
    (object(), TALK, {}, RegistrationError),
    (Said, TALK, {}, RegistrationError),
]


@pytest.mark.parametrize(("event", "to", "options", "error"), REFUSED)
async def test_a_refused_event_changes_nothing(manager, event, to, options, error):
    receiver = RecordingReceiver()
    await manager.dispatch(HELLO, to=TALK)
    before = await everything(manager)
    manager.subscribe(receiver)

    with pytest.raises(error):
        await manager.dispatch(event, to=to, **options)

    assert before == await everything(manager)
    assert receiver.changes == []
    assert (await manager.dispatch(HELLO, to=TALK)).version == 2


@pytest.mark.parametrize("event", [Said(user="ada", text=5), Said(user="\ud800", text="x")])
async def test_an_instance_that_cannot_be_written_is_refused(opened, sqlite_url, event):
    manager = await opened(sqlite_url)
    before = await everything(manager)

    with pytest.raises(InvalidEvent, match=r"said: \$\.(text|user)"):
        await manager.dispatch(event, to=TALK)

    assert before == await everything(manager)


async def test_a_payload_error_names_the_field(manager):
    with pytest.raises(InvalidEvent, match=r"said: .*text"):
        await manager.dispatch("said", {"user": "ada", "text": 5}, to=TALK)


async def test_an_unknown_name_suggests_near_ones(manager):
    with pytest.raises(UnknownTransition, match="did you mean 'joined'"):
        await manager.dispatch("join", {"user": "ada"}, to=ROOM)


async def test_a_stale_writer_learns_both_versions(manager):
    await manager.dispatch(HELLO, to=TALK)

    with pytest.raises(StaleState) as caught:
        await manager.dispatch(HELLO, to=TALK, expected_version=0)

    assert (TALK.encode(), 0, 1) == (caught.value.path, caught.value.expected, caught.value.actual)


async def test_the_expected_version_lets_through(manager):
    for version in range(3):
        await manager.dispatch(HELLO, to=TALK, expected_version=version)

    assert await manager.at(TALK).version() == 3


async def test_a_record_keeps_its_id_and_cause(manager):
    first = await manager.dispatch(HELLO, to=TALK, id="first\0é")
    await manager.dispatch(HELLO, to=TALK, cause=first.record.id)
    records = await manager.at(TALK).records()

    assert ["first\0é", "first\0é"] == [records[0].id, records[1].cause]
    assert len({record.id for record in records}) == 2


# Ids


async def test_the_same_id_again_changes_nothing(manager):
    await manager.dispatch(HELLO, to=OTHER)
    first = await manager.dispatch(HELLO, to=TALK, id="once")
    before = await everything(manager)
    again = await manager.dispatch(HELLO, to=TALK, id="once")

    assert (first.position, first.version, True, ()) == (
        again.position,
        again.version,
        again.duplicate,
        again.slices,
    )
    assert before == await everything(manager)


async def test_the_same_id_by_name_and_payload_is_the_same_event(manager):
    await manager.dispatch(HELLO, to=TALK, id="once")

    assert (await manager.dispatch("said", {"user": "ada", "text": "hello"}, to=TALK, id="once")).duplicate


async def test_the_same_id_outlives_the_process(opened, sqlite_url):
    manager = await opened(sqlite_url)
    first = await manager.dispatch(HELLO, to=TALK, id="once")
    await manager.close()
    manager = await opened(sqlite_url)
    again = await manager.dispatch(HELLO, to=TALK, id="once")

    assert (first.position, first.version, True) == (again.position, again.version, again.duplicate)


@pytest.mark.parametrize("event", [Said(user="ada", text="bye"), Noted()])
async def test_the_same_id_with_another_event_is_refused(manager, event):
    await manager.dispatch(HELLO, to=TALK, id="once")
    before = await everything(manager)

    with pytest.raises(InvalidEvent, match="belongs to another event"):
        await manager.dispatch(event, to=TALK, id="once")

    assert before == await everything(manager)


async def test_the_same_id_on_another_path_is_another_record(manager):
    await manager.dispatch(HELLO, to=TALK, id="once")

    assert not (await manager.dispatch(HELLO, to=OTHER, id="once")).duplicate


async def test_the_same_id_on_its_way_is_one_record(manager):
    changes = await asyncio.gather(*(manager.dispatch(HELLO, to=TALK, id="once") for _ in range(20)))

    assert {(1, 1)} == {(change.position, change.version) for change in changes}
    assert [False] + [True] * 19 == sorted(change.duplicate for change in changes)
    assert await manager.at(TALK).version() == 1


async def test_the_same_id_on_its_way_with_another_event_is_refused(manager):
    outcomes = await asyncio.gather(
        manager.dispatch(HELLO, to=TALK, id="once"),
        manager.dispatch(Said(user="ada", text="bye"), to=TALK, id="once"),
        return_exceptions=True,
    )

    assert [False, InvalidEvent] == [getattr(outcomes[0], "duplicate", None), type(outcomes[1])]


async def test_an_id_that_was_refused_is_free(manager):
    with pytest.raises(Rejected):
        await manager.dispatch(Said(user="ada"), to=TALK, id="once")

    assert not (await manager.dispatch(HELLO, to=TALK, id="once")).duplicate


async def test_the_same_id_twice_in_one_batch_is_one_record(manager):
    twice = [Dispatch(HELLO, TALK, id="once")] * 2
    changes = await manager.dispatch_all(twice)

    assert [(1, False), (1, True)] == [(change.position, change.duplicate) for change in changes]
    assert await manager.at(TALK).version() == 1


# Several at once


async def test_a_batch_takes_place_as_one(manager):
    batch = [(HELLO, TALK), (Joined(user="bob"), ROOM), (Drawn(amount=3), AGENT.encode()), (HELLO, TALK)]
    changes = await manager.dispatch_all(batch)

    assert [(1, 1), (2, 1), (3, 1), (4, 2)] == [(change.position, change.version) for change in changes]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((Drawn(amount=99), AGENT), Rejected),
        ((Exploded(level="global"), TALK), ReducerError),
        ((Noted(), AGENT), UnknownTransition),
        (Dispatch("said", TALK, payload={"user": 1}), InvalidEvent),
        (Dispatch(HELLO, TALK, expected_version=7), StaleState),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
async def test_one_refusal_takes_back_the_batch(manager, bad, error, place):
    await manager.dispatch(HELLO, to=TALK)
    before = await everything(manager)
    batch: list[Any] = [(HELLO, TALK), Dispatch(HELLO, OTHER, id="x"), (Typing(user="ada"), TALK)]
    batch.insert(place, bad)

    with pytest.raises(error):
        await manager.dispatch_all(batch)

    assert before == await everything(manager)
    assert not (await manager.dispatch(HELLO, to=OTHER, id="x")).duplicate


async def test_a_lenient_batch_leaves_out_what_is_refused(manager):
    outcomes = await manager.dispatch_all(
        [
            (Drawn(amount=6), AGENT),
            (Drawn(amount=6), AGENT),
            Dispatch("said", TALK, payload={"user": 1}),
            (Exploded(level="agent"), TALK),
            (Drawn(amount=4), AGENT),
            (Noted(), AGENT),
        ],
        return_exceptions=True,
    )

    assert [None, Rejected, InvalidEvent, ReducerError, None, UnknownTransition] == [
        type(outcome) if isinstance(outcome, StateError) else None for outcome in outcomes
    ]
    assert (await manager.at(AGENT).state("budget")).left == 0
    assert [1, 2] == [record.position for record in await manager.root.records()]


async def test_an_empty_batch_does_nothing(manager):
    assert await manager.dispatch_all([]) == []
    assert await manager.position() == 0


async def test_a_batch_of_volatile_events_alone_is_not_journaled(manager):
    await manager.dispatch_all([(Typing(user="ada"), TALK), (Typing(user="bob"), TALK)])

    assert (await manager.at(TALK).state("presence")).typing == ("ada", "bob")
    assert await manager.position() == 0


# Deciding on the state


async def test_a_decision_sees_the_slice_and_its_events_follow(manager):
    changes = await manager.execute(AGENT, lambda budget: [Drawn(amount=budget.left)] * 1, module="budget")

    assert [1] == [change.position for change in changes]
    assert (await manager.at(AGENT).state("budget")).left == 0


async def test_a_decision_may_see_all_slices_and_do_nothing(manager):
    seen = []

    def decide(slices):
        seen.append(slices)
        return []

    assert await manager.execute(TALK, decide) == []
    assert [{"talk": chat.Talk(), "presence": chat.Presence()}] == seen


async def test_deciding_concurrently_loses_no_update(manager):
    def decide(talk):
        return [Said(user="ada", text=str(len(talk.texts)))]

    await asyncio.gather(*(manager.execute(TALK, decide, module=TalkModule) for _ in range(40)))

    assert [str(number) for number in range(40)] == list((await manager.at(TALK).state("talk")).texts)


async def test_deciding_in_two_managers_loses_no_update(opened, sqlite_url):
    managers = await opened(sqlite_url), await opened(sqlite_url)

    def decide(talk):
        return [Said(user="ada", text=str(len(talk.texts)))]

    await asyncio.gather(*(managers[n % 2].execute(TALK, decide, module="talk") for n in range(40)))
    for manager in managers:
        await manager.refresh()

        assert [str(n) for n in range(40)] == list((await manager.at(TALK).state("talk")).texts)


async def test_what_a_decision_raises_comes_back(manager):
    def decide(slices):
        raise LookupError("undecided")

    with pytest.raises(LookupError, match="undecided"):
        await manager.execute(TALK, decide)


async def test_a_decision_that_is_refused_changes_nothing(manager):
    before = await everything(manager)

    with pytest.raises(Rejected):
        await manager.execute(TALK, lambda _: [HELLO, Said(user="ada")])

    assert before == await everything(manager)


# Volatile modules


async def test_volatile_state_is_gone_with_the_process(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await manager.dispatch(HELLO, to=TALK)
    await manager.dispatch(Typing(user="bob"), to=TALK)

    assert (await manager.at(TALK).state("presence")).typing == ("bob",)
    await manager.close()
    manager = await opened(sqlite_url)
    assert (await manager.at(TALK).state("presence")).typing == ()
    assert await manager.at(TALK).version() == 1


async def test_a_volatile_event_is_no_record(manager):
    change = await manager.dispatch(Typing(user="bob"), to=TALK)

    assert (0, 0) == (change.position, change.version)
    assert await manager.root.records() == []


async def test_a_volatile_module_hears_of_stored_events_too(manager):
    await manager.dispatch(Typing(user="ada"), to=TALK)
    change = await manager.dispatch(HELLO, to=TALK)

    assert {"talk", "presence"} == set(change.after)
    assert (await manager.at(TALK).state("presence")).typing == ()


async def test_volatile_events_keep_their_place_among_stored_ones(manager):
    """Whoever types while a message is on its way still types when it has arrived."""
    receiver = RecordingReceiver()
    manager.subscribe(receiver, module="presence")
    await manager.dispatch(Typing(user="ada"), to=TALK)
    await asyncio.gather(manager.dispatch(HELLO, to=TALK), manager.dispatch(Typing(user="bob"), to=TALK))

    assert (await manager.at(TALK).state("presence")).typing == ("bob",)
    states = [(change.before["presence"], change.after["presence"]) for change in receiver.changes]
    assert all(after is before for (_, after), (before, _) in itertools.pairwise(states))


# Modules that come later


async def test_a_module_registered_later_sees_the_old_records(opened, url):
    manager = await opened(url, modules=[TotalsModule(), TalkModule()])
    await manager.dispatch(HELLO, to=TALK)
    await manager.at(ROOM).state()
    await manager.register_module(PeopleModule())

    assert list((await manager.at(ROOM).state("people")).names) == ["ada"]
    await manager.dispatch(Said(user="bob", text="x"), to=TALK)
    assert list((await manager.at(ROOM).state("people")).names) == ["ada", "bob"]


async def test_a_module_may_say_from_when_it_sees_records(opened, url):
    class Late(PeopleModule):
        pass

    manager = await opened(url, modules=[TotalsModule(), TalkModule()])
    await manager.dispatch(HELLO, to=TALK)
    Late.since_position = await manager.position()
    await manager.register_module(Late())
    await manager.dispatch(Said(user="bob", text="x"), to=TALK)

    assert list((await manager.at(ROOM).state(Late)).names) == ["bob"]
    assert list((await manager.at(ROOM).state(Late, at=2)).names) == ["bob"]


async def test_registering_takes_all_modules_or_none(manager):
    with pytest.raises(RegistrationError, match="registered already"):
        await manager.register_module(compose("more", PeopleModule()), TalkModule())

    with pytest.raises(RegistrationError):
        await manager.at(ROOM).state("more")


async def test_registering_while_events_come_and_scopes_are_read(opened, url):
    class MoreModule(PeopleModule):
        name = "more"

    manager = await opened(url, limits=Limits(max_scopes=3))
    rooms = [AGENT.child("room", str(number)) for number in range(8)]
    for room in rooms:
        await manager.dispatch(Joined(user="ada"), to=room)
    work = [manager.dispatch(Joined(user="bob"), to=room) for room in rooms for _ in range(3)]
    work += [manager.at(room).state() for room in rooms]
    work.insert(len(work) // 2, manager.register_module(MoreModule()))
    await asyncio.gather(*work)

    for room in rooms:
        slices = await manager.at(room).state()
        assert list(slices["more"].names) == list(slices["people"].names) == ["ada", "bob"]


async def test_a_composition_is_read_by_its_name(opened, url):
    manager = await opened(url, modules=[compose("both", TalkModule(), chat.PresenceModule())])
    await manager.dispatch(HELLO, to=TALK)
    states = await manager.at(TALK).state("both")

    assert {"talk", "presence"} == set(states)
    assert states["talk"] is await manager.at(TALK).state("both.talk")


# Many at once


async def test_concurrent_dispatches_on_shared_scopes(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    talks = [ROOM.child("conversation", str(number)) for number in range(5)]

    async def talk(number: int) -> None:
        for _ in range(10):
            await manager.dispatch(Said(user=str(number), text="x"), to=talks[number % 5])

    await asyncio.gather(*(talk(number) for number in range(20)))
    records = await manager.root.records(limit=None)

    assert list(range(1, 201)) == [record.position for record in records] == receiver.positions
    for path in talks:
        assert list(range(1, 41)) == [record.version for record in records if record.path == path]
        now, then = await manager.at(path).state(TalkModule), await manager.at(path).state(TalkModule, at=200)
        assert now == then
    assert (
        await manager.root.state("totals", at=200)
        == await manager.root.state("totals")
        == chat.Totals(200, 200)
    )


async def test_before_is_the_after_of_the_change_before(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    await asyncio.gather(*(manager.dispatch(HELLO, to=(TALK, OTHER)[number % 2]) for number in range(60)))
    last: dict[tuple[Path, str], Any] = {}
    for change in receiver.changes:
        for path, name, before, after in change.slices:
            assert last.get((path, name), before) is before
            last[path, name] = after


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_caller_neither_loses_nor_doubles_a_record(opened, url, turns):
    """Cancelled after any number of turns of the loop, a record is there once or not at all."""
    manager = await opened(url, limits=Limits(inline_below_ms=0))
    calls = [asyncio.ensure_future(manager.dispatch(HELLO, to=TALK, id=str(number))) for number in range(6)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await manager.flush()
    ids = [record.id for record in await manager.at(TALK).records()]

    assert len(set(ids)) == len(ids) == await manager.at(TALK).version()
    assert {str(number) for number in (1, 3, 5)} <= set(ids)
    assert all(outcome.record.id in ids for outcome in outcomes if not isinstance(outcome, BaseException))
    assert len((await manager.at(TALK).state("talk")).texts) == len(ids)
    last = await manager.dispatch(HELLO, to=TALK)
    assert (last.version, last.position) == (len(ids) + 1, len(ids) + 1)


# Reading


async def test_a_scope_nobody_wrote_to_has_initial_states(manager):
    assert await manager.at(TALK).state() == {"talk": chat.Talk(), "presence": chat.Presence()}
    assert await manager.at(TALK).last_activity() is None


async def test_the_complete_state_is_a_tree(manager):
    await manager.dispatch(HELLO, to=TALK)
    await manager.dispatch(HELLO, to=OTHER)
    state = await manager.state()

    assert ("global", 2, 0) == (state.level, state.position, state.version)
    (agent,) = state.children
    (room,) = agent.children
    assert [TALK, OTHER] == [talk.path for talk in room.children]
    assert room.slices == await manager.at(ROOM).state()


async def test_a_position_is_looked_up_by_time(opened, url):
    clock = ManualClock()
    manager = await opened(url, clock=clock)
    start = clock.now
    for _ in range(3):
        clock.advance(ms=1_000)
        await manager.dispatch(HELLO, to=TALK)
    clock.set(start)
    clock.advance(ms=1_999)

    assert await manager.position_at(clock.now) == 1
    clock.advance(ms=1)
    assert await manager.position_at(clock.now) == 2
    assert await manager.position_at(start) == 0
    with pytest.raises(StateError, match="with a time zone"):
        await manager.position_at(start.replace(tzinfo=None))


@pytest.mark.parametrize("durability", ["committed", "buffered"])
async def test_recorded_times_never_decrease(opened, url, durability):
    clock = ManualClock()
    if url != "memory://":
        manager = await opened(url, clock=clock)
        await manager.dispatch(HELLO, to=TALK)
        await manager.close()
    manager = await opened(url, clock=clock, durability=durability)
    for step in (5, -10, 3, -1_000):
        clock.advance(ms=step)
        await manager.dispatch(HELLO, to=TALK)
    await manager.flush()
    times = [record.recorded_at_us for record in await manager.root.records()]

    assert sorted(times) == times


# Opening and closing


async def test_closing_twice_does_nothing(opened, url):
    manager = await opened(url)
    await manager.close()
    await manager.close()


USES = {
    "dispatch": lambda manager: manager.dispatch(HELLO, to=TALK),
    "dispatch to another scope": lambda manager: manager.dispatch(HELLO, to=OTHER),
    "dispatch with an id": lambda manager: manager.dispatch(HELLO, to=TALK, id="x"),
    "dispatch_all": lambda manager: manager.dispatch_all([(HELLO, TALK)]),
    "execute": lambda manager: manager.execute(TALK, lambda _: [HELLO]),
    "state": lambda manager: manager.at(TALK).state(),
    "state of another scope": lambda manager: manager.at(OTHER).state(),
    "state at": lambda manager: manager.at(TALK).state(at=1),
    "version": lambda manager: manager.at(TALK).version(),
    "tree": lambda manager: manager.state(),
    "records": lambda manager: manager.root.records(),
    "children": lambda manager: manager.root.children(),
    "position_at": lambda manager: manager.position_at(ManualClock().now),
    "refresh": lambda manager: manager.refresh(),
}


@pytest.mark.parametrize("use", USES)
async def test_a_closed_manager_says_so(opened, url, use):
    manager = await opened(url)
    await manager.dispatch(HELLO, to=TALK)
    await manager.close()

    with pytest.raises(StoreError, match="the manager is closed; open the store anew"):
        await USES[use](manager)


async def test_closing_waits_for_what_is_under_way(opened, sqlite_url):
    manager = await opened(sqlite_url)
    calls = [asyncio.ensure_future(manager.dispatch(HELLO, to=TALK)) for _ in range(10)]
    await manager.at(TALK).state()
    await asyncio.sleep(0)
    await manager.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    manager = await opened(sqlite_url)

    acknowledged = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert all(isinstance(outcome, StoreError) for outcome in outcomes if outcome not in acknowledged)
    assert await manager.at(TALK).version() == len(acknowledged)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "a store is named by a URL"),
        ("", "a store is named by a URL"),
        ("postgresql://localhost/x", "a store is 'memory://' or a SQLite file"),
        ("sqlite://", "a SQLite store is"),
        ("sqlite:///:memory:", "a SQLite store is"),
        ("sqlite:///{folder}/missing/state.db", "there is no folder"),
        ("sqlite:///{folder}", "cannot open|open"),
        ("sqlite:///{folder}/text.db", "not a database"),
        ("sqlite:///{folder}/foreign.db", "is not a store of states"),
    ],
)
async def test_a_store_that_cannot_be_opened_says_why(tmp_path, url, message):
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at" * 50)
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE recipe (name TEXT)")
    foreign.close()

    with pytest.raises(StoreError, match=message):
        await StateManager.open(url.format(folder=tmp_path), modules=chat.modules())


async def test_a_durability_that_does_not_exist_is_refused(sqlite_url):
    with pytest.raises(StateError, match="is '"):
        await StateManager.open(sqlite_url, durability="eventual")


async def test_another_synchronous_is_refused(sqlite_url):
    with pytest.raises(StoreError, match="is 'FULL' or 'NORMAL'"):
        await StateManager.open(f"{sqlite_url}?synchronous=OFF")


async def test_modules_that_cannot_work_are_refused_before_the_store_is_touched(tmp_path, sqlite_url):
    with pytest.raises(RegistrationError):
        await StateManager.open(sqlite_url, modules=[TalkModule(), TalkModule()])

    assert list(tmp_path.iterdir()) == []


async def test_a_failed_opening_leaves_nothing_behind(opened, sqlite_url):
    class Broken(TotalsModule):
        def initial_state(self):
            raise RuntimeError("initial")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="initial"):
        await StateManager.open(sqlite_url, modules=[Broken()], durability="buffered")

    left = {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before}
    assert left <= {"asyncio"}  # the event loop's own executor may have come to be
    await opened(sqlite_url, durability="buffered")


async def test_a_buffered_store_excludes_others(opened, sqlite_url):
    await opened(sqlite_url, durability="buffered")

    for durability in ("buffered", "committed"):
        with pytest.raises(StoreError, match=r"has .* open; close it first"):
            await StateManager.open(sqlite_url, durability=durability)
    await opened(sqlite_url, read_only=True)


async def test_a_store_that_others_have_open_cannot_be_buffered(opened, sqlite_url):
    await opened(sqlite_url)

    with pytest.raises(StoreError, match=r"another manager has .* open"):
        await StateManager.open(sqlite_url, durability="buffered")


async def test_a_read_only_manager_reads_and_refuses_events(opened, sqlite_url):
    writer = await opened(sqlite_url)
    await writer.dispatch(HELLO, to=TALK)
    reader = await opened(sqlite_url, read_only=True)
    before = await everything(reader)

    for dispatch in (
        reader.dispatch(HELLO, to=TALK),
        reader.dispatch_all([(HELLO, TALK)]),
        reader.dispatch(Typing(user="a"), to=TALK),
    ):
        with pytest.raises(StoreError, match="open for reading only"):
            await dispatch
    assert before == await everything(reader)
    await writer.dispatch(HELLO, to=TALK)
    assert await reader.refresh() == 2
    assert len((await reader.at(TALK).state("talk")).texts) == 2


async def test_a_read_only_store_must_be_there(sqlite_url):
    with pytest.raises(StoreError, match="there is no store at"):
        await StateManager.open(sqlite_url, read_only=True)


def test_two_event_loops_one_after_the_other(sqlite_url):
    async def say() -> int:
        async with StateManager.open(sqlite_url, modules=chat.modules()) as manager:
            return (await manager.dispatch(HELLO, to=TALK)).version

    assert [1, 2] == [asyncio.run(say()), asyncio.run(say())]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts open files as Linux shows them")
async def test_opening_and_closing_leaks_nothing(sqlite_url):
    async def cycle(durability: str) -> None:
        async with StateManager.open(sqlite_url, modules=chat.modules(), durability=durability) as manager:

            async def receive(change):
                pass

            manager.subscribe(receive)
            manager.changes()
            await manager.dispatch(HELLO, to=TALK)
            await manager.at(OTHER).state(at=0)
        await asyncio.sleep(0)

    def held() -> tuple[int, int, int]:
        gc.collect()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("eliza-state")]
        return len(threads), len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    await cycle("committed")
    before = held()
    for number in range(20):
        await cycle(("committed", "buffered")[number % 2])

    assert before == held()


# The invariant: state is the fold of the records

SCOPES = [
    Path(),
    AGENT,
    ROOM,
    TALK,
    OTHER,
    TALK.child("message", "m"),
    AGENT.child("user", "u"),
    Path().child("agent", "b").child("room", "r"),
]


@event("added")
class Added:
    """Something was added; odd amounts are refused by the scope they are addressed to."""

    amount: int


@event("cleared")
class Cleared:
    """All of it went."""


@attrs.frozen
class Sum:
    value: int = 0
    seen: tuple[int, ...] = ()


def sum_module(name: str, level: str) -> StateModule[Sum]:
    """A module that sums up; it refuses odd amounts addressed to it, and keeps the last five."""

    class SumModule(StateModule[Sum]):
        @reduces(Added)
        def add(self, state: Sum, event: Added, path: Path) -> Sum:
            if event.amount % 2 and (path.level or "global") == level:
                raise Rejected("odd")
            if not event.amount:
                return state
            return Sum(state.value + event.amount, (*state.seen, event.amount)[-5:])

        @reduces(Cleared)
        def clear(self, state: Sum, _event: Cleared) -> Sum:
            return state if state == Sum() else Sum()

    SumModule.name, SumModule.level = name, level
    return SumModule()


SUMS = {"root": "global", "agents": "agent", "rooms": "room", "talks": "conversation"}


class Typed(StateModule[Sum]):
    name = "typed"
    level = "conversation"
    volatile = True

    @reduces(Typing)
    def type(self, state: Sum, event: Typing) -> Sum:
        return Sum(state.value + 1)


AMOUNTS = st.integers(0, 9)
PLACES = st.sampled_from(SCOPES)
HAPPENED = st.builds(Added, amount=AMOUNTS) | st.just(Cleared())


class Store(RuleBasedStateMachine):
    """A store beside a list of what it took, folded by hand."""

    url = "memory://"
    folder: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.log: list[tuple[Any, Path]] = []
        self.typed: dict[Path, int] = {}
        self.count = 0

    @initialize()
    def open(self) -> None:
        if self.url != "memory://":
            Store.count = getattr(Store, "count", 0) + 1
            self.store = f"{self.url}{Store.count}.db"
        else:
            self.store = self.url
        self._open()

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def _open(self) -> None:
        async def opening() -> StateManager:
            return await StateManager.open(
                self.store,
                modules=[*(sum_module(name, level) for name, level in SUMS.items()), Typed()],
                limits=Limits(max_scopes=2),
            )

        self.manager = self.run(opening())

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.run(self.manager.close())
        self.loop.close()

    # The model

    @staticmethod
    def level(path: Path) -> str:
        return path.level or "global"

    def refusal(self, event: Any, path: Path) -> type[StateError] | None:
        chain = {self.level(above) for above in path.chain()}
        assert chain & set(SUMS.values())
        odd = isinstance(event, Added) and event.amount % 2
        return Rejected if odd and self.level(path) in SUMS.values() else None

    def fold(self, path: Path, until: int) -> dict[str, Sum]:
        level = self.level(path)
        state = Sum()
        for happened, to in self.log[:until]:
            if to != path and not to.is_below(path):
                continue
            if isinstance(happened, Cleared):
                state = Sum()
            elif happened.amount:
                state = Sum(state.value + happened.amount, (*state.seen, happened.amount)[-5:])
        return {name: state for name, where in SUMS.items() if where == level}

    # The rules

    @rule(event=HAPPENED, to=PLACES)
    def dispatch(self, event: Any, to: Path) -> None:
        refused = None
        try:
            change = self.run(self.manager.dispatch(event, to=to))
        except StateError as error:
            refused = type(error)
        else:
            self.log.append((event, to))
            assert len(self.log) == change.position

        assert refused is self.refusal(event, to)

    @rule(batch=st.lists(st.tuples(HAPPENED, PLACES), min_size=1, max_size=6), lenient=st.booleans())
    def dispatch_all(self, batch: list[tuple[Any, Path]], lenient: bool) -> None:
        wanted = [self.refusal(*each) for each in batch]
        refused, outcomes = None, []
        try:
            outcomes = self.run(self.manager.dispatch_all(batch, return_exceptions=lenient))
        except StateError as error:
            refused = type(error)

        assert (None if lenient else next(filter(None, wanted), None)) is refused
        if refused is None:
            assert wanted == [type(each) if isinstance(each, StateError) else None for each in outcomes]
            self.log += [each for each, error in zip(batch, wanted, strict=True) if error is None]

    @rule(events=st.lists(st.tuples(HAPPENED, PLACES), min_size=2, max_size=8))
    def dispatch_together(self, events: list[tuple[Any, Path]]) -> None:
        async def together() -> list[Any]:
            calls = (self.manager.dispatch(happened, to=to) for happened, to in events)
            return await asyncio.gather(*calls, return_exceptions=True)

        taken = []
        for (happened, to), outcome in zip(events, self.run(together()), strict=True):
            wanted = self.refusal(happened, to)
            assert wanted is (type(outcome) if isinstance(outcome, BaseException) else None)
            if wanted is None:
                taken.append((outcome.position, happened, to))
        self.log += [tuple(each) for _, *each in sorted(taken, key=lambda each: each[0])]

    @rule(to=st.sampled_from([TALK, OTHER]))
    def type(self, to: Path) -> None:
        self.run(self.manager.dispatch(Typing(user="ada"), to=to))

    @precondition(lambda self: self.url != "memory://")
    @rule()
    def reopen(self) -> None:
        self.run(self.manager.close())
        self._open()

    @rule(path=PLACES, part=st.floats(0, 1))
    def look_back(self, path: Path, part: float) -> None:
        position = round(part * len(self.log))
        found = dict(self.run(self.manager.at(path).state(at=position)))
        found.pop("typed", None)

        assert self.fold(path, position) == found

    # The invariants

    @invariant()
    def state_is_the_fold(self) -> None:
        if not hasattr(self, "manager"):
            return
        for path in SCOPES:
            found = dict(self.run(self.manager.at(path).state()))
            found.pop("typed", None)

            assert self.fold(path, len(self.log)) == found

    @invariant()
    def records_are_in_order(self) -> None:
        if not hasattr(self, "manager"):
            return
        records = self.run(self.manager.root.records(limit=None))
        versions: dict[Path, int] = {}

        assert list(range(1, len(self.log) + 1)) == [record.position for record in records]
        assert [to for _, to in self.log] == [record.path for record in records]
        for record in records:
            versions[record.path] = versions.get(record.path, 0) + 1
            assert versions[record.path] == record.version


@pytest.mark.parametrize(("kind", "count"), [("memory", 40), ("sqlite", 20)])
def test_state_is_the_fold_of_the_records(kind, count, tmp_path):
    machine = type(
        "OneStore", (Store,), {"url": "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/"}
    )
    machine.TestCase.settings = settings(
        max_examples=examples(count), stateful_step_count=15, deadline=None, print_blob=True
    )
    machine.TestCase().runTest()
