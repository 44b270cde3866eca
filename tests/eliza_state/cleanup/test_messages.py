"""Trimming old messages: an event in the scope, and all of the past as it was."""

from __future__ import annotations

import datetime

import pytest

from eliza_modules.conversation import ConversationEnded, ConversationModule, MessageReceived
from eliza_modules.room import RoomClosed
from eliza_state.cleanup import Cleaner, OldMessages, clean
from tests.eliza_state.cleanup.chat import DAY, ROOM, ids, live_days, pass_days, said, say, talk

C1, C2 = talk("c1"), talk("c2")
OTHER = ROOM.parent.child("room", "other")


@pytest.fixture
async def manager(open_chat, url):
    return await open_chat(url)


async def trim(manager, *, dry_run=False, **bounds):
    report = await clean(manager, [OldMessages(**bounds)], share=1, dry_run=dry_run)
    (outcome,) = report.outcomes
    return outcome


async def test_scopes_with_too_many_are_trimmed(manager, clock):
    await say(manager, C1, clock, count=5)
    await say(manager, C2, clock, count=2)
    outcome = await trim(manager, max_count=3)

    assert await ids(manager, C1) == ("m2", "m3", "m4")
    assert await ids(manager, C2) == ("m0", "m1")
    assert (outcome.done, outcome.unit, outcome.failed) == (2, "messages", 0)


async def test_messages_that_are_too_old_go(manager, clock):
    await say(manager, C1, clock, count=2)
    await live_days(manager, clock, 3)
    await say(manager, C1, clock, count=1, start=2)
    outcome = await trim(manager, max_age=2 * DAY)

    assert await ids(manager, C1) == ("m2",)
    assert outcome.done == 2


async def test_the_past_shows_all_messages(manager, clock):
    await say(manager, C1, clock, count=5)
    position = await manager.position()
    await trim(manager, max_count=1)
    past = await manager.at(C1).state(ConversationModule, at=position)

    assert len(past.messages) == 5


async def test_a_dry_run_counts_and_changes_nothing(manager, clock):
    await say(manager, C1, clock, count=5)
    position = await manager.position()
    outcome = await trim(manager, max_count=3, dry_run=True)

    assert (outcome.done, await manager.position()) == (2, position)


async def test_a_second_pass_finds_nothing(manager, clock):
    await say(manager, C1, clock, count=5)
    await trim(manager, max_count=3)
    position = await manager.position()
    outcome = await trim(manager, max_count=3)

    assert (outcome.done, await manager.position()) == (0, position)


async def test_messages_without_a_time_are_passed_over(manager, clock):
    await manager.dispatch(MessageReceived(id="timeless", user="ada", text="hello"), to=C1)
    await say(manager, C1, clock, count=2)
    await live_days(manager, clock, 3)
    await trim(manager, max_age=2 * DAY)

    assert await ids(manager, C1) == ("timeless",)


async def test_a_time_without_a_zone_counts_as_utc(manager, clock):
    naive = clock.now.replace(tzinfo=None)
    await manager.dispatch(MessageReceived(id="naive", user="ada", text="hello", at=naive), to=C1)
    await live_days(manager, clock, 3)
    await trim(manager, max_age=2 * DAY)

    assert await ids(manager, C1) == ()


async def test_an_ended_conversation_is_left_alone(manager, clock):
    await say(manager, C1, clock, count=5)
    await manager.dispatch(ConversationEnded(), to=C1)
    outcome = await trim(manager, max_count=3)

    assert (outcome.done, outcome.failed) == (0, 0)


async def test_conversations_of_a_closed_room_are_left_alone(manager, clock):
    await say(manager, C1, clock, count=5)
    await manager.dispatch(RoomClosed(), to=ROOM)
    outcome = await trim(manager, max_count=3)

    assert (outcome.done, outcome.failed) == (0, 0)


async def test_what_is_in_the_archive_is_left_alone(store, clock):
    await say(store, C1, clock, count=5)
    await say(store, talk("c1", room=OTHER), clock, count=5)
    await store.archive.store(C1, OTHER)
    outcome = await trim(store, max_count=3)

    assert (outcome.done, outcome.failed) == (0, 0)


async def test_one_that_fails_does_not_stop_the_others(manager, clock):
    await say(manager, C1, clock, count=5)
    pass_days(clock, 1)
    # What the payload of the policy's event does not fit fails, for each scope alone.
    report = await clean(
        manager,
        [OldMessages(max_count=3, event="topic_updated"), OldMessages(max_count=3)],
        share=1,
    )
    failing, working = report.outcomes

    assert (failing.failed, failing.failures[0].what) == (1, C1.encode())
    assert working.done == 2
    assert not report.is_good


async def test_a_module_that_is_not_there_is_named(manager, clock):
    await say(manager, C1, clock)
    report = await clean(manager, [OldMessages(max_count=1, module="forum")], share=1)

    assert "no module 'forum' is registered" in report.outcomes[0].failures[0].reason


async def test_a_cleaner_looks_only_at_what_is_new(manager, clock):
    """Scopes that an earlier pass has seen are not opened again: nothing has come to them."""
    await say(manager, C1, clock, count=5)
    cleaner = Cleaner(manager, [OldMessages(max_count=3)], share=1)
    await cleaner.clean()
    await manager.dispatch(said("new", clock), to=C2)
    await say(manager, C1, clock, count=2, start=5)
    report = await cleaner.clean()

    assert (await ids(manager, C1), report.outcomes[0].done) == (("m4", "m5", "m6"), 2)


async def test_ages_need_a_look_at_all(manager, clock):
    await say(manager, C1, clock, count=2)
    cleaner = Cleaner(manager, [OldMessages(max_age=2 * DAY)], share=1)
    await cleaner.clean()
    await live_days(manager, clock, 3)
    report = await cleaner.clean()

    assert (await ids(manager, C1), report.is_good) == ((), True)


async def test_a_message_of_right_now_is_no_old_one(manager, clock):
    await live_days(manager, clock, 10)
    await say(manager, C1, clock)
    await trim(manager, max_age=datetime.timedelta(seconds=1))

    assert await ids(manager, C1) == ("m0",)
