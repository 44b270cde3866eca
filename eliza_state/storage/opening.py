"""Backends by URL.

| URL | Backend |
|---|---|
| `state.db`, `sqlite:///state.db`, `sqlite:////folder/state.db` | SQLite; see SQLAlchemy for the slashes |
| `postgresql://user:password@host/database`, `mysql+pymysql://…`, `mariadb+pymysql://…` | a server |
| `redis://user:password@host:6379/0`, `rediss://…`, `unix:///run/redis.sock` | Redis or Valkey |
| `redis+sentinel://host:26379,…/service/0`, `redis+cluster://host:6379,…` | several of them |
| `file:///folder/state.json`, `file:state.json` | a JSON file |
| `archive:///folder`, `archive:folder` | an archive |
| `memory://` | this process |

Options stand in the query; see `eliza_state.storage.urls`. Other distributions announce theirs in the
entry-point group `eliza_state.backends`: the URL's scheme, and a callable `(url, *, clock)` that returns a
`Backend[bytes]`. `postgresql+psycopg` is looked for as itself, then as `postgresql`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.storage.addresses import scheme_of
from eliza_state.storage.backend import Backend

GROUP: Final = "eliza_state.backends"
"""The entry-point group in which distributions announce backends, by the scheme of their URLs."""


def open_backend(url: str, *, clock: Clock = now_us) -> Backend[bytes]:
    """Return the backend of a URL; a text without a scheme is the path of a SQLite file.

    Raises `StoreError` for a scheme that nobody has and where the backend cannot be opened, `ValueError` for
    a URL of another form and for options that the backend does not take. No error shows a password.
    """
    if not url:
        raise ValueError("expected the URL of a backend, or the path of a SQLite file, got ''")
    scheme = scheme_of(url)
    if scheme is None:
        return open_backend(f"sqlite:///{url}", clock=clock)
    point = _point(scheme)
    try:
        make = point.load()
    except Exception as error:  # whatever another's module raises
        raise StoreError(
            f"the backend {point.name!r} ({point.value}) cannot be loaded: {error};"
            " install what it needs, or remove its package"
        ) from error
    backend: Any = make(url, clock=clock)
    if not isinstance(backend, Backend):
        raise StoreError(f"expected a Backend from {point.value}, got {type(backend).__name__}")
    return backend


def _point(scheme: str) -> EntryPoint:
    points = entry_points(group=GROUP)
    for name in dict.fromkeys((scheme, scheme.partition("+")[0])):
        found = list(points.select(name=name))
        if len(found) > 1:
            values = " and ".join(sorted(point.value for point in found))
            raise StoreError(f"expected one backend named {name!r}, got {values}: remove one distribution")
        if found:
            return found[0]
    known = ", ".join(sorted({point.name for point in points}))
    raise StoreError(
        f"no backend for URLs that begin with {scheme!r}; there are {known}, and ./path for a SQLite file"
    )
