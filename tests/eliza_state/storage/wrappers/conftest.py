"""Storages in memory to put something around."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.storage import MemoryStorage
from eliza_state.testing import ManualClock
from tests.eliza_state.storage.kept import Kept
from tests.eliza_state.storage.wrappers.test_foreign import TheirsWithAll


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def kept(clock: ManualClock) -> Kept:
    """A backend of bytes, to look at and to damage."""
    return Kept(clock=clock)


@pytest.fixture
def own(clock: ManualClock) -> MemoryStorage[Any]:
    """A storage of this package."""
    return MemoryStorage[Any](clock=clock)


@pytest.fixture(params=["written", "shared", "theirs"])
def base(request: pytest.FixtureRequest, clock: ManualClock) -> Any:
    """A storage of values as bytes, one of values as they are, and one of somebody else."""
    if request.param == "theirs":
        return TheirsWithAll()
    return MemoryStorage[Any](share=request.param == "shared", clock=clock)
