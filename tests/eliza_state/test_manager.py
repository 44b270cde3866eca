"""A whole store, through its public face: dispatching, registering modules, reading."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from eliza_state.errors import (
    InvalidEvent,
    InvalidPath,
    ReducerError,
    RegistrationError,
    Rejected,
    StaleState,
    StateError,
    UnknownTransition,
)
from eliza_state.limits import Limits
from eliza_state.module import compose
from eliza_state.path import Path
from eliza_state.testing import ManualClock, RecordingReceiver
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
    everything,
)

HELLO = Said(user="ada", text="hello")


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
