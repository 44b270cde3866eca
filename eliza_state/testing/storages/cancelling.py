"""Whoever gives up waiting leaves a storage that works, and a key with its old or its new value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final

import pytest

from eliza_state.storage.storage import Storage
from eliza_state.testing.storages.fixtures import MISSING, PATIENCE_S, StorageFixtures, collect

Operation = Callable[[Storage[Any]], Coroutine[Any, Any, Any]]

_MOST_SUSPENSIONS: Final = 60

# Operations over {"key": "old"}, with what the key may hold afterwards.
OPERATIONS: Final[dict[str, tuple[Operation, tuple[Any, ...]]]] = {
    "get": (lambda store: store.get("key"), ("old",)),
    "mark": (lambda store: store.mark("key"), ("old",)),
    "touch": (lambda store: store.touch("key"), ("old",)),
    "keys": (lambda store: collect(store.keys()), ("old",)),
    "entries": (lambda store: collect(store.entries()), ("old",)),
    "set": (lambda store: store.set("key", "new"), ("old", "new")),
    "set_many": (lambda store: store.set_many({"key": "new", "other": 1}), ("old", "new")),
    "update": (lambda store: store.update("key", lambda _: "new"), ("old", "new")),
    "delete": (lambda store: store.delete("key"), ("old", MISSING)),
    "clear": (lambda store: store.clear(), ("old", MISSING)),
    "flush": (lambda store: store.flush(), ("old",)),
}


class _CancelledAt:
    """A coroutine whose task is cancelled when it suspends for the `at`-th time (from 0)."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, at: int) -> None:
        self._coroutine = coroutine
        self._at = at
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                waited_for = resume()
            except StopIteration as done:
                return done.value
            if self.suspensions == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()  # it takes hold of what is yielded next, as a cancellation from outside does
            self.suspensions += 1
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001  # whatever it is, the coroutine gets it
                resume = partial(steps.throw, error)
            else:
                resume = partial(next, steps)


async def _run(operation: _CancelledAt) -> None:
    await operation


async def cancel(coroutine: Coroutine[Any, Any, Any], *, at: int) -> bool:
    """Run a coroutine, cancelled at its `at`-th suspension; tell whether it came that far."""
    operation = _CancelledAt(coroutine, at=at)
    task = asyncio.create_task(_run(operation))
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.done(), f"cancelled at suspension {at}, it does not end"
    if not task.cancelled():
        task.result()
    return operation.suspensions > at


class CancellationContract(StorageFixtures):
    """Each operation, cancelled at each of its suspensions."""

    @pytest.mark.parametrize(("operation", "outcomes"), OPERATIONS.values(), ids=OPERATIONS)
    async def test_a_cancelled_operation_is_done_or_not(
        self, store: Storage[Any], operation: Operation, outcomes: tuple[Any, ...]
    ) -> None:
        for at in range(_MOST_SUSPENSIONS):
            await store.set("key", "old")
            suspended = await cancel(operation(store), at=at)
            async with asyncio.timeout(PATIENCE_S):
                assert await store.get("key", MISSING) in outcomes
                await store.set("key", "after")
                assert await store.get("key") == "after"
            if not suspended:
                break

    async def test_others_are_not_cancelled_with_it(self, store: Storage[Any]) -> None:
        for at in range(_MOST_SUSPENSIONS):
            others: list[Awaitable[Any]] = [
                asyncio.ensure_future(store.set(f"key {number}", at)) for number in range(8)
            ]
            suspended = await cancel(store.set("key", at), at=at)
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*others)
                found = await store.get_many(f"key {number}" for number in range(8))
            assert list(found.values()) == [at] * 8
            if not suspended:
                break
