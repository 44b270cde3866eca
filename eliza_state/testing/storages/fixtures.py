"""What the suites over `Storage` start from."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import pytest

from eliza_state.storage.backend import Entry
from eliza_state.storage.keys import full_key, space_of
from eliza_state.storage.storage import Storage
from eliza_state.testing.clocks import ManualClock

T = TypeVar("T")

Reopen: TypeAlias = Callable[[], AbstractAsyncContextManager[Storage[Any]]]
"""Opens what a storage has stored anew: a storage of its own, as another process would."""

MISSING: Final = object()
"""A default that no storage holds."""
PATIENCE_S: Final = 30
"""How long anything may take before it counts as hanging."""


class StorageFixtures:
    """The fixtures and flags of the suites over `Storage`."""

    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    takes_clock: ClassVar[bool] = True
    """Whether the storage takes its time from the fixture `clock`. If not, tests of deadlines are skipped
    but for one in real time."""
    is_shared: ClassVar[bool] = False
    """Whether others use the same backend at the same time; then it is not swept, nor cleared as a whole."""
    opens_twice: ClassVar[bool] = False
    """Whether `reopen` may be called while `storage` is open, as several processes would."""
    shares_values: ClassVar[bool] = False
    """Whether values are handed out as the objects that were stored, whatever their class."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock of the storage, turned by the tests."""
        if not self.takes_clock:
            pytest.skip("the storage takes no clock")
        return ManualClock()

    @pytest.fixture
    def reopen(self, storage: Storage[Any]) -> Reopen:
        """Give the function that opens the stored data anew; a durable storage overrides this.

        The tests close `storage` before they call it, unless it `opens_twice`. With a storage whose
        constructor opens it, that is `lambda: MyStorage(file, clock=clock)`.
        """
        if storage.backend.is_durable:
            pytest.fail("a storage whose backend is durable overrides the fixture `reopen`")
        pytest.skip("the storage does not outlive its process")

    @pytest.fixture
    def store(self, storage: Storage[Any]) -> Storage[Any]:
        """An empty namespace of the storage."""
        return storage.namespace("contract", str(uuid.uuid4()))

    def _skip_where_shared(self) -> None:
        if self.is_shared:
            pytest.skip("sweeping would touch what is others'")


def full_key_of(store: Storage[Any], key: str) -> str:
    """Return the text under which a storage's backend keeps a key."""
    return full_key(space_of(*store.names), key)


async def collect(iterator: AsyncIterator[T]) -> list[T]:
    """Return what an iterator yields, in bounded time."""
    async with asyncio.timeout(PATIENCE_S):
        return [item async for item in iterator]


async def entry_of(store: Storage[Any], key: str) -> Entry[Any]:
    """Return the entry of a key that is known to exist."""
    entry = await store.entry(key)
    assert entry is not None
    return entry
