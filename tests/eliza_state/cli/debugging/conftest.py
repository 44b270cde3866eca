"""A store in the current folder to look into."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def store(filled_folder: Path) -> None:
    """A store in the current folder that holds the transcript."""
