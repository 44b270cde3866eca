"""What holds a scope back from the archive, and what becomes of the others."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from eliza_modules.approval import ApprovalModule, ApprovalRequested
from eliza_modules.run import RunCancelled, RunCreated, RunModule
from eliza_state.archive import ArchiveBlocked
from eliza_state.manager import StateManager
from tests.eliza_state import chat
from tests.eliza_state.archive.conftest import say
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, PresenceModule, Said, TalkModule, Typing

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class OpenTalk(TalkModule):
    """A conversation that is not closed stays."""

    def blocks_archive(self, state: chat.Talk) -> bool:
        return not state.closed


class BusyPresence(PresenceModule):
    """Nothing goes while somebody types."""

    def blocks_archive(self, state: chat.Presence) -> bool:
        return bool(state.typing)


def with_modules(*others: Any) -> list[Any]:
    names = {module.name for module in others}
    return [*(module for module in chat.modules() if module.name not in names), *others]


@pytest.mark.parametrize("path", [TALK, ROOM])
async def test_a_module_holds_its_scope_back_and_those_above(opened, sqlite_url, path):
    manager = await opened(sqlite_url, modules=with_modules(OpenTalk()))
    await say(manager, TALK, "one")

    with pytest.raises(ArchiveBlocked, match="module 'talk' holds it back") as caught:
        await manager.archive.store(path)

    assert (TALK.encode(), "talk") == (caught.value.path, caught.value.module)
    assert [] == await manager.archive.scopes()


async def test_a_volatile_module_does_as_long_as_its_scope_is_live(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=with_modules(BusyPresence()))
    await say(manager, TALK, "one")
    await manager.dispatch(Typing(user="ada"), to=TALK)

    with pytest.raises(ArchiveBlocked, match="presence"):
        await manager.archive.store(TALK)

    await say(manager, TALK, "two")
    assert (TALK,) == (await manager.archive.store(TALK)).paths


async def test_an_unfinished_run_holds_its_agent_back(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=[RunModule()])
    await manager.dispatch(RunCreated(id="r1", at=AT), to=AGENT)

    with pytest.raises(ArchiveBlocked, match="run"):
        await manager.archive.store(AGENT)

    await manager.dispatch(RunCancelled(id="r1", at=AT), to=AGENT)
    assert (AGENT,) == (await manager.archive.store(AGENT)).paths


async def test_so_does_an_approval_that_is_waited_for(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=[ApprovalModule()])
    await manager.dispatch(ApprovalRequested(id="a1", at=AT, subject="may I?"), to=AGENT)

    with pytest.raises(ArchiveBlocked, match="approval"):
        await manager.archive.store(AGENT)


async def test_an_effect_at_work_does_too(manager):
    done = asyncio.Event()

    async def work(_change: Any, _context: Any) -> None:
        await done.wait()

    manager.on(Said, work, below=TALK)
    await say(manager, TALK, "five")

    with pytest.raises(ArchiveBlocked, match="work is at work on its changes"):
        await manager.archive.store(TALK)

    assert (OTHER,) == (await manager.archive.store(OTHER)).paths
    done.set()
    await manager.effects.settled()
    assert (TALK,) == (await manager.archive.store(TALK)).paths


async def test_so_does_a_follower_that_has_not_heard_it(manager):
    heard = asyncio.Event()

    async def hear(_told: Any, _write: Any) -> None:
        await heard.wait()

    await manager.follow("words", hear, events=[Said], below=TALK)

    with pytest.raises(ArchiveBlocked, match="follower 'words' stands at 0"):
        await manager.archive.store(TALK)

    assert (OTHER,) == (await manager.archive.store(OTHER)).paths
    heard.set()
    await manager.followers.settled()
    assert (TALK,) == (await manager.archive.store(TALK)).paths


async def test_one_that_nobody_runs_counts_by_its_stored_place(manager, opened, sqlite_url):
    async with StateManager.open(sqlite_url, modules=chat.modules()) as another:
        await another.follow("words", lambda told, write: None, start="now")
    await say(manager, TALK, "five")

    with pytest.raises(ArchiveBlocked, match="follower 'words'"):
        await manager.archive.store(TALK)

    assert (OTHER,) == (await manager.archive.store(OTHER)).paths


async def test_those_before_one_that_is_refused_are_moved(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=with_modules(OpenTalk()))
    await say(manager, TALK, "one")
    await say(manager, OTHER, "two")
    await manager.dispatch(chat.Closed(), to=OTHER)

    with pytest.raises(ArchiveBlocked):
        await manager.archive.store(OTHER, TALK)

    assert [OTHER] == [scope.path for scope in await manager.archive.scopes()]


async def test_the_others_are_moved_where_refusals_are_to_be_told(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=with_modules(OpenTalk()))
    await say(manager, TALK, "one")
    await say(manager, OTHER, "two")
    await manager.dispatch(chat.Closed(), to=OTHER)

    outcome = await manager.archive.store(TALK, OTHER, return_exceptions=True)

    ((path, error),) = [(refused.path, refused.error) for refused in outcome.refused]
    assert (TALK, ArchiveBlocked, (OTHER,)) == (path, type(error), outcome.paths)
