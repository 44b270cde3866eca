"""Records that were made elsewhere, on the journal as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from eliza_state.codec import encode
from eliza_state.errors import StateError, StoreError
from eliza_state.ids import encode_id
from eliza_state.journal.contract import Draft
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.eliza_state.chat import TALK, Said
from tests.eliza_state.conftest import Open

AT_US = 1_767_225_600_000_000


def draft(text: str, *, version: int = 1, path: Path = TALK) -> Draft:
    return Draft(
        encode_id(text), path, version, "said", 1, encode(Said(user="ada", text=text)), "cause", AT_US
    )


async def test_they_keep_what_they_have(manager: StateManager) -> None:
    position = await manager.root.access.intake.append(lambda: [draft("a"), draft("b", version=2)])

    found = await manager.root.records()
    assert 2 == position
    assert [("a", "cause", AT_US), ("b", "cause", AT_US)] == [
        (record.id, record.cause, record.recorded_at_us) for record in found
    ]
    assert ["a", "b"] == list((await manager.at(TALK).state("talk")).texts)


async def test_no_reducer_is_asked(manager: StateManager) -> None:
    refused = draft("b", version=2)._replace(content=encode(Said(user="ada", text="")))
    await manager.root.access.intake.append(lambda: [draft("a"), refused])

    assert 2 == await manager.position()
    assert ["a"] == list((await manager.at(TALK).state("talk")).texts)


async def test_none_is_none(manager: StateManager) -> None:
    assert 0 == await manager.root.access.intake.append(tuple)


async def test_what_making_them_raises_goes_through(manager: StateManager) -> None:
    def fail() -> Sequence[Draft]:
        raise StateError("no")

    with pytest.raises(StateError, match="no"):
        await manager.root.access.intake.append(fail)

    assert 1 == (await manager.dispatch(Said(user="ada", text="x"), to=TALK)).position


async def test_where_others_were_faster_they_are_made_again(opened: Open, sqlite_url: str) -> None:
    mine, theirs = await opened(sqlite_url), await opened(sqlite_url)
    calls: list[int] = []

    def make() -> Sequence[Draft]:
        version = mine.journal.facts(TALK, until=mine.journal.head()).version
        calls.append(version)
        if len(calls) == 1:
            theirs.journal.append([draft("theirs")], after=0)
        return [draft("mine", version=version + 1)]

    await mine.root.access.intake.append(make)

    assert [0, 1] == calls
    assert ["theirs", "mine"] == list((await mine.at(TALK).state("talk")).texts)


async def test_a_caller_who_goes_away_leaves_it_to_be_done(opened: Open, sqlite_url: str) -> None:
    manager = await opened(sqlite_url)
    task = asyncio.create_task(manager.root.access.intake.append(lambda: [draft("a")]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await manager.close()

    assert ["a"] == list((await (await opened(sqlite_url)).at(TALK).state("talk")).texts)


async def test_a_store_that_is_only_read_takes_none(opened: Open, sqlite_url: str) -> None:
    await opened(sqlite_url)
    reader = await opened(sqlite_url, read_only=True)

    with pytest.raises(StoreError, match="open for reading only"):
        await reader.root.access.intake.append(lambda: [draft("a")])
