"""Coroutines run from any thread, in an event loop of their own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from eliza_state.errors import StoreError
from eliza_state.loop_thread import LoopThread


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("the test's")
    yield thread
    thread.close()


async def where() -> str:
    return threading.current_thread().name


def test_it_returns_what_a_coroutine_returns(thread: LoopThread) -> None:
    assert "the test's" == thread.run(where())


def test_it_raises_what_a_coroutine_raises(thread: LoopThread) -> None:
    async def fail() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        thread.run(fail())


async def test_an_event_loop_may_wait_for_it_in_its_own_thread(thread: LoopThread) -> None:
    """A state is touched there, too: nothing that it waits for runs in the loop that it blocks."""
    assert "the test's" == thread.run(where())


def test_many_threads_may_call_at_once(thread: LoopThread) -> None:
    names: list[str] = []
    callers = [threading.Thread(target=lambda: names.append(thread.run(where()))) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert ["the test's"] * 20 == names


def test_once_closed_it_refuses_and_may_be_closed_again(thread: LoopThread) -> None:
    thread.close()
    thread.close()

    assert not thread.is_alive
    with pytest.raises(StoreError, match="is closed"):
        thread.run(where())


def test_what_runs_when_it_is_closed_is_cancelled_and_its_caller_told(thread: LoopThread) -> None:
    began, told = threading.Event(), list[BaseException]()

    async def last() -> None:
        began.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            thread.run(last())
        except StoreError as error:
            told.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert began.wait(30)
    thread.close()
    caller.join()

    assert ["the test's was closed meanwhile"] == [str(error) for error in told]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_that_has_no_thread_of_it_is_refused(thread: LoopThread) -> None:
    child = os.fork()
    if child == 0:
        try:
            thread.run(where())
        except StoreError:
            os._exit(7)
        os._exit(1)

    assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
