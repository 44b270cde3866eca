"""Letting go of what belongs to nothing any more."""

from __future__ import annotations

import pytest

from eliza_modules.conversation import ConversationModule
from eliza_modules.room import RoomClosed
from eliza_state.cleanup import Orphans, clean
from eliza_state.path import Path
from eliza_state.query import F
from tests.eliza_state.cleanup import chat
from tests.eliza_state.cleanup.chat import ROOM, said, say, talk

OTHER = ROOM.parent.child("room", "other")


async def find(manager, *, dry_run=False, **options):
    report = await clean(manager, [Orphans(**options)], share=1, dry_run=dry_run)
    (outcome,) = report.outcomes
    return outcome


async def archived(manager):
    return {scope.path for scope in await manager.archive.scopes()}


async def test_conversations_of_a_closed_room_are_archived(store, clock):
    await say(store, talk("c1"), clock)
    await say(store, talk("c2"), clock)
    await say(store, talk("c1", room=OTHER), clock)
    await store.dispatch(RoomClosed(), to=ROOM)
    outcome = await find(store)

    assert (outcome.done, outcome.failed) == (2, 0)
    assert await archived(store) == {talk("c1"), talk("c2")}


async def test_a_dry_run_only_counts_them(store, clock):
    await say(store, talk("c1"), clock)
    await store.dispatch(RoomClosed(), to=ROOM)
    outcome = await find(store, dry_run=True)

    assert (outcome.done, await archived(store)) == (1, set())


async def test_a_second_pass_finds_none(store, clock):
    await say(store, talk("c1"), clock)
    await store.dispatch(RoomClosed(), to=ROOM)
    await find(store)

    assert (await find(store)).done == 0


@pytest.fixture
async def filled(open_chat, sqlite_url, clock):
    """A store that was closed once, so that it has snapshots of two conversations and those above."""
    manager = await open_chat(sqlite_url)
    for name in ("c1", "c2"):
        await manager.dispatch_all([(said(number, clock), talk(name)) for number in range(100)])
    await manager.close()
    return await open_chat(sqlite_url)


async def test_snapshots_that_are_needed_stay(filled):
    assert (await find(filled)).done == 0


async def test_snapshots_of_another_journal_go(filled, open_chat, tmp_path, clock):
    """What a copy from elsewhere brought along is of no use to the journal that is there."""
    other = await open_chat(f"sqlite:///{tmp_path}/other.db")
    await other.dispatch_all([(said(number, clock), talk("c1")) for number in range(100)])
    await other.close()
    for suffix in ("", "-snapshots"):
        (tmp_path / f"mixed.db{suffix}").write_bytes((tmp_path / f"other.db{suffix}").read_bytes())
    await filled.close()
    (tmp_path / "mixed.db-snapshots").write_bytes((tmp_path / "state.db-snapshots").read_bytes())
    mixed = await open_chat(f"sqlite:///{tmp_path}/mixed.db")
    foreseen = await find(mixed, dry_run=True)
    outcome = await find(mixed)

    assert (foreseen.done, outcome.done, outcome.failed) == (5, 5, 0)
    assert len((await mixed.at(talk("c1")).state(ConversationModule)).messages) == 100
    assert (await find(mixed)).done == 0


async def test_plugins_that_are_gone_are_named(store):
    await store.plugins["trader"].set("position", 1)
    await store.plugins["other"].set("position", 2)
    outcome = await find(store, plugins=["trader"])

    assert (outcome.done, outcome.held_back, outcome.held[0].what) == (0, 1, "plugin 'other'")
    assert await store.plugins.names() == ["other", "trader"]


async def test_what_plugins_that_are_gone_have_stored_goes_where_the_policy_erases(store):
    await store.plugins["trader"].set("position", 1)
    await store.plugins["other"].set("position", 2)
    foreseen = await find(store, plugins=["trader"], erase=True, dry_run=True)
    outcome = await find(store, plugins=["trader"], erase=True)

    assert (foreseen.done, outcome.done, outcome.held_back) == (1, 1, 0)
    assert await store.plugins.names() == ["trader"]


async def test_where_plugins_are_not_known_none_is_gone(store):
    await store.plugins["other"].set("position", 2)
    outcome = await find(store, erase=True)

    assert (outcome.done, await store.plugins.names()) == (0, ["other"])


def nothing(told, write):
    """Handle a record by doing nothing."""


async def test_the_places_of_followers_that_are_gone_are_forgotten(open_chat, sqlite_url, clock):
    manager = await open_chat(sqlite_url)
    await say(manager, talk("c1"), clock)
    for name in ("words", "gone"):
        await manager.follow(name, nothing)
    await manager.followers.settled()
    await manager.close()
    manager = await open_chat(sqlite_url)
    named = await find(manager, followers=["words"])
    outcome = await find(manager, followers=["words"], erase=True)

    assert (named.held_back, named.held[0].what, outcome.done) == (1, "follower 'gone'", 1)
    assert list(await manager.followers.places()) == ["words"]


async def test_a_follower_that_runs_is_not_forgotten(store, clock):
    await store.follow("words", nothing)
    outcome = await find(store, followers=[], erase=True)

    assert (outcome.done, outcome.failed) == (0, 1)
    assert "is being followed here" in outcome.failures[0].reason


class WithoutIndexes(ConversationModule):
    indexes = {}  # noqa: RUF012  # as a module of before says it


async def test_index_rows_that_no_module_declares_go(open_chat, sqlite_url, clock):
    manager = await open_chat(sqlite_url)
    await say(manager, talk("c1"), clock, count=3)
    await manager.query(ConversationModule, where=F.user == "ada")
    kept = await find(manager, indexes=True)
    await manager.close()
    fewer = [*chat.modules()[:-1], WithoutIndexes()]
    manager = await open_chat(sqlite_url, modules=fewer)
    outcome = await find(manager, indexes=True)

    assert (kept.done, outcome.done, (await find(manager, indexes=True)).done) == (0, 1, 0)
    assert len(await manager.query(WithoutIndexes, of="messages", where=F.user == "ada")) == 3


async def test_a_store_without_anything_has_no_orphans(open_chat, url):
    manager = await open_chat(url)
    outcome = await find(manager, plugins=[], followers=[], indexes=True, erase=True)

    assert (outcome.done, outcome.failed) == (0, 0)
    assert await manager.at(Path()).children() == []
