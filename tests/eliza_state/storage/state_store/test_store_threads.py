"""Several threads share the state of an agent."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import Any

from eliza_state.storage.state_store.store import StateStore
from tests.eliza_state.storage.state_store.opening import Open, entries_of
from tests.eliza_state.storage.watched import PATIENCE_S, Watched


def test_threads_lose_nothing_of_each_others(reopen: Open) -> None:
    state = reopen(flush_interval_ms=1)

    def work(number: int) -> None:
        for step in range(200):
            state.set(f"{number}:{step}", [number, step])
            if step % 3 == 0:
                state.delete(f"{number}:{step}")
            state.snapshot() if step % 50 == 0 else state.get(f"{number}:{step}")

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work, number) for number in range(8)]:
            done.result()
    expected = {f"{n}:{step}": [n, step] for n in range(8) for step in range(200) if step % 3}
    seen = dict(state)
    state.close()

    assert expected == seen == dict(reopen())


def test_each_value_is_taken_out_by_one(state: StateStore) -> None:
    state.update({str(number): number for number in range(500)})
    taken: list[tuple[str, Any]] = []

    def take() -> None:
        try:
            while True:
                taken.append(state.popitem())
        except KeyError:
            return

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(take) for _ in range(8)]:
            done.result()

    assert [(str(number), number) for number in range(500)] == sorted(taken, key=lambda item: item[1])


def test_threads_that_wait_for_the_disk_share_writes(path: FilePath, open_file: Open, files: Watched) -> None:
    state = open_file(flush_interval_ms=0)
    files.gate.clear()
    with ThreadPoolExecutor(20) as threads:
        setting = [threads.submit(state.set, str(number), number) for number in range(20)]
        until(lambda: len(state) == 20)
        files.gate.set()
        for done in setting:
            done.result()

    assert {str(number): number for number in range(20)} == entries_of(path)
    assert files.count <= 3


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
