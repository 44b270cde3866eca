"""The face of the archive: `manager.archive`.

>>> await manager.archive.store(talk, other_talk)
Archived(paths=(…, …), records=211, scopes=2, bytes_before=61022, bytes_after=7203, refused=())
>>> await manager.archive.restore(talk)
Restored(paths=(…,), records=104)

A scope in the archive is read as any other: its state, its past, its records, its ids. It takes no events
(`ScopeArchived`), unless the store was opened with `archived="restore"`, which brings it back first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from eliza_state.archive.outcomes import Archived, ArchivedScope, Restored
from eliza_state.archive.parts import ArchiveParts
from eliza_state.change import to_datetime
from eliza_state.errors import ScopeArchived, StateError, StoreError
from eliza_state.path import Path
from eliza_state.scope import Scope

if TYPE_CHECKING:
    from eliza_state.journal.archive.archive import Listed

T = TypeVar("T")

OnDispatch: TypeAlias = Literal["refuse", "restore"]
"""What becomes of an event to a scope in the archive: it is refused, or brings the scope back."""

_CLOSED: Final = "the manager is closed; open the store anew"


class Archive:
    """Move scopes out of the database into segment files, and back. One pass at a time, of all processes.

    A caller that is cancelled stops waiting; what it began goes on.
    """

    def __init__(self, parts: ArchiveParts, *, on_dispatch: OnDispatch) -> None:
        """Made by the manager."""
        if on_dispatch not in ("refuse", "restore"):
            raise StateError(f"what is archived is to 'refuse' events or to 'restore', got {on_dispatch!r}")
        self._parts = parts
        self.brings_back = on_dispatch == "restore"
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    @property
    def folder(self) -> FilePath | None:
        """The folder of the segment files, made by the first pass; `None` where there is none."""
        return self._parts.archive.segments.folder if self._parts.journal.durable else None

    # Moving

    async def store(self, *paths: Path | str | Scope, return_exceptions: bool = False) -> Archived:
        """Move scopes, each with all below it, into the archive.

        Takes any number of them: a pass writes few files, however many scopes it moves, and holds some of
        them in memory at a time. Dispatches to other scopes go on meanwhile; each transaction of the pass is
        short. One that is in the archive, or below one that is, is passed over; one that nobody wrote to
        as well. A scope that a record reaches while it is being moved is read anew.
        Raises `ArchiveBlocked` for a scope that a module, an effect or a follower holds back, `StoreError`
        for one with a damaged record; those before it are in the archive then. With `return_exceptions`,
        such a scope is left and told in `refused`, and the others are moved. Raises `StateError` for the
        root, for a store in memory and one that is synchronised with others, `InvalidPath` for a path that
        leaves the hierarchy, `StoreError` for a store that is only read or closed, and where the archive
        cannot be written.
        """
        self._parts.check_writable()
        wanted = _highest(self._path(path) for path in paths)
        if Path() in wanted:
            raise StateError("the root cannot be archived: name scopes below it")
        return await self._shielded(self._store(wanted, lenient=return_exceptions))

    async def _store(self, paths: Sequence[Path], *, lenient: bool) -> Archived:
        # With the first pass: most processes make none.
        from eliza_state.archive.storing import StorePass  # noqa: PLC0415

        # What was announced is written, and what others have written is known, from here on.
        store = StorePass(self._parts, await self._parts.working(), lenient)
        await self._snapshot_above(paths)
        is_swept = False
        while paths and not store.is_stopped:
            async with self._parts.held():
                if not is_swept:
                    await store.sweep()
                    is_swept = True
                paths = paths[await store.run(paths) :]
            self._check_open()
        outcome = store.outcome()
        if store.is_stopped:
            raise outcome.refused[0].error
        return outcome

    async def _snapshot_above(self, paths: Iterable[Path]) -> None:
        """Take snapshots of the scopes above: to open them is not to read what goes into the archive."""
        parts = self._parts
        if parts.snapshotter is None:
            return
        for above in dict.fromkeys(scope for path in paths for scope in path.chain() if scope != path):
            async with parts.scopes.held([above]) as held:
                if held[above].tail and not held[above].archived:
                    await parts.snapshotter.take(held[above])

    async def restore(self, *paths: Path | str | Scope) -> Restored:
        """Move scopes back into the database: all of the archive that is at, above or below these paths.

        The records get their places back. They can be read all the time, and dispatches to the scopes are
        refused until the last one is back. A path of which nothing is in the archive is passed over.
        Raises `StoreError` for a damaged segment, naming file and scope, and for a store that is only read,
        closed or cannot be written; what was moved back by then is whole.
        """
        self._parts.check_writable()
        wanted = [self._path(path) for path in paths]
        return await self._shielded(self._restore(wanted, with_below=True))

    async def _restore(self, paths: Iterable[Path], *, with_below: bool) -> Restored:
        # As above.
        from eliza_state.archive.returning import bring_back  # noqa: PLC0415

        done: dict[Path, int] = {}
        for path in paths:
            done |= await bring_back(self._parts, path, with_below=with_below)
            self._check_open()
        return Restored(paths=tuple(done), records=sum(done.values()))

    async def admit(self, path: Path) -> None:
        """Have a scope take events again that is in the archive, as far as is known.

        Raises `ScopeArchived` where it is, unless the store was opened such that it is brought back.
        """
        parts = self._parts
        found = await parts.reading.run(partial(parts.journal.archived_scope, path))
        if found is None:
            parts.note(path, archived=False)
        elif not self.brings_back or parts.writer is None:
            raise ScopeArchived(found.encode(), restorable=True)
        else:
            await self._shielded(self._restore([path], with_below=False))

    # Looking

    async def scopes(
        self, below: Path | str | Scope | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[ArchivedScope]:
        """Return what is in the archive, at or below a scope, in the order of the last positions.

        To page, pass the `last_position` seen last as `after`. What lies in the archive at a scope above
        `below` is not among them: see `find`.
        """
        path = Path() if below is None else self._path(below)
        if not self._parts.journal.durable:
            return []
        look = partial(self._parts.archive.listed, path, after=after, limit=limit)
        return [_told(listed) for listed in await self._parts.reading.run(look)]

    async def find(self, path: Path | str | Scope) -> ArchivedScope | None:
        """Return the scope in the archive that a scope is, or is below; `None` if it takes events."""
        wanted = self._path(path)
        found = await self._parts.reading.run(partial(self._parts.journal.archived_scope, wanted))
        if found is None:
            return None
        return next((one for one in await self.scopes(found) if one.path == found), None)

    # Tasks

    def _path(self, path: Path | str | Scope) -> Path:
        if isinstance(path, Scope):
            return path.path
        found = Path.decode(path) if isinstance(path, str) else path
        return self._parts.tree.hierarchy.check(found)

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever wanted to know has asked

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(_CLOSED)

    async def close(self) -> None:
        """End what goes on, after the scopes that it has at hand, and wait for it."""
        self._is_closed = True
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))


def _highest(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that are not below another one of them, each once."""
    named = dict.fromkeys(paths)
    return [path for path in named if not any(above in named for above in path.chain() if above != path)]


def _told(listed: Listed) -> ArchivedScope:
    first, last = listed.blocks[0], listed.blocks[-1]
    return ArchivedScope(
        path=listed.path,
        records=sum(row.records for row in listed.blocks),
        first_position=first.first_position,
        last_position=last.last_position,
        version=last.version,
        last_event=last.last_event,
        last_activity=to_datetime(last.last_at_us),
        size_bytes=sum(row.size_bytes for row in listed.blocks),
        segments=tuple(dict.fromkeys(row.segment for row in listed.blocks)),
    )
