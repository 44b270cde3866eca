"""The garbage collector of Python, kept from looking where there is nothing for it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def collector_paused() -> Generator[None]:
    """Pause the garbage collector, where it runs: decoding makes many objects and no garbage cycles.

    What it would have looked at again and again meanwhile, it looks at once, later.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
