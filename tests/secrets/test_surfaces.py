"""No secret is shown where states, events and values are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.secrets.planted import Planted, planted
from tests.secrets.search import found_in
from tests.secrets.surfaces import SURFACES


@pytest.fixture(params=["memory", "plain", "sealed", "locked"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Planted]:
    async with planted(tmp_path, request.param) as made:
        yield made


@pytest.mark.parametrize("name", SURFACES)
async def test_no_secret_is_shown(name: str, store: Planted):
    shown = [text async for text in SURFACES[name](store)]
    leaks = {place: text for text in shown for place in found_in(text, store.secrets)}

    assert any(shown)
    assert not leaks
