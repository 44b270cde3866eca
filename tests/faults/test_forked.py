"""Processes that are forked begin at once, and whoever has asked for them is told how they end."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.forked import Forked
from tests.faults.puppet import ECHO
from tests.servers import runs


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Forked]:
    process = await Forked.start("tests.faults.puppet", ECHO, errors=tmp_path / "errors")
    assert b"ready\n" == await process.line()
    yield process
    if process.pid and runs(process.pid):
        await process.kill()


async def test_it_is_a_process_of_its_own_and_says_which(process: Forked) -> None:
    process.tell("hello")

    assert b"hello\n" == await process.line()
    assert runs(process.pid)


async def test_one_that_is_done_has_ended_with_nothing(process: Forked) -> None:
    process.tell("close")

    assert 0 == await process.wait()


async def test_a_killed_one_is_gone_and_has_ended_with_the_signal(process: Forked) -> None:
    process.send(signal.SIGKILL)

    assert -signal.SIGKILL == await process.wait()
    assert not runs(process.pid)


async def test_what_is_told_to_one_that_has_ended_is_lost(process: Forked) -> None:
    process.send(signal.SIGKILL)
    assert b"" == await process.line()

    process.tell("hello")

    await process.wait()


async def test_what_nobody_caught_is_on_standard_error(tmp_path: Path) -> None:
    process = await Forked.start("tests.faults.puppet", "", errors=tmp_path / "errors")

    assert 1 == await process.wait()
    assert "ZeroDivisionError" in (tmp_path / "errors").read_text()


async def test_one_knows_nothing_of_others(process: Forked, tmp_path: Path) -> None:
    """Its own input ends while another runs, which has no part of it."""
    other = await Forked.start("tests.faults.puppet", ECHO, errors=tmp_path / "other")
    process.tell_no_more()

    assert 3 == await process.wait()
    await other.kill()
