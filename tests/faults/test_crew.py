"""Processes are killed, stopped and started again, and none outlives whoever started it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.commands import ORPHANED
from tests.faults.crew import Crew, Member, Stuck
from tests.faults.plan import Fault
from tests.faults.puppet import ECHO
from tests.servers import runs


def member(name: str, folder: Path, argument: str = ECHO) -> Member:
    return Member(name, folder, "tests.faults.puppet", lambda _life: argument)


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    async with Crew([member("steady", tmp_path), member("mortal", tmp_path)]) as crew:
        assert ["ready"] * 2 == [await each.hear() for each in crew.members]
        yield crew


def fault(kind: str) -> Fault:
    return Fault("processes", kind, pause_s=0, length_s=0.05, choice=1)


async def test_a_process_answers(crew: Crew) -> None:
    assert [1, 2] == await crew.members[0].ask("[1, 2]")


async def test_a_killed_process_is_started_again(crew: Crew) -> None:
    steady, mortal = (each.pid for each in crew.members)
    await crew.strikes["kill"](fault("kill"))

    assert not runs(mortal)
    assert runs(steady)
    assert "ready" == await crew.members[1].hear()


async def test_a_process_that_stood_still_goes_on(crew: Crew) -> None:
    await crew.strikes["pause"](fault("pause"))

    assert 7 == await crew.members[1].ask("7")


async def test_a_process_that_is_told_to_close_ends(crew: Crew) -> None:
    crew.members[0].tell("close")

    await crew.members[0].end()


async def test_a_process_whose_input_ends_ends_with_it(crew: Crew) -> None:
    crew.members[0].tell_no_more()

    with pytest.raises(Stuck, match=f"ended with {ORPHANED}"):
        await crew.members[0].end()


async def test_none_is_left_when_the_crew_is(tmp_path: Path) -> None:
    crew = Crew([member("steady", tmp_path)])
    async with crew:
        pid = crew.members[0].pid

    assert not runs(pid)


async def test_one_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    async with Crew([member("rash", tmp_path, "no more")]) as crew:
        with pytest.raises(Stuck, match="no more"):
            await crew.members[0].hear()


async def test_a_traceback_is_a_complaint(tmp_path: Path) -> None:
    async with Crew([member("broken", tmp_path, "")]) as crew:
        with pytest.raises(Stuck, match="has ended"):
            await crew.members[0].hear()

    assert "ZeroDivisionError" in crew.members[0].complaints()[0]
