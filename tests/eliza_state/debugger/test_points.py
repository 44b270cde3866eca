"""The ways to name a point in the past."""

from __future__ import annotations

import datetime

import pytest

from eliza_state.debugger import Debugger, NoSuchPoint
from eliza_state.errors import InvalidPath, StateError
from eliza_state.manager import StateManager
from tests.eliza_state.chat import TALK, Said

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


async def test_a_position(debugger: Debugger) -> None:
    past = await debugger.at(2)

    assert (past.position, past.recorded_at) == (2, START + SECOND)


async def test_a_version_of_a_scope(debugger: Debugger) -> None:
    assert [(await debugger.at(version=version, path=TALK)).position for version in range(5)] == [
        0,
        2,
        3,
        6,
        7,
    ]


async def test_the_id_of_a_record(debugger: Debugger, manager: StateManager) -> None:
    (record,) = await manager.at(TALK).records(after=2, limit=1)

    assert (await debugger.at(event_id=record.id, path=TALK)).position == 3


@pytest.mark.parametrize(("seconds", "position"), [(-1, 0), (0, 1), (2.5, 3), (3, 4), (100, 8)])
async def test_a_time(debugger: Debugger, seconds: float, position: int) -> None:
    past = await debugger.at(time=START + datetime.timedelta(seconds=seconds))

    assert past.position == position


async def test_a_naive_time_is_refused(debugger: Debugger) -> None:
    with pytest.raises(StateError, match="a time with a time zone is wanted"):
        await debugger.at(time=datetime.datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(("position", "nearest"), [(-1, 0), (9, 8)])
async def test_a_position_that_is_not_there(debugger: Debugger, position: int, nearest: int) -> None:
    with pytest.raises(NoSuchPoint, match=f"positions go from 0 to 8, got {position}") as caught:
        await debugger.at(position)

    assert caught.value.nearest == (nearest,)


@pytest.mark.parametrize(("version", "nearest"), [(-1, 0), (5, 4)])
async def test_a_version_that_is_not_there(debugger: Debugger, version: int, nearest: int) -> None:
    with pytest.raises(NoSuchPoint, match=r"conversation:c1' has versions from 0 to 4") as caught:
        await debugger.at(version=version, path=TALK)

    assert caught.value.nearest == (nearest,)


async def test_an_id_that_is_not_there(debugger: Debugger, manager: StateManager) -> None:
    await manager.dispatch(Said(user="ada", text="x"), to=TALK, id="chat.jsonl:7")
    with pytest.raises(NoSuchPoint, match=r"no record of the id 'chat\.jsonl:8'") as caught:
        await debugger.at(event_id="chat.jsonl:8", path=TALK)

    assert caught.value.nearest == ("chat.jsonl:7",)


async def test_one_point_and_no_more(debugger: Debugger) -> None:
    with pytest.raises(StateError, match="name one point"):
        await debugger.at()
    with pytest.raises(StateError, match="name one point"):
        await debugger.at(1, version=1)


async def test_a_path_that_is_none(debugger: Debugger) -> None:
    with pytest.raises(InvalidPath):
        await debugger.at(1, path="agent:eliza/message:m1")
