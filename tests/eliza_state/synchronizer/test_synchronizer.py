"""The vector clock of a slice."""

from __future__ import annotations

import pytest

from eliza_state.errors import RegistrationError, StateError
from eliza_state.manager import StateManager
from eliza_state.synchronizer import Synchronizer, VectorClock
from tests.eliza_state import chat
from tests.eliza_state.chat import OTHER, ROOM, TALK, Drawn, Joined, Noted, Said
from tests.eliza_state.synchronizer.replicas import meet


async def filled(manager: StateManager) -> str:
    """Reach slices of several scopes; return the writer."""
    await manager.dispatch_all(
        [
            (Said(user="ada", text="one"), TALK),
            (Said(user="ada", text="two"), OTHER),
            (Joined(user="bo"), ROOM),
            (Drawn(amount=1), chat.AGENT),
            (Noted(), TALK),
        ]
    )
    return manager.journal.writer


@pytest.mark.parametrize(
    ("path", "module", "count"),
    [
        (TALK, "talk", 2),
        (TALK, chat.TalkModule, 2),
        (ROOM, "people", 4),
        ("", "totals", 4),
        (chat.AGENT, "budget", 1),
    ],
)
async def test_it_counts_the_records_that_reach_the_slice(manager, path, module, count):
    writer = await filled(manager)

    assert VectorClock({writer: count}) == await Synchronizer(manager).clock_of(path, module)


async def test_it_can_be_asked_of_an_earlier_position(manager):
    writer = await filled(manager)
    synchronizer = Synchronizer(manager)

    clocks = [await synchronizer.clock_of(ROOM, "people", at=position) for position in range(4)]

    assert [VectorClock({writer: count}) for count in (0, 1, 2, 3)] == clocks


async def test_a_slice_that_nothing_has_reached_has_the_empty_clock(manager):
    assert VectorClock() == await Synchronizer(manager).clock_of(TALK, "talk")


async def test_what_was_erased_goes_on_counting(manager):
    writer = await filled(manager)
    await manager.erase(TALK)

    assert VectorClock({writer: 2}) == await Synchronizer(manager).clock_of(TALK, "talk")


async def test_a_module_that_came_later_counts_what_it_sees(opened):
    class LateModule(chat.TalkModule):
        since_position = 1

    manager = await opened(modules=[LateModule()])
    for text in ("one", "two"):
        await manager.dispatch(Said(user="ada", text=text), to=TALK)

    clock = await Synchronizer(manager).clock_of(TALK, "talk")

    assert [1] == list(clock.counts().values())


@pytest.mark.parametrize(
    ("at", "module", "error"),
    [(6, "talk", StateError), (-1, "talk", StateError), (0, "x", RegistrationError)],
)
async def test_what_is_not_there_is_refused(manager, at, module, error):
    await filled(manager)

    with pytest.raises(error):
        await Synchronizer(manager).clock_of(TALK, module, at=at)


async def test_clocks_of_replicas_tell_who_has_seen_what(laptop, phone):
    async def clock(manager: StateManager) -> VectorClock:
        return await Synchronizer(manager).clock_of(TALK, "talk")

    await laptop.say("one")
    meet(laptop, phone)
    await laptop.say("two")
    ahead, behind = await laptop.use(clock), await phone.use(clock)
    await phone.say("three")
    apart = await phone.use(clock)
    meet(laptop, phone)
    both = [await laptop.use(clock), await phone.use(clock)]

    assert behind.is_before(ahead)
    assert ahead.is_concurrent_with(apart)
    assert [ahead.join(apart)] * 2 == both
