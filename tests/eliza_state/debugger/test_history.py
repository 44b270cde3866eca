"""States of the past, found again and again: from snapshots and what is remembered, without what is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.collections import Log
from eliza_state.debugger import Debugger
from eliza_state.debugger.checkpoints import WINDOW
from eliza_state.debugger.history import History
from eliza_state.evolve import evolve
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.effort import examples
from tests.eliza_state.chat import ROOM, TALK, Noted, Said, modules
from tests.eliza_state.conftest import Open
from tests.eliza_state.stored_snapshots import CHUNK, change_rows

COUNT = 1_500


@attrs.frozen
class Editing:
    texts: Log[str] = attrs.field(factory=Log[str])


class EditingModule(StateModule[Editing]):
    """Keep what was said, and edit it."""

    name = "editing"
    level = "conversation"

    @reduces(Said)
    def say(self, state: Editing, event: Said) -> Editing:
        return evolve(state, texts=state.texts.append(event.text))

    @reduces(Noted)
    def edit(self, state: Editing, event: Noted) -> Editing:
        if event.text == "boom":
            raise ZeroDivisionError("a bug")
        return (
            evolve(state, texts=state.texts.set(int(event.text), "edited")) if event.text.isdigit() else state
        )


def history(manager: StateManager, *, most: int = 400) -> History:
    return History(
        manager.tree,
        manager.journal,
        reading=manager.root.access.reading,
        problems=manager.problems,
        most=most,
    )


async def said(manager: StateManager, *, start: int = 0, stop: int = COUNT) -> None:
    await manager.dispatch_all([(Said(user="ada", text=str(number)), TALK) for number in range(start, stop)])


@contextlib.contextmanager
def counted_records(manager: StateManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect the positions of the records that are read from the journal."""
    read: list[int] = []
    original = type(manager.journal).read

    def reading(self: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        for record in original(self, *arguments, **options):
            read.append(record.position)
            yield record

    with monkeypatch.context() as patching:
        patching.setattr(type(manager.journal), "read", reading)
        yield read


def texts(found: History, position: int) -> tuple[str, ...]:
    return tuple(found.at(TALK, position).slices["talk"].texts)


async def test_every_position_in_any_order(manager: StateManager) -> None:
    start = await manager.position()
    await said(manager)
    found = history(manager)
    before = texts(found, start)
    for position in [700, 1_400, 3, 699, 701, 1_000, 12, 800, 700, 1_499]:
        assert texts(found, start + position) == (*before, *map(str, range(position)))
        assert found.at(TALK, start + position).version == 4 + position


@settings(max_examples=examples(15), deadline=None)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=12), st.sampled_from([1, 8, 40, 400]))
async def test_whatever_is_remembered(positions: list[int], most: int) -> None:
    async with StateManager.open(modules=modules()) as manager:
        await said(manager, stop=600)
        found = history(manager, most=most)
        for position in positions:
            assert len(texts(found, position)) == position


async def test_stepping_reads_what_is_new_and_nothing_to_go_back(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said(manager)
    found = history(manager)
    found.at(TALK, 1_000)
    with counted_records(manager, monkeypatch) as read:
        found.at(TALK, 1_001)
        assert read == [1_001]

        for position in range(1_001, 1_001 - WINDOW + 1, -1):
            found.at(TALK, position)
        assert read == [1_001]


async def test_a_second_look_folds_a_short_way(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said(manager)
    found = history(manager)
    found.at(TALK, 1_500)
    for position in (1_300, 900, 300):
        with counted_records(manager, monkeypatch) as read:
            found.at(TALK, position)

        assert len(read) <= 256


async def test_it_begins_at_the_newest_snapshot_before(
    opened: Open, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with StateManager.open(sqlite_url, modules=modules()) as first:
        await said(first)
    manager = await opened(sqlite_url)
    await said(manager, start=COUNT, stop=COUNT + 100)
    with counted_records(manager, monkeypatch) as read:
        assert len(texts(history(manager), COUNT + 50)) == COUNT + 50
    # The one before the first is looked at to know that the snapshot belongs to the journal.
    assert read == list(range(COUNT, COUNT + 51))


async def test_lost_chunks_are_made_up_for(opened: Open, sqlite_url: str) -> None:
    async with StateManager.open(sqlite_url, modules=[EditingModule()]) as first:
        await said(first)
    manager = await opened(sqlite_url, modules=[EditingModule()])
    await manager.dispatch(Noted(text="0"), to=TALK)
    assert change_rows(sqlite_url, f"DELETE FROM TABLE WHERE {CHUNK}") > 0
    found = history(manager).at(TALK, COUNT + 1).slices["editing"]

    assert list(found.texts) == ["edited", *map(str, range(1, COUNT))]
    assert [problem.kind for problem in manager.problems] == ["snapshot"]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_timeline_makes_up_for_lost_chunks(opened: Open, sqlite_url: str, newest_first: bool) -> None:
    async with StateManager.open(sqlite_url, modules=[EditingModule()]) as first:
        await said(first)
    manager = await opened(sqlite_url, modules=[EditingModule()])
    await manager.dispatch(Noted(text="0"), to=TALK)
    change_rows(sqlite_url, f"DELETE FROM TABLE WHERE {CHUNK}")
    walk = Debugger(manager).timeline(after_position=COUNT, newest_first=newest_first)
    (entry,) = [entry async for entry in walk]

    assert entry.changes[0].differences[0].before == "0"


async def test_erased_content_is_in_no_past(manager: StateManager) -> None:
    start = await manager.position()
    await said(manager, stop=200)
    found = history(manager)
    assert "150" in texts(found, start + 200)
    await manager.erase(TALK, where=lambda event: getattr(event, "text", "") == "150")

    assert "150" not in texts(found, start + 200)
    assert len(texts(found, start + 200)) == 200 + 3 - 1


async def test_what_is_wrong_is_told_once(manager: StateManager) -> None:
    position = await manager.position()
    await manager.dispatch(Noted(text="boom"), to=TALK)
    await manager.register_module(EditingModule())
    found = history(manager)
    told = len(manager.problems)
    for _ in range(3):
        found.forget()
        found.at(TALK, position + 1)

    assert len(manager.problems) == told + 1


async def test_what_is_remembered_is_bounded(manager: StateManager) -> None:
    await said(manager)
    await manager.dispatch_all(
        [(Said(user="bo", text=str(number)), ROOM.child("conversation", "c3")) for number in range(COUNT)]
    )
    found = history(manager, most=200)
    for path in (TALK, ROOM.child("conversation", "c3"), ROOM):
        for position in range(0, 3_000, 171):
            found.at(path, position)

    assert len(found._checkpoints) <= 200


async def test_pages_of_states(manager: StateManager) -> None:
    start = await manager.position()
    await said(manager, stop=10)
    page = history(manager).states(TALK, after=start + 2, until=start + 9, limit=4)

    assert [record.position - start for record, _ in page] == [3, 4, 5, 6]
    assert [moment.slices["talk"].texts[-1] for _, moment in page] == ["2", "3", "4", "5"]


async def test_several_tasks_may_look_at_once(manager: StateManager) -> None:
    start = await manager.position()
    await said(manager, stop=300)
    debugger = Debugger(manager)

    async def look(position: int) -> int:
        past = await debugger.at(start + position)
        return len((await past.state(TALK, "talk")).texts) - 3

    positions = [300, 10, 200, 120, 299]

    assert await asyncio.gather(*map(look, positions)) == positions
