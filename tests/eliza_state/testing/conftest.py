"""A proxy in front of a server, for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from eliza_state.testing import FaultProxy
from tests.eliza_state.testing.proxied import Server, serving


@pytest.fixture
def socket_path() -> Iterator[str]:
    """A path short enough for a unix socket, which `tmp_path` is not on macOS."""
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "server.sock")


@pytest.fixture
async def line() -> AsyncIterator[tuple[Server, FaultProxy]]:
    async with serving() as opened:
        yield opened


@pytest.fixture
def server(line: tuple[Server, FaultProxy]) -> Server:
    return line[0]


@pytest.fixture
def proxy(line: tuple[Server, FaultProxy]) -> FaultProxy:
    return line[1]
