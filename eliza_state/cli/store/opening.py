"""Opening what `--store` names: one backend, or layers of them from the top down."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from eliza_state.cli.terminal import Misuse, say
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.storage.addresses import path_of, read_only, scheme_of
from eliza_state.storage.backend import Backend
from eliza_state.storage.disk.file_entries import read_document
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.keys import space_of
from eliza_state.storage.layered import LayeredStore, MemoryLimits
from eliza_state.storage.opening import open_backend
from eliza_state.storage.storage import Storage
from eliza_state.storage.wrapper import Encoded

V = TypeVar("V")

CACHE_TIMEOUT_MS: Final = 5_000
"""How long a cache may take: a command is in no hurry, and what it cannot tell stays stale."""


@attrs.frozen
class Place:
    """What is looked at: the URLs of the layers from the top down, and a namespace in them."""

    urls: Sequence[str]
    namespaces: Sequence[str] = ()

    @property
    def space(self) -> str:
        """The text that the keys of the namespace start with."""
        return space_of(*self.namespaces)

    def without_archive(self) -> Place:
        """Return the same place without the archive below it, if it has one."""
        return attrs.evolve(self, urls=self.urls[:-1]) if self.archive else self

    @property
    def archive(self) -> str | None:
        """The URL of the archive below other layers."""
        return self.urls[-1] if len(self.urls) > 1 and scheme_of(self.urls[-1]) == "archive" else None


@contextlib.contextmanager
def misuse() -> Generator[None]:
    """Turn the `ValueError` of a URL, or of layers that do not fit together, into `Misuse`."""
    try:
        yield
    except ValueError as error:
        raise Misuse(f"--store: {error}") from error


class DamagedFile(StoreError):
    """The JSON file cannot be read as a storage: it is damaged, or another file altogether."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{str(path)!r} cannot be read as a storage: {reason}; repair it or move it away")


def open_layer(url: str, *, to_read: bool = False, new: bool = False) -> Backend[bytes]:
    """Open one of a place's URLs.

    What is not there is made only if it may be `new`. With `to_read` a SQL database is opened read-only.
    Raises `DamagedFile`, other `StoreError`s and `Misuse`.
    """
    with misuse():
        path = path_of(url)
        if path is not None and path.exists():
            if scheme_of(url) == "file":
                _check_file(path)
        elif path is not None and not new:
            raise StoreError(f"there is no store at {str(path)!r}; name one that exists")
        return open_backend(read_only(url) if to_read else url)


def _check_file(path: Path) -> None:
    """Raise `DamagedFile` for what a program would set aside; here the path may be a mistyped one."""
    try:
        read_document(path.read_bytes(), now_us=now_us())
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, str(error)) from error


@contextlib.asynccontextmanager
async def layers(
    place: Place, *, to_read: bool = False, new: Collection[str] = ()
) -> AsyncGenerator[list[Backend[bytes]]]:
    """Open all layers of a place, from the top down, and close them in the end; `new` URLs may be made."""
    async with contextlib.AsyncExitStack() as stack:
        found: list[Backend[bytes]] = []
        for url in place.urls:
            found.append(open_layer(url, to_read=to_read, new=url in new))
            stack.push_async_callback(found[-1].close)
        yield found


@contextlib.asynccontextmanager
async def storage_of(
    place: Place, encoding: Encoding[V], *, to_read: bool = False, new: Collection[str] = ()
) -> AsyncGenerator[Storage[V]]:
    """Open a place as one storage, seen from its namespace."""
    async with layers(place, to_read=to_read, new=new) as backends, over(backends, encoding) as storage:
        yield storage.namespace(*place.namespaces) if place.namespaces else storage


@contextlib.asynccontextmanager
async def over(backends: Sequence[Backend[bytes]], encoding: Encoding[V]) -> AsyncGenerator[Storage[V]]:
    """Make one storage of backends that are open; closing it closes them.

    It holds nothing in memory, and knows keys that live in a cache alone.
    """
    if len(backends) == 1:
        storage = Storage(Encoded(backends[0], encoding))
    else:
        above = [backend for backend in backends if not backend.is_archive][:-1]
        with misuse():
            storage = LayeredStore(
                *backends,
                memory=MemoryLimits(max_entries=0),
                encoding=encoding,
                cache_keeps_own=bool(above),
                timeouts_ms={backend.name: CACHE_TIMEOUT_MS for backend in above},
            )
    async with storage:
        yield storage


async def tell_layers(storage: Storage[Any]) -> None:
    """Wait until all layers know what was written; one that cannot be told becomes a warning."""
    if isinstance(storage, LayeredStore):
        try:
            await storage.flush()
        except StoreError as error:
            say(f"warning: it is done, but readers of a cache may see what was there for a minute: {error}")
