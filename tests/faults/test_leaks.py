"""What a process leaves behind is seen, and memory that grows is told from memory that goes up and down."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

from tests.faults.leaks import Footprint, growth_bytes

MIB = 2**20


async def test_a_process_that_does_nothing_leaves_nothing() -> None:
    assert not Footprint.taken().left_since(Footprint.taken())


async def test_a_thread_that_is_left_is_told_by_its_name() -> None:
    before, over = Footprint.taken(), threading.Event()
    thread = threading.Thread(target=over.wait, name="forgotten")
    thread.start()
    left = Footprint.taken().left_since(before)
    over.set()
    thread.join()

    assert {"threads": ["forgotten"]} == left


async def test_a_task_that_is_left_is_told_by_its_name() -> None:
    before = Footprint.taken()
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    left = Footprint.taken().left_since(before)
    task.cancel()

    assert {"tasks": ["forgotten"]} == left


async def test_a_file_that_is_left_open_is_told(tmp_path: Path) -> None:
    before = Footprint.taken()
    with (tmp_path / "open").open("w"):
        left = Footprint.taken().left_since(before)

    assert {"files": [str(tmp_path / "open")]} == left


async def test_a_connection_that_is_left_open_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = Footprint.taken()
        with socket.create_connection(server.getsockname()):
            left = Footprint.taken().left_since(before)

    assert ["files"] == list(left)


def test_memory_that_grows_to_the_end_is_growth() -> None:
    assert (50, 50 * MIB) == growth_bytes([(number, number * MIB) for number in range(0, 101, 5)])


def test_a_peak_is_no_growth() -> None:
    samples = [(number, 90 * MIB) for number in range(100)]
    samples[70] = (70, 900 * MIB)

    assert (50, 0) == growth_bytes([*samples, (100, 90 * MIB)])


def test_what_is_filled_in_the_first_half_is_no_growth() -> None:
    samples = [(number, min(number, 50) * MIB) for number in range(101)]

    assert 0 == growth_bytes(samples)[1]
