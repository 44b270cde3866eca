"""Several writers on one store: conflicts, what others wrote, and who is told."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.dispatcher import Dispatch
from eliza_state.errors import InvalidEvent, Rejected, ScopeArchived, StaleState, StateError
from eliza_state.event import event
from eliza_state.manager import StateManager
from eliza_state.module import reduces
from eliza_state.path import Path
from eliza_state.scope import StateTree
from eliza_state.testing import RecordingReceiver
from tests.effort import examples
from tests.eliza_state import chat
from tests.eliza_state.chat import (
    AGENT,
    OTHER,
    ROOM,
    TALK,
    Closed,
    Drawn,
    Joined,
    Said,
    Talk,
    TalkModule,
    Typing,
)
from tests.forking.process import start_program

HELLO = Said(user="ada", text="hello")


@pytest.fixture
async def two(opened, shared_url):
    """Two managers on one store, both with the usual scopes in memory."""
    managers = await opened(shared_url), await opened(shared_url)
    for manager in managers:
        await manager.at(TALK).state()
        await manager.at(OTHER).state()
    return managers


async def same(*managers: StateManager) -> Any:
    """Refresh managers, check that they agree with each other and with the log, and return the state."""
    for manager in managers:
        await manager.refresh()
    states = [stored(await manager.state()) for manager in managers]
    last = await managers[0].position()

    assert all(state == states[0] for state in states)
    assert states[0] == stored(await managers[0].root.tree(at=last))
    return states[0]


def stored(tree: StateTree) -> StateTree:
    """The tree without the volatile slices, which are each manager's own."""
    slices = {name: state for name, state in tree.slices.items() if name != "presence"}
    return attrs.evolve(tree, slices=slices, children=tuple(stored(child) for child in tree.children))


async def test_a_writer_that_lost_the_race_takes_in_what_it_missed(two):
    one, other = two
    await one.dispatch(HELLO, to=TALK)
    change = await other.dispatch(Said(user="bob", text="hi"), to=TALK)

    assert (2, 2) == (change.position, change.version)
    assert list(change.before["talk"].texts) == ["hello"]
    await same(*two)


async def test_a_writer_elsewhere_fetches_the_gap_before_it_builds_its_change(two):
    one, other = two
    await one.dispatch(HELLO, to=TALK)
    change = await other.dispatch(Said(user="bob", text="hi"), to=OTHER)

    assert [(1, 2), (["ada"], ["ada", "bob"])] == [
        (change.slices[0].before.said, change.slices[0].after.said),
        (list(change.slices[1].before.names), list(change.slices[1].after.names)),
    ]
    await same(*two)


async def test_what_others_wrote_is_announced_as_remote_in_order(two):
    one, other = two
    receiver = RecordingReceiver()
    other.subscribe(receiver)
    await one.dispatch(HELLO, to=TALK)
    await other.dispatch(HELLO, to=OTHER)
    await one.dispatch(HELLO, to=TALK)
    await other.refresh()

    assert [(1, "remote"), (2, "local"), (3, "remote")] == [
        (change.position, change.origin) for change in receiver.changes
    ]
    assert [HELLO] * 3 == receiver.events


async def test_before_and_after_hang_together_across_writers(two):
    receivers = [RecordingReceiver(), RecordingReceiver()]
    for manager, receiver in zip(two, receivers, strict=True):
        manager.subscribe(receiver)
    places = itertools.cycle([TALK, OTHER, ROOM])
    await asyncio.gather(*(two[number % 2].dispatch(HELLO, to=next(places)) for number in range(60)))
    await same(*two)

    for receiver in receivers:
        last: dict[tuple[Path, str], Any] = {}
        assert list(range(1, 61)) == receiver.positions
        for change in receiver.changes:
            for path, name, before, after in change.slices:
                assert last.get((path, name), before) is before
                last[path, name] = after


async def test_interleaved_writers_end_up_equal(two):
    await asyncio.gather(*(two[number % 2].dispatch(HELLO, to=TALK) for number in range(80)))

    assert (await same(*two)).slices["totals"].said == 80
    records = await two[0].root.records(limit=None)
    assert list(range(1, 81)) == [record.version for record in records]


async def test_a_lost_race_is_told_to_who_expects_a_version(two):
    one, other = two
    await one.dispatch(HELLO, to=TALK)

    with pytest.raises(StaleState) as caught:
        await other.dispatch(HELLO, to=TALK, expected_version=0)

    assert (0, 1) == (caught.value.expected, caught.value.actual)
    assert (await other.dispatch(HELLO, to=TALK, expected_version=1)).version == 2
    await same(*two)


async def test_of_writers_that_expect_one_version_one_wins(two):
    outcomes = await asyncio.gather(
        *(two[number % 2].dispatch(HELLO, to=TALK, expected_version=0) for number in range(6)),
        return_exceptions=True,
    )

    assert 1 == sum(not isinstance(outcome, StateError) for outcome in outcomes)
    assert {StaleState} == {type(outcome) for outcome in outcomes if isinstance(outcome, StateError)}
    await same(*two)


