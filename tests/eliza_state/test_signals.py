"""Who is told what: receivers that cannot harm each other, and their queues."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from eliza_state.errors import InvalidPath, RegistrationError
from eliza_state.lifecycle import Phase
from eliza_state.signals import Filter
from eliza_state.testing import RecordingReceiver
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Drawn, Joined, Noted, Said, Typing


def said(number: int) -> Said:
    return Said(user="ada", text=str(number))


async def say(manager, count: int, *, to=TALK) -> None:
    for number in range(count):
        await manager.dispatch(said(number), to=to)


def kinds(manager) -> list[str]:
    return [problem.kind for problem in manager.problems]


async def test_two_managers_never_hear_each_other(opened, url):
    one, other = await opened(), await opened(url)
    heard, elsewhere = RecordingReceiver(), RecordingReceiver()
    one.subscribe(heard)
    other.subscribe(elsewhere)
    await other.dispatch(Joined(user="ada"), to=ROOM)

    assert (0, 1) == (len(heard), len(elsewhere))


async def test_a_plain_receiver_has_run_when_the_dispatch_returns(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    change = await manager.dispatch(said(1), to=TALK)

    assert [change] == receiver.changes


async def test_plain_receivers_run_in_position_order(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    await asyncio.gather(
        *(manager.dispatch(said(number), to=(TALK, OTHER)[number % 2]) for number in range(50))
    )

    assert list(range(1, 51)) == receiver.positions


async def test_a_receiver_sees_the_state_after_the_change(manager):
    seen = []
    scope = manager.at(TALK)
    manager.subscribe(lambda change: seen.append(change.slices[-1].after))
    await scope.dispatch(said(1))

    assert [await scope.state("talk")] == seen


async def test_an_event_that_changes_nothing_is_not_announced(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    change = await manager.dispatch(Noted(), to=TALK)

    assert (1, (), []) == (change.position, change.slices, receiver.changes)
    assert [1] == [record.position for record in await manager.root.records()]


async def test_a_volatile_change_is_announced(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    await manager.dispatch(Typing(user="ada"), to=TALK)

    assert ([Typing(user="ada")], [0]) == (receiver.events, receiver.positions)


async def test_a_receiver_that_raises_stops_nobody_and_is_reported(manager):
    def broken(change):
        raise ValueError("receiver")

    before, after = RecordingReceiver(), RecordingReceiver()
    for receiver in (before, broken, after):
        manager.subscribe(receiver)
    change = await manager.dispatch(said(1), to=TALK)

    assert [change] == before.changes == after.changes
    (problem,) = manager.problems
    assert ("receiver", TALK, ValueError) == (problem.kind, problem.path, type(problem.error))
    assert "broken" in problem.message


async def test_an_async_receiver_that_raises_goes_on_with_the_next_change(manager):
    seen = []

    async def broken(change):
        seen.append(change.position)
        raise ValueError("receiver")

    manager.subscribe(broken)
    await say(manager, 3)
    await manager.settled()

    assert [1, 2, 3] == seen
    assert ["receiver"] * 3 == kinds(manager)


async def test_nobody_waits_for_an_async_receiver(manager):
    gate, seen = asyncio.Event(), []

    async def slow(change):
        await gate.wait()
        seen.append(change.position)

    manager.subscribe(slow)
    await say(manager, 3)

    assert seen == []
    gate.set()
    await manager.settled()
    assert [1, 2, 3] == seen


async def test_an_object_with_an_async_call_has_a_queue_too(manager):
    class Receiver:
        def __init__(self):
            self.seen = []

        async def __call__(self, change):
            await asyncio.sleep(0)
            self.seen.append(change.position)

    receiver = Receiver()
    manager.subscribe(receiver)
    await say(manager, 2)
    await manager.settled()

    assert [1, 2] == receiver.seen


async def test_async_receivers_do_not_wait_for_each_other(manager):
    gate, seen = asyncio.Event(), asyncio.Queue()

    async def stuck(change):
        await gate.wait()

    manager.subscribe(stuck)
    manager.subscribe(seen.put)
    await say(manager, 2)

    assert [1, 2] == [(await seen.get()).position for _ in range(2)]
    gate.set()


async def test_an_async_receiver_that_falls_behind_loses_the_oldest_and_it_is_reported(manager):
    gate, seen = asyncio.Event(), []

    async def slow(change):
        await gate.wait()
        seen.append(change.position)

    manager.core.signals.subscribe(slow, wanted=Filter(), queue_size=2)
    await manager.dispatch_all([(said(number), TALK) for number in range(5)])
    gate.set()
    await manager.settled()

    assert [4, 5] == seen
    assert ["overflow"] * 3 == kinds(manager)


async def test_an_async_receiver_may_dispatch(manager):
    async def answer(change):
        if change.event.user != "eliza":
            await manager.dispatch(Said(user="eliza", text="go on"), to=change.path)

    manager.subscribe(answer, event=Said)
    await say(manager, 3)
    await manager.settled()

    assert sorted((await manager.at(TALK).state("talk")).counts.items()) == [("ada", 3), ("eliza", 3)]


async def test_a_plain_receiver_may_start_a_dispatch(manager):
    tasks = []

    def answer(change):
        if change.event.user != "eliza":
            answered = manager.dispatch(Said(user="eliza", text="go on"), to=change.path)
            tasks.append(asyncio.ensure_future(answered))

    manager.subscribe(answer)
    await say(manager, 2)
    await asyncio.gather(*tasks)

    assert (await manager.at(TALK).state("talk")).counts["eliza"] == 2


async def test_settled_returns_at_once_where_nobody_listens(manager):
    await say(manager, 1)

    await manager.settled()


# Filters

FILTERS = [
    ({"below": TALK}, {1}),
    ({"below": TALK.encode()}, {1}),
    ({"below": ROOM}, {1, 2, 3}),
    ({"below": AGENT}, {1, 2, 3, 4}),
    ({"below": ""}, {1, 2, 3, 4, 5}),
    ({"below": AGENT.child("room", "gen")}, set()),
    ({"module": "talk"}, {1, 2}),
    ({"module": "totals"}, {1, 2, 3, 4, 5}),
    ({"event": Joined}, {3, 5}),
    ({"event": "drawn"}, {4}),
    ({"below": ROOM, "event": Said, "module": "people"}, {1}),
    ({"event": "unknown"}, set()),
]


async def all_sorts(manager) -> None:
    await manager.dispatch(said(1), to=TALK)
    await manager.dispatch(said(2), to=OTHER)
    await manager.dispatch(Joined(user="bob"), to=ROOM)
    await manager.dispatch(Drawn(amount=1), to=AGENT)
    await manager.dispatch(Joined(user="bob"), to="")


@pytest.mark.parametrize(("wanted", "positions"), FILTERS)
async def test_filters_pass_what_is_wanted(opened, wanted, positions):
    manager = await opened()
    receiver = RecordingReceiver()
    manager.subscribe(receiver, **wanted)
    await all_sorts(manager)

    assert positions == set(receiver.positions)


@pytest.mark.parametrize(("wanted", "positions"), FILTERS)
async def test_filters_hold_for_queues_too(opened, wanted, positions):
    manager = await opened()
    changes = manager.changes(**wanted)
    await all_sorts(manager)
    changes.close()

    assert positions == {change.position async for change in changes}


async def test_a_handle_may_stand_for_its_path(opened):
    manager = await opened()
    receiver = RecordingReceiver()
    manager.subscribe(receiver, below=manager.at(TALK))
    await all_sorts(manager)

    assert [1] == receiver.positions


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"below": "nowhere:x"}, InvalidPath),
        ({"below": "nonsense"}, InvalidPath),
        ({"event": int}, RegistrationError),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(opened, wanted, error):
    manager = await opened()

    with pytest.raises(error):
        manager.subscribe(RecordingReceiver(), **wanted)


# Ends


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_cancelled_subscription_hears_no_more(opened, asynchronous):
    manager = await opened()
    receiver = RecordingReceiver()

    async def receive(change):
        receiver(change)

    subscription = manager.subscribe(receive if asynchronous else receiver)
    await say(manager, 1)
    await manager.settled()
    subscription.cancel()
    subscription.cancel()
    await say(manager, 1)
    await manager.settled()

    assert [1] == receiver.positions


async def test_a_subscription_is_a_context(opened):
    manager = await opened()
    receiver = RecordingReceiver()
    with manager.subscribe(receiver):
        await say(manager, 1)
    await say(manager, 1)

    assert [1] == receiver.positions


async def test_the_same_receiver_twice_hears_twice_and_leaves_once(opened):
    manager = await opened()
    receiver = RecordingReceiver()
    first = manager.subscribe(receiver, below=TALK)
    manager.subscribe(receiver, below=TALK)
    await say(manager, 1)
    first.cancel()
    await say(manager, 1)

    assert [1, 1, 2] == receiver.positions


async def test_a_receiver_may_cancel_itself_while_it_is_told(opened):
    manager = await opened()
    seen, other = [], RecordingReceiver()

    def once(change):
        seen.append(change.position)
        subscription.cancel()

    subscription = manager.subscribe(once)
    manager.subscribe(other)
    await say(manager, 2)

    assert ([1], [1, 2]) == (seen, other.positions)


# blinker


async def test_the_signal_tells_the_manager_and_the_change(manager):
    heard = []

    def receive(sender, change):
        heard.append((sender, change))

    manager.state_changed.connect(receive)
    change = await manager.dispatch(said(1), to=TALK)

    assert [(manager, change)] == heard
    assert manager.state_changed.name == "state:changed"


async def test_the_signal_keeps_receivers_weakly(opened):
    manager = await opened()

    class Receiver:
        def receive(self, sender, change):
            raise AssertionError("gone by now")

    receiver = Receiver()
    manager.state_changed.connect(receiver.receive)
    gone = weakref.ref(receiver)
    del receiver
    gc.collect()
    await say(manager, 1)

    assert gone() is None
    assert list(manager.problems) == []


async def test_the_signal_disconnects(opened):
    manager = await opened()
    heard = []

    def receive(sender, change):
        heard.append(change)

    manager.state_changed.connect(receive)
    await say(manager, 1)
    manager.state_changed.disconnect(receive)
    await say(manager, 1)

    assert len(heard) == 1


async def test_a_receiver_of_the_signal_that_raises_is_reported(opened):
    manager = await opened()

    def broken(sender, change):
        raise ValueError("receiver")

    manager.state_changed.connect(broken)
    await say(manager, 1)

    assert ["receiver"] == kinds(manager)


async def test_the_signal_takes_plain_receivers_alone(opened):
    manager = await opened()

    async def receive(sender, change):
        pass

    with pytest.raises(TypeError, match="subscribe"):
        manager.state_changed.connect(receive)


async def test_a_receiver_may_dispatch_within_its_call(opened):
    """As with eager tasks: what a receiver brings about is told after what brought it about, to everybody."""
    manager = await opened("memory://")
    talk = manager.at(TALK)
    told: list[str] = []

    def answer(change):
        if change.event.text == "first":
            with pytest.raises(StopIteration):
                talk.dispatch(Said(user="ada", text="second")).send(None)

    manager.subscribe(answer)
    manager.subscribe(lambda change: told.append(change.event.text))
    await talk.dispatch(Said(user="ada", text="first"))

    assert told == ["first", "second"]
    assert Phase.ACTIVE is await talk.phase()
    assert await talk.version() == 2


async def test_a_receiver_subscribed_twice_is_told_twice_until_one_subscription_ends(opened):
    manager = await opened("memory://")
    receiver = RecordingReceiver()
    first, second = manager.subscribe(receiver), manager.subscribe(receiver)
    await manager.dispatch(Said(user="ada", text="a"), to=TALK)
    told = len(receiver)
    first.cancel()
    await manager.dispatch(Said(user="ada", text="b"), to=TALK)
    once = len(receiver)
    second.cancel()
    await manager.dispatch(Said(user="ada", text="c"), to=TALK)

    assert (2, 3, 3) == (told, once, len(receiver))


async def test_receivers_are_counted_by_name_and_what_waits_for_them(manager):
    blocked = asyncio.Event()

    async def slow(_change):
        await blocked.wait()

    def quick(_change): ...

    signals = manager.core.signals
    subscriptions = [manager.subscribe(receiver) for receiver in (slow, quick)]
    subscriptions.append(manager.subscribe(quick, event="said"))
    changes = manager.changes()
    for number in range(3):
        await manager.dispatch(Said(user="ada", text=str(number)), to=TALK)
    counts = {name.rpartition(".")[2]: count for name, count in signals.receivers().items()}

    assert counts == {"slow": 1, "quick": 2, "changes()": 1}
    assert signals.waiting == 3
    changes.close()
    for subscription in subscriptions:
        subscription.cancel()
    assert not signals.receivers()
