"""One pass: policies in order, one lease, and no policy in another's way."""

from __future__ import annotations

import json

import pytest

from eliza_state.cleanup import (
    Compaction,
    ExpiredKeys,
    FileLease,
    LeaseTaken,
    OldMessages,
    clean,
)
from eliza_state.errors import StateError, StoreError
from tests.eliza_state.cleanup.chat import DAY, ids, live_days, pass_days, say, talk

C1 = talk("c1")


async def test_policies_are_carried_out_in_their_order(store, clock):
    await say(store, C1, clock, count=3)
    report = await clean(store, [Compaction(), OldMessages(max_count=1), ExpiredKeys()], share=1)

    assert [outcome.policy for outcome in report.outcomes] == ["compaction", "old messages", "expired keys"]
    assert report.is_good
    assert json.dumps(report.to_dict())


async def test_a_policy_that_fails_does_not_stop_the_next(store, clock):
    await say(store, C1, clock, count=3)
    report = await clean(store, [OldMessages(max_count=1, module="forum"), OldMessages(max_count=1)], share=1)
    first, second = report.outcomes

    assert (first.failed, first.failures[0].what, second.done) == (1, "the policy", 2)


async def test_one_pass_at_a_time_works_on_a_store(store, clock):
    await say(store, C1, clock, count=3)
    lease = FileLease(store.core.database)
    lease.take()
    try:
        with pytest.raises(LeaseTaken):
            await clean(store, [OldMessages(max_count=1)], share=1)
        dry = await clean(store, [OldMessages(max_count=1)], share=1, dry_run=True)
    finally:
        lease.release()

    assert (dry.outcomes[0].done, len(await ids(store, C1))) == (2, 3)
    assert (await clean(store, [OldMessages(max_count=1)], share=1)).outcomes[0].done == 2


async def test_the_clock_is_believed_only_when_it_is_to_be(store, clock):
    await live_days(store, clock, 5)
    await say(store, C1, clock)
    pass_days(clock, 100)
    policy = OldMessages(max_age=7 * DAY)
    careful = await clean(store, [policy], share=1, dry_run=True)
    trusting = await clean(store, [policy], share=1, dry_run=True, trust_clock=True)

    assert (careful.outcomes[0].done, trusting.outcomes[0].done) == (0, 6)
    assert (careful.moment, trusting.moment) == (clock.now - 100 * DAY, clock.now)


async def test_a_store_that_is_only_read_is_only_looked_at(open_chat, sqlite_url, clock):
    manager = await open_chat(sqlite_url)
    await say(manager, C1, clock, count=3)
    reading = await open_chat(sqlite_url, read_only=True)
    dry = await clean(reading, [OldMessages(max_count=1)], share=1, dry_run=True)

    assert dry.outcomes[0].done == 2
    with pytest.raises(StoreError, match="only"):
        await clean(reading, [OldMessages(max_count=1)], share=1)


async def test_what_is_no_policy_is_an_error(store):
    with pytest.raises(StateError, match="a policy is one of"):
        await clean(store, ["everything"], share=1)  # type: ignore[list-item]


async def test_the_past_is_the_past_for_all_scopes(store, clock):
    """What a pass lets go of, it lets go of from its own records on."""
    await say(store, C1, clock, count=4)
    await say(store, talk("c2"), clock, count=4)
    position = await store.position()
    before = [await store.root.tree(at=at) for at in range(position + 1)]
    await clean(store, [OldMessages(max_count=1), Compaction()], share=1)

    assert [await store.root.tree(at=at) for at in range(position + 1)] == before
