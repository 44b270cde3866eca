"""How the file is kept up: in batches, by several processes, and without what is not touched."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any, ClassVar

import attrs
import pytest

from eliza_state import Dispatch, StateManager
from eliza_state.collections import Map
from eliza_state.collections.chunk import LazyChunk
from eliza_state.errors import StoreError
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.indexes import Index
from eliza_state.limits import Limits
from eliza_state.module import StateModule, reduces
from eliza_state.query import F
from tests.eliza_state.query.forum import ForumModule, PostRemoved, TopicChosen, post, talk

ADA = F.author == "ada"


async def found(manager: Any, where: Any = ADA) -> list[str]:
    return [match.key for match in await manager.query(ForumModule, where=where)]


def stored_position(tmp_path: Any) -> int:
    connection = sqlite3.connect(tmp_path / "state.db-indexes")
    (position,) = connection.execute("SELECT position FROM collection").fetchone()
    connection.close()
    return int(position)


async def test_what_changes_is_written_when_there_is_enough_of_it(open_forum, tmp_path):
    manager = await open_forum()
    await manager.dispatch(post("m0"), to=talk())
    await found(manager)
    before = stored_position(tmp_path)
    for number in range(5):
        await manager.dispatch_all(
            [Dispatch(post(f"m{number}-{each}"), talk(f"c{number}")) for each in range(500)]
        )
    async with asyncio.timeout(10):
        while stored_position(tmp_path) == before:  # noqa: ASYNC110  # the file tells nobody
            await asyncio.sleep(0.01)

    assert len(await found(manager)) == 2_501


async def test_closing_writes_the_rest(open_forum, tmp_path):
    manager = await open_forum()
    await manager.dispatch(post("m0"), to=talk())
    await found(manager)
    await manager.dispatch(post("m1"), to=talk())
    await manager.close()

    assert stored_position(tmp_path) == 2


async def test_what_others_write_to_scopes_that_are_not_loaded_is_found(open_forum):
    manager, other = await open_forum(), await open_forum()
    for number in range(10):
        await manager.dispatch(post("m1", author="bob"), to=talk(f"c{number}"))
    assert not await found(manager)
    for number in range(10):
        await other.dispatch(post("m1", author="ada"), to=talk(f"c{number}"))
    await manager.refresh()

    assert len(await found(manager)) == 10
    assert len(await found(other)) == 10


async def test_a_manager_behind_the_file_takes_in_what_is_new(open_forum):
    manager, other = await open_forum(), await open_forum()
    await manager.dispatch(post("m1"), to=talk())
    await found(manager)
    await other.dispatch(post("m2"), to=talk())
    await found(other)
    answer = await manager.query(ForumModule, where=ADA)

    assert [match.key for match in answer] == ["m1", "m2"]
    assert answer.position == 2


async def test_two_managers_write_the_file_in_turn(open_forum):
    one, two = await open_forum(), await open_forum()
    for number in range(12):
        writer, reader = (one, two) if number % 2 else (two, one)
        await writer.dispatch(post(f"m{number}"), to=talk(f"c{number % 7}"))
        await found(writer)
        await reader.refresh()

    assert len(await found(one)) == len(await found(two)) == 12


async def test_queries_at_once_are_all_answered(open_forum):
    manager = await open_forum()

    async def write(number: int) -> None:
        await manager.dispatch(post(f"m{number}"), to=talk(f"c{number % 8}"))

    async def ask() -> int:
        return len(await found(manager))

    counts = await asyncio.gather(*(work for number in range(20) for work in (write(number), ask())))

    assert await ask() == 20
    assert all(count is None or 0 <= count <= 20 for count in counts)


async def test_a_cancelled_query_loses_nothing(open_forum):
    manager = await open_forum()
    await manager.dispatch(post("m0"), to=talk())
    await found(manager)
    for number in range(1, 8):
        await manager.dispatch(post(f"m{number}"), to=talk(f"c{number}"))
        task = asyncio.create_task(found(manager))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    assert len(await found(manager)) == 8


async def test_changed_removed_and_renamed_entries_are_followed(open_forum):
    manager = await open_forum()
    for number in range(4):
        await manager.dispatch(post(f"m{number}"), to=talk(f"c{number}"))
    await found(manager)
    await manager.dispatch(post("m0", author="bob"), to=talk("c0"))
    await manager.dispatch(PostRemoved(id="m1"), to=talk("c1"))
    await manager.dispatch(TopicChosen(topic="tea"), to=talk("c2"))
    for number in range(10):
        await manager.dispatch(post("x", author="bob"), to=talk(f"d{number}"))

    assert await found(manager) == ["m2", "m3"]
    assert await found(manager, (F.topic == "tea") & ADA) == ["m2"]


async def test_closing_does_not_wait_for_indexes_to_be_made(open_forum, monkeypatch):
    manager = await open_forum()
    await manager.dispatch_all([Dispatch(post("m"), talk(f"c{number}")) for number in range(400)])
    opened = asyncio.Event()
    loop, read = asyncio.get_running_loop(), manager.journal.read_small

    def noticed(*paths: Any, **options: Any) -> Any:
        loop.call_soon_threadsafe(opened.set)
        return read(*paths, **options)

    monkeypatch.setattr(manager.journal, "read_small", noticed)
    asking = asyncio.create_task(found(manager))
    await opened.wait()
    await manager.close()

    with pytest.raises(StoreError, match="closed"):
        await asking
    assert len(await found(await open_forum())) == 400


def lazy_chunks(state: Any) -> list[bool]:
    columns = state.posts.columns().values()
    return [isinstance(chunk, LazyChunk) for column in columns for chunk in column.chunks()]


async def test_a_long_conversation_is_not_read_to_find_one_of_its_entries(tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    async with StateManager.open(url, modules=[ForumModule()]) as manager:
        for start in range(0, 3_000, 500):
            await manager.dispatch_all(
                [
                    Dispatch(post(f"m{n}", author=f"u{n % 100}", score=n), talk())
                    for n in range(start, start + 500)
                ]
            )
        assert len(await manager.query(ForumModule, where=F.score == 7)) == 1
    async with StateManager.open(url, modules=[ForumModule()]) as manager:
        state = await manager.at(talk()).state(ForumModule)
        assert any(lazy_chunks(state))
        count = await manager.queries.count(ForumModule, where=F.author == "u7")
        untouched = lazy_chunks(state)
        (match,) = await manager.query(ForumModule, where=F.score == 7)

        assert count == 30
        assert all(untouched[: len(untouched) // 2 - 1])
        assert match.key == "m7"


@attrs.frozen
class Cells:
    cells: Map[tuple[int, int], str] = attrs.field(factory=Map[tuple[int, int], str])


@event("cell_set")
class CellSet:
    x: int
    text: str


class CellsModule(StateModule[Cells]):
    name = "cells"
    level = "room"
    indexes: ClassVar[Any] = {"cells": (Index("value"),)}

    @reduces(CellSet)
    def set(self, state: Cells, event: CellSet) -> Cells:
        return evolve(state, cells=state.cells.set((event.x, 0), event.text))


async def test_keys_that_the_file_has_no_form_for_are_found_all_the_same(tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    async with StateManager.open(url, modules=[CellsModule()], limits=Limits(max_scopes=3)) as manager:
        for number in range(6):
            room = manager.agent("eliza").room(f"r{number}")
            await room.dispatch(CellSet(x=number, text="full" if number % 2 else "empty"))
        for _ in range(2):
            answer = await manager.query(CellsModule, where=F.value == "full")

            assert [match.key for match in answer] == [(1, 0), (3, 0), (5, 0)]
