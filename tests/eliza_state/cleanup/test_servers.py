"""Cleaning a store up that lies on a server."""

from __future__ import annotations

import datetime

import pytest

from eliza_state.cleanup import Compaction, ExpiredKeys, IdleScopes, LeaseTaken, OldMessages, Orphans, clean
from tests.eliza_state.cleanup import chat

POLICIES = (OldMessages(max_count=2), IdleScopes(), ExpiredKeys(), Orphans(), Compaction())


async def test_a_pass_leaves_what_can_be_read(open_chat, postgres_store, tmp_path, clock):
    manager = await open_chat(postgres_store, archive=tmp_path / "archive")
    await chat.say(manager, chat.talk("idle"), clock, count=2)
    chat.pass_days(clock, 0.5)
    before = await manager.at(chat.talk("idle")).state()
    for _ in range(16):
        chat.pass_days(clock, 0.5)
        await chat.say(manager, chat.talk("busy"), clock, start=int(clock.now.timestamp()))
    report = await clean(manager, POLICIES, share=1)

    assert report.is_good, str(report)
    assert await manager.at(chat.talk("idle")).state() == before
    assert [scope.path for scope in await manager.archive.scopes()] == [chat.talk("idle")]


async def test_one_process_at_a_time_cleans_up(open_chat, postgres_store, tmp_path):
    manager = await open_chat(postgres_store, archive=tmp_path / "archive")
    other = await open_chat(postgres_store, archive=tmp_path / "archive")
    lease = other.journal.lease("cleanup")
    lease.take()

    with pytest.raises(LeaseTaken):
        await clean(manager, [IdleScopes(after=datetime.timedelta(days=1))])
    lease.release()
