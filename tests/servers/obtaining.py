"""What the environment says about servers to test with, and where their programs are found."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

REDIS_URL = os.environ.get("ELIZA_STATE_TEST_REDIS_URL")
POSTGRES_URL = os.environ.get("ELIZA_STATE_TEST_POSTGRES_URL")
REQUIRED = any(os.environ.get(name) for name in ("CI", "ELIZA_STATE_TEST_REQUIRE_SERVERS"))

Made = TypeVar("Made")


class Unavailable(RuntimeError):
    """This machine has no program for such a server; the message says what to install."""


def obtain(make: Callable[[], Made], *, required: bool = REQUIRED) -> Made:
    """Return what is made; without a program for it skip the test, or fail it if servers are required."""
    try:
        return make()
    except Unavailable as missing:
        reason = str(missing)
    if required:
        pytest.fail(f"servers are required here: {reason}", pytrace=False)
    pytest.skip(reason)


def in_wheel(package: str, pattern: str) -> list[Path]:
    """Find files of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    folders = (spec and spec.submodule_search_locations) or ()
    return [file for folder in folders for file in sorted(Path(folder).glob(pattern))]
