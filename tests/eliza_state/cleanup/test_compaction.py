"""Giving files' free pages back to the disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3

import pytest

from eliza_modules.conversation import ConversationModule
from eliza_state.cleanup import Compaction, clean
from eliza_state.query import F
from tests.eliza_state.cleanup.chat import said, say, talk

LONG = "x" * 20_000


async def compact(manager, *, dry_run=False, rewrite=False):
    report = await clean(manager, [Compaction(rewrite=rewrite)], share=1, dry_run=dry_run)
    (outcome,) = report.outcomes
    return outcome


async def fill(manager, clock, *, where="c1"):
    """Make the journal's file large, then mostly free: what is erased takes whole pages with it."""
    await manager.dispatch_all([(said(number, clock, text=LONG), talk(where)) for number in range(100)])
    await manager.erase(talk(where))


def size(manager, suffix=""):
    return os.path.getsize(manager.core.database + suffix)


async def test_the_file_of_the_journal_gets_smaller(store, clock):
    await fill(store, clock)
    free = store.journal.free_bytes()
    outcome = await compact(store)
    await store.core.writer.run(store.journal.expunge)

    assert free > 1_000_000
    assert store.journal.free_bytes() == 0
    assert size(store) < 1_000_000
    assert (outcome.done, outcome.failed) == (1, 0)
    assert outcome.size_bytes >= free


async def test_a_dry_run_tells_how_much(store, clock):
    await fill(store, clock)
    free = store.journal.free_bytes()
    outcome = await compact(store, dry_run=True)

    assert (outcome.size_bytes, store.journal.free_bytes()) == (free, free)


async def test_nothing_to_give_is_nothing_done(store, clock):
    await say(store, talk("c1"), clock)
    outcome = await compact(store)

    assert (outcome.done, outcome.size_bytes, outcome.held_back) == (0, 0, 0)


async def test_events_go_on_meanwhile(store, clock):
    await fill(store, clock)

    async def speak():
        await say(store, talk("c2"), clock, count=30)

    outcome, _ = await asyncio.gather(compact(store), speak())

    assert outcome.failed == 0
    assert len((await store.at(talk("c2")).state(ConversationModule)).messages) == 30


@pytest.fixture
def old_url(sqlite_url):
    """A file from before files could give anything back, with a page too few to hold a journal."""
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file, file:
        file.execute("CREATE TABLE passing (a)")
        file.execute("DROP TABLE passing")
    return sqlite_url


async def test_an_older_file_is_held_back(open_chat, old_url, clock):
    manager = await open_chat(old_url)
    await fill(manager, clock)
    outcome = await compact(manager)

    assert (outcome.done, outcome.held_back, outcome.held[0].what) == (0, 1, "journal")
    assert "made before it could" in outcome.held[0].reason


async def test_an_older_file_is_rewritten_where_the_policy_says_so(open_chat, old_url, clock):
    manager = await open_chat(old_url)
    await fill(manager, clock)
    outcome = await compact(manager, rewrite=True)
    await fill(manager, clock, where="c2")
    again = await compact(manager)

    assert (outcome.failed, outcome.held_back, again.failed, again.held_back) == (0, 0, 0, 0)
    assert again.size_bytes > 1_000_000


async def test_the_index_file_gets_smaller(store, clock):
    await store.dispatch_all([(said(number, clock), talk("c1")) for number in range(3_000)])
    await store.query(ConversationModule, where=F.user == "ada", limit=1)
    while await store.queries.forget("conversation.messages"):
        pass
    free = await store.queries.free_bytes()
    outcome = await compact(store)

    assert free > 50_000
    assert await store.queries.free_bytes() == 0
    assert outcome.done >= 1


async def test_the_plugins_file_gets_smaller(store, clock):
    plugin = store.plugins["trader"]
    for number in range(30):
        await plugin.set(f"k{number}", "x" * 20_000)
    await store.plugins.purge("trader")
    await compact(store)

    assert await store.plugins.storages()[""].backend.free_bytes() == 0


async def test_a_store_in_memory_has_no_files(open_chat, clock):
    manager = await open_chat("memory://")
    await say(manager, talk("c1"), clock)
    outcome = await compact(manager, rewrite=True)

    assert (outcome.done, outcome.failed) == (0, 0)
