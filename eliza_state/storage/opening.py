"""Backends by URL.

`memory://`, `file:///folder/state.json`, `sqlite:///state.db`, `postgresql+psycopg://…`, `mysql+pymysql://…`,
`redis://…`, `rediss://…`, `unix://…`, `redis+sentinel://…`, `redis+cluster://…`, `archive:///folder`, and
what is installed under the entry-point group `eliza_state.backends` by the URL's scheme.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final

from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.storage.backend import Backend

GROUP: Final = "eliza_state.backends"


def open_backend(url: str, *, clock: Clock = now_us) -> Backend[bytes]:
    """Return the backend of a URL; a text without a scheme is the path of a SQLite file.

    Raises `StoreError` for a scheme that nobody has, and where the backend cannot be opened.
    """
    scheme, separator, _ = url.partition(":")
    if not separator or len(scheme) == 1:  # one letter is a drive of Windows
        return open_backend(f"sqlite:///{url}", clock=clock)
    found = entry_points(group=GROUP)
    # `postgresql+psycopg` is looked for as itself, then as `postgresql`.
    matching = [point for name in (scheme, scheme.partition("+")[0]) for point in found.select(name=name)]
    if not matching:
        known = ", ".join(sorted({point.name for point in found}))
        raise StoreError(f"no backend for URLs that begin with {scheme!r}; there are {known}")
    make: Callable[..., Backend[bytes]] = matching[0].load()
    backend: Any = make(url, clock=clock)
    assert isinstance(backend, Backend)
    return backend
