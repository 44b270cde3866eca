"""What stands behind the URLs of backends: from a URL with its options to the backend.

Each backend is imported once a URL names it, with the driver that it needs.

A URL's query takes the options of its backend by name (`?table=sessions`, `?prefix=staging`). What it holds
besides goes to the driver, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote_plus

from eliza_state.clock import Clock
from eliza_state.errors import StoreError
from eliza_state.storage.addresses import parsed, path_in
from eliza_state.storage.backend import Backend
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table

if TYPE_CHECKING:
    from sqlalchemy import URL

Read: TypeAlias = Callable[[str], Any]
"""Makes an option of its text; else raises `ValueError`, which says in words what is expected."""

# What the driver takes beside these goes to SQLite itself, if `uri` says so; else SQLAlchemy drops it.
_SQLITE_DRIVER: Final = frozenset(
    {"uri", "timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"}
)
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("true or false")
    return _FLAGS[text.lower()]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


_FILE: Final[Mapping[str, Read]] = {"flush_interval_ms": _number}
_ARCHIVE: Final[Mapping[str, Read]] = {"level": _whole, "max_value_bytes": _whole}
_REDIS: Final[Mapping[str, Read]] = {"prefix": str, "answer_within_ms": _number}
_SQL: Final[Mapping[str, Read]] = {
    "table": str,
    "synchronous": str.upper,
    "read_only": _flag,
    "readers": _whole,
    "timeout_ms": _whole,
    "sweep_interval_ms": _number,
}


def memory(url: str, *, clock: Clock) -> Backend[bytes]:
    """Return a backend in this process for `memory://`, which takes no options."""
    rest, _ = _taken(url, {})
    if rest.partition(":")[2].strip("/"):
        raise ValueError("memory has no place: expected memory://")
    return MemoryBackend[bytes](Table(), encoding=None, clock=clock)


def file(url: str, *, clock: Clock) -> Backend[bytes]:
    """Return a backend in the JSON file of a URL; option `flush_interval_ms`."""
    from eliza_state.storage.disk import FileBackend  # noqa: PLC0415

    rest, options = _taken(url, _FILE)
    return FileBackend(path_in(rest), clock=clock, **options)


def archive(url: str, *, clock: Clock) -> Backend[bytes]:
    """Return a backend in the folder of a URL; options `level` and `max_value_bytes`."""
    from eliza_state.storage.disk import ArchiveBackend  # noqa: PLC0415

    rest, options = _taken(url, _ARCHIVE)
    return ArchiveBackend(path_in(rest), clock=clock, **options)


def redis(url: str, *, clock: Clock) -> Backend[bytes]:
    """Return a backend in Redis; options `prefix` and `answer_within_ms`, all others are redis-py's."""
    from eliza_state.storage.redis import RedisBackend  # noqa: PLC0415

    rest, options = _taken(url, _REDIS, others=True)
    try:
        return RedisBackend(rest, clock=clock, **options)
    except ValueError as error:
        if "?" not in rest:
            raise
        raise ValueError(f"{error}; this package's own are {', '.join(_REDIS)}") from None


def sql(url: str, *, clock: Clock) -> Backend[bytes]:
    """Return a backend in a SQL database.

    Options are `table`, `synchronous`, `read_only`, `readers`, `timeout_ms` and `sweep_interval_ms`, all
    others are SQLAlchemy's and the driver's.
    """
    from eliza_state.storage.sql import SqlBackend  # noqa: PLC0415

    place = parsed(url)
    texts = {name: place.query[name] for name in _SQL if name in place.query}
    options = {name: _read(name, _once(name, text), _SQL[name]) for name, text in texts.items()}
    place = place.difference_update_query(list(texts))
    _check_driver(place)
    try:
        return SqlBackend(place, clock=clock, **options)
    except (StoreError, TypeError) as error:
        # A driver says what it does not know by its name, some of them with a TypeError.
        refused = [name for name in place.query if name in str(error)]
        if not refused:
            raise
        raise StoreError(
            f"{error}; {refused[0]!r} went to the driver, this package's own are {', '.join(_SQL)}"
        ) from None


def _check_driver(place: URL) -> None:
    if place.get_backend_name() != "sqlite" or "uri" in place.query:
        return
    if others := sorted(place.query.keys() - _SQLITE_DRIVER):
        raise _unknown("sqlite", others[0], (*_SQL, *sorted(_SQLITE_DRIVER)))


def _taken(url: str, known: Mapping[str, Read], *, others: bool = False) -> tuple[str, dict[str, Any]]:
    """Return a URL without the options that are known, and these; `others` leaves the rest in the URL.

    The rest is left as it is written: it may hold a password.
    """
    address, _, query = url.partition("?")
    texts: dict[str, list[str]] = {}
    left: list[str] = []
    for part in filter(None, query.split("&")):
        name, _, text = part.partition("=")
        if unquote_plus(name) in known:
            texts.setdefault(unquote_plus(name), []).append(unquote_plus(text))
        elif others:
            left.append(part)
        else:
            raise _unknown(url.partition(":")[0], unquote_plus(name), known)
    options = {name: _read(name, _once(name, tuple(found)), known[name]) for name, found in texts.items()}
    return f"{address}?{'&'.join(left)}" if left else address, options


def _unknown(scheme: str, name: str, known: Iterable[str]) -> ValueError:
    takes = f"takes the options {', '.join(known)}" if known else "takes no options"
    return ValueError(f"{scheme} {takes}, got {name!r}")


def _once(name: str, texts: str | tuple[str, ...]) -> str:
    if isinstance(texts, str):
        return texts
    if len(texts) != 1:
        raise ValueError(f"expected the option {name!r} once, got it {len(texts)} times")
    return texts[0]


def _read(name: str, text: str, read: Read) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"expected {error} for the option {name!r}, got {text!r}") from None
