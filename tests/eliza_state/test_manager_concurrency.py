"""Many dispatches at once, and callers that are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.limits import Limits
from eliza_state.path import Path
from eliza_state.testing import RecordingReceiver
from tests.eliza_state import chat
from tests.eliza_state.chat import (
    OTHER,
    ROOM,
    TALK,
    Said,
    TalkModule,
)

HELLO = Said(user="ada", text="hello")


async def test_concurrent_dispatches_on_shared_scopes(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    talks = [ROOM.child("conversation", str(number)) for number in range(5)]

    async def talk(number: int) -> None:
        for _ in range(10):
            await manager.dispatch(Said(user=str(number), text="x"), to=talks[number % 5])

    await asyncio.gather(*(talk(number) for number in range(20)))
    records = await manager.root.records(limit=None)

    assert list(range(1, 201)) == [record.position for record in records] == receiver.positions
    for path in talks:
        assert list(range(1, 41)) == [record.version for record in records if record.path == path]
        now, then = await manager.at(path).state(TalkModule), await manager.at(path).state(TalkModule, at=200)
        assert now == then
    assert (
        await manager.root.state("totals", at=200)
        == await manager.root.state("totals")
        == chat.Totals(200, 200)
    )


async def test_before_is_the_after_of_the_change_before(manager):
    receiver = RecordingReceiver()
    manager.subscribe(receiver)
    await asyncio.gather(*(manager.dispatch(HELLO, to=(TALK, OTHER)[number % 2]) for number in range(60)))
    last: dict[tuple[Path, str], Any] = {}
    for change in receiver.changes:
        for path, name, before, after in change.slices:
            assert last.get((path, name), before) is before
            last[path, name] = after


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_caller_neither_loses_nor_doubles_a_record(opened, url, turns):
    """Cancelled after any number of turns of the loop, a record is there once or not at all."""
    manager = await opened(url, limits=Limits(inline_below_ms=0))
    calls = [asyncio.ensure_future(manager.dispatch(HELLO, to=TALK, id=str(number))) for number in range(6)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await manager.flush()
    ids = [record.id for record in await manager.at(TALK).records()]

    assert len(set(ids)) == len(ids) == await manager.at(TALK).version()
    assert {str(number) for number in (1, 3, 5)} <= set(ids)
    assert all(outcome.record.id in ids for outcome in outcomes if not isinstance(outcome, BaseException))
    assert len((await manager.at(TALK).state("talk")).texts) == len(ids)
    last = await manager.dispatch(HELLO, to=TALK)
    assert (last.version, last.position) == (len(ids) + 1, len(ids) + 1)
