"""The packages that the project is measured beside."""

from __future__ import annotations

import importlib
from typing import Any


def peer(name: str) -> Any:
    """Import a module of the packages in benchmarks/peers.txt."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise SystemExit(
            f"{name} is not installed: run `make bench`, or `pip install -r benchmarks/peers.txt`"
        ) from None
