"""Erasing: what is gone, what stays, what states make of it, and who is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state import erasure
from eliza_state.event import ScopeErased
from eliza_state.lifecycle import Phase
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.portal import SyncStateManager
from tests.effort import examples
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Drawn, Joined, Said


def by(user: str) -> Any:
    return lambda event: getattr(event, "user", None) == user


async def say(manager: StateManager, *texts: str, user: str = "ada", to: Path = TALK) -> None:
    await manager.dispatch_all([(Said(user=user, text=text), to) for text in texts])


async def texts(manager: StateManager, of: Path = TALK, **options: Any) -> list[str]:
    return list((await manager.at(of).state(chat.TalkModule, **options)).texts)


# What is gone


async def test_a_scope_and_those_below_and_above_it_are_as_if_nothing_had_been(manager):
    await say(manager, "one", "two")
    await say(manager, "three", to=OTHER)
    await manager.dispatch(Joined(user="bo"), to=ROOM)
    await manager.dispatch(Drawn(amount=3), to=AGENT)

    await manager.at(ROOM).erase()

    for scope in (TALK, OTHER, ROOM):
        initial = manager.tree.initial(manager.tree.hierarchy.level(scope))
        assert initial == await manager.at(scope).state()
    assert chat.Budget(left=7) == await manager.at(AGENT).state(chat.BudgetModule)
    assert chat.Totals(events=1) == await manager.root.state(chat.TotalsModule)


async def test_only_what_is_picked_goes_wherever_it_is(manager):
    await say(manager, "one", "two")
    await say(manager, "three", user="bo")
    await say(manager, "four", to=OTHER)

    erased = await manager.root.erase(where=by("ada"))

    assert (3, 2) == (erased.records, erased.scopes)
    assert ["three"] == await texts(manager)
    assert [] == await texts(manager, OTHER)
    assert {"bo"} == set((await manager.at(ROOM).state(chat.PeopleModule)).names)


async def test_what_came_after_a_position_stays(manager):
    await say(manager, "one", "two", "three")

    erased = await manager.at(TALK).erase(until=2)

    assert 2 == erased.records
    assert ["three"] == await texts(manager)


async def test_the_past_shows_it_no_more(manager):
    await say(manager, "one", "two", "three")

    await manager.root.erase(where=lambda event: event.text == "two")

    assert [["one"], ["one"], ["one", "three"]] == [await texts(manager, at=at) for at in (1, 2, 3)]
    assert 1 == (await manager.root.tree(at=2)).slices["totals"].said


async def test_records_keep_their_place(manager):
    await manager.dispatch(Said(user="ada", text="one"), to=TALK, id="an id", cause="a cause")
    (before,) = await manager.root.records()

    await manager.at(TALK).erase()

    after, told = await manager.root.records()
    assert before._replace(content=b"") == after
    assert (TALK, 2, "scope_erased") == (told.path, told.version, told.event)


async def test_it_is_told_what_went(manager):
    await say(manager, "one", "two")
    await say(manager, "three", to=OTHER)
    size = sum(len(record.payload) for record in await manager.root.records())

    erased = await manager.at(ROOM).erase()

    wanted = erasure.Erased(
        records=3, scopes=2, size_bytes=size if manager.journal.durable else 0, position=5
    )
    assert wanted == erased


async def test_to_erase_again_erases_nothing_more(manager):
    await say(manager, "one", "two")
    await manager.at(TALK).erase()

    again = await manager.root.erase()

    assert (0, 0, 3) == (again.records, again.scopes, again.position)
    assert 3 == len(await manager.root.records())


async def test_a_scope_goes_on_after_it(manager):
    await say(manager, "one")
    await manager.at(TALK).erase()

    change = await manager.dispatch(
        Said(user="bo", text="two"), to=TALK, expected_version=await manager.at(TALK).version()
    )

    assert (3, 3) == (change.version, change.position)
    assert ["two"] == await texts(manager)
    assert [] == list(change.before["talk"].texts)


async def test_a_scope_that_has_ended_stays_ended(opened, url):
    manager = await opened(url)
    await say(manager, "one")
    await manager.dispatch(Closed(), to=TALK)

    await manager.at(TALK).erase()

    assert Phase.ARCHIVED is await manager.at(TALK).phase()
    if manager.journal.durable:
        assert Phase.ARCHIVED is await (await opened(url)).at(TALK).phase()


async def test_a_store_that_is_opened_again_has_it_no_more(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await say(manager, "one", "two")
    await manager.root.erase(where=lambda event: event.text == "one")
    before = await manager.state()
    await manager.close()

    again = await opened(sqlite_url)

    assert before == await again.state()
    assert ["two"] == await texts(again)
    assert [] == list(again.problems)


async def test_what_made_no_sense_without_it_is_no_problem(opened, sqlite_url):
    class Strict(chat.TalkModule):
        @chat.reduces(Said)
        def say(self, state, event):
            if event.text == "two" and "one" not in state.texts:
                raise chat.Rejected("one comes first")
            return super().say(state, event)

    modules = [Strict()]
    manager = await opened(sqlite_url, modules=modules)
    await say(manager, "one", "two", "three")

    await manager.root.erase(where=lambda event: event.text == "one")

    assert ["three"] == list((await manager.at(TALK).state("talk")).texts)
    assert [] == list(manager.problems)


ACTIONS = st.lists(
    st.tuples(st.sampled_from([TALK, OTHER]), st.sampled_from(["ada", "bo"]), st.sampled_from("xyz")),
    min_size=1,
    max_size=12,
)


@given(ACTIONS, st.sampled_from(["ada", "bo"]), st.sampled_from([TALK, ROOM, Path()]), st.data())
@settings(max_examples=examples(25), deadline=None)
async def test_states_are_those_of_a_store_without_the_records(actions, user, below, data):
    until = data.draw(st.integers(0, len(actions)))
    async with (
        StateManager.open(modules=chat.modules()) as manager,
        StateManager.open(modules=chat.modules()) as other,
    ):
        for number, (path, who, text) in enumerate(actions, 1):
            event = Said(user=who, text=text)
            await manager.dispatch(event, to=path)
            if who != user or number > until or not (path == below or path.is_below(below)):
                await other.dispatch(event, to=path)

        await manager.at(below).erase(until=until, where=by(user))

        for path in (Path(), AGENT, ROOM, TALK, OTHER):
            assert await other.at(path).state() == await manager.at(path).state()


# Ids


async def test_an_erased_id_comes_again_as_a_duplicate_whatever_it_brings(manager):
    first = await manager.dispatch(Said(user="ada", text="one"), to=TALK, id="m1")
    await manager.at(TALK).erase()

    for text in ("one", "another"):
        again = await manager.dispatch(Said(user="ada", text=text), to=TALK, id="m1")
        assert (first.position, 1, True) == (again.position, again.version, again.duplicate)
    assert [] == await texts(manager)


# Being told


async def test_receivers_are_told_what_changed_and_by_what(manager):
    await say(manager, "one")
    before = await manager.at(TALK).state(chat.TalkModule)
    changes = []
    manager.subscribe(changes.append)

    await manager.at(TALK).erase()

    (change,) = changes
    assert ScopeErased(until=1, count=1, events=("said",)) == change.event
    assert ("local", TALK, before) == (change.origin, change.path, change.before["talk"])
    assert chat.Talk() == change.after["talk"]
    assert ["totals", "people", "talk"] == [name for _, name, _, _ in change.slices]


async def test_scopes_above_change_once_for_all_that_lost_something(manager):
    await say(manager, "one")
    await say(manager, "two", to=OTHER)
    told = []
    manager.subscribe(told.append, event=ScopeErased, module="totals")

    await manager.root.erase()

    (change,) = told
    totals = change.slices[0]
    assert (2, 0) == (totals.before.said, totals.after.said)


async def test_a_scope_that_does_not_hear_of_such_events_is_left_alone(manager):
    await manager.dispatch(Drawn(amount=2), to=AGENT)
    await say(manager, "one")
    before = await manager.at(AGENT).state(chat.BudgetModule)

    await manager.at(TALK).erase()

    assert before is await manager.at(AGENT).state(chat.BudgetModule)


async def test_volatile_state_stays(manager):
    await say(manager, "one")
    await manager.dispatch(chat.Typing(user="ada"), to=TALK)

    await manager.at(TALK).erase()

    assert ("ada",) == (await manager.at(TALK).state(chat.PresenceModule)).typing


# At the same time


async def test_what_is_buffered_is_written_first(opened, sqlite_url):
    manager = await opened(sqlite_url, durability="buffered")
    await manager.dispatch(Said(user="ada", text="one"), to=TALK)

    erased = await manager.at(TALK).erase()
    change = await manager.dispatch(Said(user="bo", text="two"), to=TALK)
    await manager.flush()

    assert (1, 3) == (erased.records, change.position)
    assert ["two"] == await texts(manager)
    assert [] == list(manager.problems)


async def test_dispatches_wait_and_are_not_erased(manager):
    await say(manager, "one")
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    def where(event):
        loop.call_soon_threadsafe(begun.set)
        return True

    erasing = asyncio.create_task(manager.at(TALK).erase(where=where))
    await begun.wait()
    change = await manager.dispatch(Said(user="ada", text="two"), to=TALK)

    assert 1 == (await erasing).records
    assert 3 == change.position
    assert ["two"] == await texts(manager)


async def test_several_at_once_erase_each_record_once(manager):
    await say(manager, *"abcdef")

    erased = await asyncio.gather(*(manager.root.erase() for _ in range(3)))

    assert 6 == sum(each.records for each in erased)
    assert 7 == await manager.position()


async def test_who_stops_waiting_does_not_stop_it(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await say(manager, "one")
    erasing = asyncio.create_task(manager.at(TALK).erase())
    await asyncio.sleep(0)
    erasing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await erasing
    await manager.dispatch(Said(user="bo", text="two"), to=TALK)

    assert ["two"] == await texts(manager)


async def test_closing_waits_for_it(opened, sqlite_url):
    manager = await opened(sqlite_url)
    await say(manager, "one")
    erasing = asyncio.create_task(manager.at(TALK).erase())
    await asyncio.sleep(0)

    await manager.close()

    assert 1 == (await erasing).records


async def test_it_takes_many_transactions_for_many_records(opened, sqlite_url, monkeypatch):
    monkeypatch.setattr(erasure, "_BATCH_RECORDS", 3)
    manager = await opened(sqlite_url)
    await say(manager, *"abcdefgh")

    erased = await manager.at(TALK).erase()

    counts = [change.content for change in await manager.root.records(after=8)]
    assert 3 == len(counts)
    assert (8, 1, 11) == (erased.records, erased.scopes, erased.position)
    assert [] == await texts(manager)


def test_the_face_that_waits_erases_too(sqlite_url):
    with SyncStateManager.open(sqlite_url, modules=chat.modules()) as manager:
        talk = manager.at(TALK)
        for text in ("one", "two"):
            talk.dispatch(Said(user="ada", text=text))

        erased = [
            talk.erase(until=1),
            manager.erase(TALK, where=by("bo")),
            manager.erase(talk, where=by("ada")),
        ]

        assert [1, 0, 1] == [each.records for each in erased]
        assert [] == list(talk.state(chat.TalkModule).texts)
