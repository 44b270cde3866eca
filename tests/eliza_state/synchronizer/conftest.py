"""Replicas to test with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath

import pytest

from tests.eliza_state.synchronizer.replicas import Clock, Replica

MakeReplica = Callable[[str], Replica]


@pytest.fixture
def clock() -> Clock:
    """A clock that all replicas of a test share."""
    return Clock()


@pytest.fixture
def make(tmp_path: FilePath, clock: Clock) -> MakeReplica:
    """Make a replica of a name that nothing was said to."""
    return lambda name: Replica(tmp_path / f"{name}.db", clock)


@pytest.fixture
def laptop(make: MakeReplica) -> Replica:
    """A replica."""
    return make("laptop")


@pytest.fixture
def phone(make: MakeReplica) -> Replica:
    """Another one."""
    return make("phone")
