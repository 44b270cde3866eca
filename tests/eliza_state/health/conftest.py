"""Stores to damage: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path as FilePath

import pytest

from tests.eliza_state.health import stores


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> FilePath:
    """The folder of a whole store, to be left as it is."""
    folder = tmp_path_factory.mktemp("store")
    stores.make(folder)
    return folder


@pytest.fixture
def folder(original: FilePath, tmp_path: FilePath) -> FilePath:
    """The folder of a copy of it."""
    copy = tmp_path / "store"
    shutil.copytree(original, copy)
    return copy
