"""Letting idle scopes rest."""

from __future__ import annotations

import attrs
import pytest

from eliza_modules.conversation import ConversationModule, MessageReceived
from eliza_state import evolve
from eliza_state.cleanup import IdleScopes, clean, scopes
from eliza_state.errors import StateError
from eliza_state.module import StateModule, reduces
from tests.eliza_state.cleanup import chat
from tests.eliza_state.cleanup.chat import DAY, ROOM, ids, live_days, pass_days, say, talk

OLD, NEW = talk("old"), talk("new")
OTHER = ROOM.parent.child("room", "other")


async def rest(manager, *, dry_run=False, **options):
    report = await clean(manager, [IdleScopes(**options)], share=1, dry_run=dry_run)
    (outcome,) = report.outcomes
    return outcome


async def archived(manager):
    return {scope.path for scope in await manager.archive.scopes()}


async def an_old_and_a_new_one(manager, clock):
    await say(manager, OLD, clock, count=3)
    await live_days(manager, clock, 10)
    await say(manager, NEW, clock, count=3)


async def test_conversations_that_rest_for_a_week_are_archived(store, clock):
    await an_old_and_a_new_one(store, clock)
    outcome = await rest(store)

    assert await archived(store) == {OLD}
    assert (outcome.done, outcome.held_back, outcome.failed) == (1, 0, 0)
    assert outcome.size_bytes > 0


async def test_they_are_read_as_before(store, clock):
    await an_old_and_a_new_one(store, clock)
    await rest(store)

    assert await ids(store, OLD) == ("m0", "m1", "m2")


async def test_a_dry_run_counts_them_and_their_bytes(store, clock):
    await an_old_and_a_new_one(store, clock)
    foreseen = await rest(store, dry_run=True)
    outcome = await rest(store)

    assert (foreseen.done, foreseen.size_bytes) == (outcome.done, outcome.size_bytes)


async def test_a_second_pass_finds_none(store, clock):
    await an_old_and_a_new_one(store, clock)
    await rest(store)

    assert (await rest(store)).done == 0


async def test_a_clock_that_leaps_archives_nothing(store, clock):
    await live_days(store, clock, 3)
    await say(store, NEW, clock)
    pass_days(clock, 1_000)

    assert ((await rest(store)).done, await archived(store)) == (0, set())


async def test_many_are_archived_page_by_page(store, clock, monkeypatch):
    monkeypatch.setattr(scopes, "PAGE", 20)
    await store.dispatch_all([(chat.said(1, clock), talk(number)) for number in range(43)])
    await live_days(store, clock, 10)
    outcome = await rest(store)

    assert (outcome.done, len(await archived(store))) == (43, 43)


async def test_only_scopes_below_a_path_rest(store, clock):
    await say(store, OLD, clock)
    await say(store, talk("old", room=OTHER), clock)
    await live_days(store, clock, 10)
    await rest(store, below=OTHER)

    assert await archived(store) == {talk("old", room=OTHER)}


async def test_scopes_of_another_level_can_rest(store, clock):
    await say(store, talk("c", room=OTHER), clock)
    await live_days(store, clock, 10)
    await rest(store, level="room")

    assert await archived(store) == {OTHER}


async def test_what_is_to_be_erased_has_no_content_any_more(store, clock):
    await an_old_and_a_new_one(store, clock)
    outcome = await rest(store, action="erase", below=OLD)

    assert (outcome.done, outcome.failed) == (1, 0)
    assert all(record.is_erased for record in await store.at(OLD).records() if record.event != "scope_erased")
    assert (await ids(store, OLD), await ids(store, NEW)) == ((), ("m0", "m1", "m2"))


async def test_what_has_no_content_is_not_erased_again(store, clock):
    await an_old_and_a_new_one(store, clock)
    await rest(store, action="erase", below=OLD)
    position = await store.position()
    await live_days(store, clock, 10)
    outcome = await rest(store, action="erase", below=OLD)

    assert (outcome.done, await store.position()) == (0, position + 10)


async def test_a_dry_run_erases_nothing(store, clock):
    await an_old_and_a_new_one(store, clock)
    outcome = await rest(store, action="erase", dry_run=True)

    assert (outcome.done, await ids(store, OLD)) == (1, ("m0", "m1", "m2"))


@attrs.frozen
class Waiting:
    """Whether somebody waits for an answer."""

    waits: bool = False


class WaitingModule(StateModule[Waiting]):
    """Hold a conversation back until somebody says "done"."""

    name = "waiting"
    level = "conversation"

    @reduces(MessageReceived)
    def hear(self, state: Waiting, event: MessageReceived) -> Waiting:
        return evolve(state, waits=event.text != "done")

    def blocks_archive(self, state: Waiting) -> bool:
        return state.waits


@pytest.fixture
async def waiting(open_chat, sqlite_url):
    return await open_chat(sqlite_url, modules=[*chat.modules(), WaitingModule()])


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_a_module_holds_back_stays_and_is_told(waiting, clock, dry_run):
    await say(waiting, OLD, clock)
    await waiting.dispatch(chat.said(1, clock, text="done"), to=talk("done"))
    await live_days(waiting, clock, 10)
    outcome = await rest(waiting, dry_run=dry_run)

    assert (outcome.done, outcome.held_back, outcome.failed) == (1, 1, 0)
    assert outcome.held[0].what == OLD.encode()
    assert "waiting" in outcome.held[0].reason


async def test_what_was_held_back_goes_once_that_is_done(waiting, clock):
    await say(waiting, OLD, clock)
    await live_days(waiting, clock, 10)
    await rest(waiting)
    await waiting.dispatch(chat.said(9, clock, text="done"), to=OLD)
    await live_days(waiting, clock, 10)
    outcome = await rest(waiting)

    assert (outcome.done, await archived(waiting)) == (1, {OLD})


async def test_a_store_in_memory_has_no_archive(open_chat, clock):
    manager = await open_chat("memory://")
    await an_old_and_a_new_one(manager, clock)
    outcome = await rest(manager)

    assert (outcome.done, outcome.failed) == (0, 1)
    assert await ids(manager, OLD) == ("m0", "m1", "m2")


async def test_a_level_that_is_not_there_has_nothing_to_rest(store, clock):
    await an_old_and_a_new_one(store, clock)

    assert (await rest(store, level="galaxy", after=DAY)).done == 0


async def test_an_archived_conversation_takes_no_message(store, clock):
    await an_old_and_a_new_one(store, clock)
    await rest(store)

    with pytest.raises(StateError):
        await say(store, OLD, clock, start=9)


async def test_states_above_stay_as_they_are(store, clock):
    await an_old_and_a_new_one(store, clock)
    above = [await store.at(path).state() for path in OLD.parent.chain()]
    await rest(store)

    assert [await store.at(path).state() for path in OLD.parent.chain()] == above
    assert len((await store.at(NEW).state(ConversationModule)).messages) == 3