async def test_a_conflict_may_turn_into_a_refusal_and_fails_nobody_else(two):
    one, other = two
    await one.dispatch(Drawn(amount=8), to=AGENT)
    refused, taken, batch = await asyncio.gather(
        other.dispatch(Drawn(amount=5), to=AGENT),
        other.dispatch(Drawn(amount=2), to=AGENT),
        other.dispatch_all([(HELLO, TALK), (Drawn(amount=9), AGENT), (HELLO, OTHER)], return_exceptions=True),
        return_exceptions=True,
    )

    assert isinstance(refused, Rejected)
    assert taken.version == 2
    assert [False, True, False] == [isinstance(outcome, Rejected) for outcome in batch]
    assert (await same(*two)).slices["totals"].said == 2
    assert (await other.at(AGENT).state("budget")).left == 0


async def test_a_batch_that_is_refused_after_a_conflict_is_taken_back_whole(two):
    one, other = two
    await one.dispatch(Drawn(amount=8), to=AGENT)
    batch, single = await asyncio.gather(
        other.dispatch_all([(HELLO, TALK), (Drawn(amount=5), AGENT), (HELLO, TALK)]),
        other.dispatch(Said(user="bob", text="x"), to=TALK),
        return_exceptions=True,
    )

    assert isinstance(batch, Rejected)
    assert single.version == 1
    assert (await same(*two)).slices["totals"].said == 1
    assert await other.at(TALK).phase() == "active"


async def test_an_end_written_by_others_refuses_what_is_under_way(two):
    one, other = two
    await one.dispatch(Closed(), to=TALK)
    outcomes = await asyncio.gather(
        *(other.dispatch(HELLO, to=to) for to in (TALK, OTHER, TALK)), return_exceptions=True
    )

    assert [True, False, True] == [isinstance(outcome, ScopeArchived) for outcome in outcomes]
    await same(*two)


# One id, two writers


async def test_one_id_in_two_writers_is_one_record(two):
    one, other = two
    outcomes = await asyncio.gather(
        one.dispatch(HELLO, to=TALK, id="once"),
        other.dispatch(HELLO, to=TALK, id="once"),
        other.dispatch(Joined(user="bob"), to=ROOM),
        other.dispatch_all([Dispatch(HELLO, TALK, id="once"), Dispatch(HELLO, OTHER, id="more")]),
    )

    (place,) = {(change.position, change.version) for change in (*outcomes[:2], outcomes[3][0])}
    assert 1 == place[1]
    assert [False, True] == sorted(change.duplicate for change in outcomes[:2])
    assert not outcomes[2].duplicate
    assert (await same(*two)).slices["totals"].events == 3
    assert [record.position for record in await one.root.records()] == [1, 2, 3]


async def test_one_id_for_two_events_in_two_writers_is_refused_to_the_later(two):
    one, other = two
    outcomes = await asyncio.gather(
        one.dispatch(HELLO, to=TALK, id="once"),
        other.dispatch(Said(user="bob", text="hi"), to=TALK, id="once"),
        other.dispatch(HELLO, to=TALK, id="another"),
        return_exceptions=True,
    )

    assert 1 == sum(isinstance(outcome, InvalidEvent) for outcome in outcomes[:2])
    assert isinstance(outcomes[1], InvalidEvent) or isinstance(outcomes[0], InvalidEvent)
    assert not outcomes[2].duplicate
    await same(*two)
    assert await one.at(TALK).version() == 2


async def test_an_id_that_others_wrote_and_nobody_followed_yet_is_known(two):
    one, other = two
    first = await one.dispatch(HELLO, to=TALK, id="once")
    again = await other.dispatch(HELLO, to=TALK, id="once")

    assert (first.position, True) == (again.position, again.duplicate)
    await same(*two)


# Volatile events among stored ones


async def test_a_volatile_event_takes_no_version_when_a_batch_meets_what_others_wrote(two):
    one, other = two
    await one.dispatch(HELLO, to=OTHER)
    batch = await other.dispatch_all([(HELLO, TALK), (Typing(user="bob"), TALK), (HELLO, TALK)])

    assert [(2, 1), (0, 1), (3, 2)] == [(change.position, change.version) for change in batch]
    assert (await other.dispatch(HELLO, to=TALK)).version == 3
    assert (await other.at(TALK).state("presence")).typing == ("bob",)
    await one.refresh()
    assert await one.at(TALK).version() == await other.at(TALK).version() == 3


async def test_the_volatile_state_of_one_manager_is_its_own(two):
    one, other = two
    await one.dispatch(Typing(user="bob"), to=TALK)
    await one.dispatch(HELLO, to=TALK)
    await other.refresh()

    assert (("bob",), ()) == (
        (await one.at(TALK).state("presence")).typing,
        (await other.at(TALK).state("presence")).typing,
    )


# Records whose reducers or classes fail here


@event("odd")
class Odd:
    pass


