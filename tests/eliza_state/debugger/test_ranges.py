"""Ranges of records, and their pages."""

from __future__ import annotations

import pytest

from eliza_state.debugger import NoSuchPoint
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.ranges import pages, range_of
from eliza_state.errors import InvalidPath, StateError
from eliza_state.manager import StateManager
from tests.eliza_state.chat import OTHER, TALK
from tests.eliza_state.debugger.conftest import HISTORY


@pytest.fixture
def looking(manager: StateManager) -> Looking:
    return Looking(manager, most=10)


async def test_it_goes_to_the_last_record_unless_told(looking: Looking) -> None:
    wanted = await range_of(looking, TALK)

    assert (TALK, 1, len(HISTORY)) == (wanted.path, wanted.first, wanted.last)


@pytest.mark.parametrize("size", [1, 2, 4, 100])
async def test_pages_hold_its_records_in_order(looking: Looking, size: int) -> None:
    wanted = await range_of(looking, TALK, first=3, last=7)
    found = [page async for page in pages(looking, wanted, size=size)]

    assert [3, 6, 7] == [record.position for page in found for record in page]
    assert max(map(len, found)) <= size


@pytest.mark.parametrize(("first", "last", "nearest"), [(0, None, 1), (9, None, 8), (1, 9, 8), (1, -1, 0)])
async def test_positions_that_are_not_there_are_refused(
    looking: Looking, first: int, last: int | None, nearest: int
) -> None:
    with pytest.raises(NoSuchPoint) as raised:
        await range_of(looking, "", first=first, last=last)

    assert (nearest,) == raised.value.nearest


async def test_no_records_are_refused(looking: Looking) -> None:
    with pytest.raises(StateError, match="is empty"):
        await range_of(looking, "", first=5, last=4)
    with pytest.raises(StateError, match="there are no records"):
        await range_of(looking, OTHER, last=4)


async def test_a_malformed_path_is_refused(looking: Looking) -> None:
    with pytest.raises(InvalidPath):
        await range_of(looking, "agent")