async def test_records_of_events_unknown_here_are_left_out_and_counted(opened, sqlite_url):
    class More(TalkModule):
        name = "more"

        @reduces(Odd)
        def odd(self, state: Talk, _event: Odd) -> Talk:
            return state

    one, other = await opened(sqlite_url, modules=[*chat.modules(), More()]), await opened(sqlite_url)
    await other.at(TALK).state()
    await one.dispatch(Odd(), to=TALK)
    change = await other.dispatch(HELLO, to=TALK)

    assert (2, 2) == (change.position, change.version)
    assert list(other.problems) == [] or {"journal"} == {problem.kind for problem in other.problems}


async def test_a_reducer_that_raises_on_a_record_of_others_is_reported_and_its_slice_stays(
    opened, sqlite_url
):
    class Strict(TalkModule):
        @reduces(Said)
        def say(self, state: Talk, event: Said) -> Talk:
            if event.text == "hello":
                raise ValueError("not here")
            return super().say(state, event)

    one = await opened(sqlite_url)
    other = await opened(sqlite_url, modules=[chat.TotalsModule(), chat.PeopleModule(), Strict()])
    await other.at(TALK).state()
    await one.dispatch(HELLO, to=TALK)
    await other.refresh()

    assert (await other.root.state("totals")).said == 1
    assert await other.at(TALK).state("talk") == Talk() == await other.at(TALK).state("talk", at=1)
    assert "reducer" in {problem.kind for problem in other.problems}


# Many interleavings

PLACES = [Path(), AGENT, ROOM, TALK, OTHER]
ACTS = st.one_of(
    st.tuples(st.just("said"), st.sampled_from(PLACES)),
    st.tuples(st.just("drawn"), st.sampled_from([AGENT, TALK])),
    st.tuples(st.just("typing"), st.just(TALK)),
    st.tuples(st.just("batch"), st.sampled_from(PLACES)),
    st.tuples(st.just("once"), st.sampled_from([TALK, ROOM])),
    st.tuples(st.just("refresh"), st.none()),
    st.tuples(st.just("turn"), st.none()),
)


@settings(max_examples=examples(60))
@given(acts=st.lists(st.tuples(st.integers(0, 1), ACTS), min_size=5, max_size=40))
def test_any_interleaving_of_two_writers_is_one_history(acts, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('two')}/state.db?synchronous=NORMAL"

    def act(manager: StateManager, kind: str, to: Any) -> Any:
        match kind:
            case "said":
                return manager.dispatch(HELLO, to=to)
            case "drawn":
                return manager.dispatch(Drawn(amount=3), to=to)
            case "typing":
                return manager.dispatch(Typing(user="bob"), to=to)
            case "batch":
                return manager.dispatch_all(
                    [(HELLO, to), (Typing(user="cy"), TALK), (Drawn(amount=1), AGENT)]
                )
            case "once":
                return manager.dispatch(HELLO, to=to, id="once")
        return manager.refresh()

    async def play() -> None:
        options: Any = {"modules": chat.modules()}
        async with StateManager.open(url, **options) as one, StateManager.open(url, **options) as other:
            calls = []
            for number, (kind, to) in acts:
                if kind == "turn":
                    await asyncio.sleep(0)
                else:
                    calls.append(asyncio.ensure_future(act((one, other)[number], kind, to)))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)

            assert {Rejected} >= {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)}
            state = await same(one, other)
            records = await one.root.records(limit=None)
            assert [record.position for record in records] == list(range(1, len(records) + 1))
            changes = [change for outcome in outcomes if isinstance(outcome, list) for change in outcome]
            changes += [outcome for outcome in outcomes if hasattr(outcome, "record")]
            told = [change.record.key for change in changes if change.position and not change.duplicate]
            assert sorted(told) == sorted(record.key for record in records)
            assert state.slices["totals"].events == len(records)
            left = (await one.at(AGENT).state("budget")).left
            assert 0 <= left <= 10

    asyncio.run(play())


# Another process

CHILD = """
import asyncio, sys
from eliza_state.manager import StateManager
from tests.eliza_state import chat

async def main(url):
    async with StateManager.open(f"{url}?synchronous=NORMAL", modules=chat.modules()) as manager:
        print("open", flush=True)
        await asyncio.gather(*(
            manager.dispatch(chat.Said(user="child", text=str(n)), to=(chat.TALK, chat.OTHER)[n % 2])
            for n in range(60)
        ))

asyncio.run(main(sys.argv[1]))
"""


async def test_two_processes_share_a_store(opened, sqlite_url):
    manager = await opened(sqlite_url)
    with start_program(CHILD, sqlite_url) as child:
        await asyncio.to_thread(child.stdout.readline)
        for number in range(60):
            await manager.dispatch(Said(user="parent", text=str(number)), to=(TALK, OTHER)[number % 2])
        ended = await asyncio.to_thread(child.wait)

    assert 0 == ended
    state = await same(manager)
    assert (120, 120) == (state.position, state.slices["totals"].said)
    for to in (TALK, OTHER):
        assert dict((await manager.at(to).state("talk")).counts) == {"child": 30, "parent": 30}
