"""The storage of snapshots, entry by entry: what can be read, whole, of this journal, and of use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import attrs

from eliza_state.errors import InvalidPath, StateError, StoreError
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject, name_of
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.recovery import is_usable
from eliza_state.snapshot_store import CHUNKS, SPACE, read_slot, space_of_scope
from eliza_state.snapshots import ScopeSnapshot, digest_of
from eliza_state.storage import Storage
from eliza_state.storage.backend import Backend, Mark
from eliza_state.storage.disk import ArchiveBackend
from eliza_state.storage.keys import names_of, space_of, split_key
from eliza_state.storage.layered import LayeredStore
from eliza_state.storage.walking import read_each, wrapped

SNAPSHOTS: Final = "snapshots"
ARCHIVE: Final = "archive"

_AT_ONCE: Final = 100


@attrs.define
class _Scope:
    """What a namespace of a scope holds: its snapshots, the chunks that they name, those that are there."""

    snapshots: list[tuple[str, str, ScopeSnapshot]] = attrs.Factory(list[tuple[str, str, ScopeSnapshot]])
    chunks: dict[str, str] = attrs.Factory(dict[str, str])


@attrs.define
class Stored:
    """What a storage of snapshots holds: by scope's namespace, and what is wrong with single entries.

    `faults` are the full keys of entries that are of no use, each with what is wrong with it and, where that
    is known, the scope.
    """

    scopes: defaultdict[str, _Scope] = attrs.Factory(lambda: defaultdict(_Scope))
    faults: list[tuple[str, str, Path | None]] = attrs.Factory(list[tuple[str, str, Path | None]])
    entries: int = 0

    def fault(self, key: str, text: str, path: Path | None = None) -> None:
        """Note an entry that is of no use."""
        self.faults.append((key, text, path))


def check_snapshots(subject: Subject) -> Iterator[Finding]:
    """Read all snapshots and chunks, and hold the snapshots against the journal that they are to be of."""
    found = look(subject)
    if found is None:
        return
    subject.count(SNAPSHOTS, found.entries)
    faults = found.faults
    if faults:
        # Others may have taken a snapshot between two pages; damage is what a second look finds as well.
        again = look(subject)
        faults = [fault for fault in faults if again is not None and fault in again.faults]
    for _, text, path in faults:
        file = "" if subject.database is None else name_of(subject.database) + "-snapshots"
        yield Finding(check=SNAPSHOTS, message=text, path=path, file=file, is_derived=True)


def look(subject: Subject) -> Stored | None:
    """Return what lies in the storage of snapshots; `None` where there is none."""
    snapshots = None if subject.manager is None else subject.manager.core.snapshots
    if snapshots is None:
        return None
    assert subject.journal is not None
    is_own = snapshots.is_own
    stored = Stored()
    try:
        used = snapshots.use(partial(_walk, subject, stored, epoch=subject.journal.epoch, is_own=is_own))
    except StoreError as error:
        stored.fault("", f"the storage of snapshots cannot be read: {error}")
        return stored
    if used is None:
        return None
    _match(subject.journal, stored)
    return stored


async def _walk(
    subject: Subject, stored: Stored, storage: Storage[bytes], *, epoch: str, is_own: bool
) -> bool:
    """Go over all entries, those of other stores left out unless the storage is this one's own."""
    space = "" if is_own else space_of(SPACE, epoch)
    for backend in kept_in(storage):
        async for page in backend.scan(space, nested=True):
            live = [key for key, mark in page if not mark.is_gone]
            for key, mark in page:
                _check_mark(stored, key, mark, is_own=is_own)
            for start in range(0, len(live), _AT_ONCE):
                await _read(stored, backend, live[start : start + _AT_ONCE], epoch=epoch)
            stored.entries += len(live)
            subject.count(SNAPSHOTS, stored.entries)
    return True


def kept_in(storage: Storage[bytes]) -> Sequence[Backend[bytes]]:
    """Return the backends of a storage that hold more than copies."""
    return storage.kept_in() if isinstance(storage, LayeredStore) else [storage.backend]


def _check_mark(stored: Stored, key: str, mark: Mark, *, is_own: bool) -> None:
    if is_own and (mark.deadline_ms is not None or mark.ttl_ms is not None):
        stored.fault(key, f"the entry {key!r} has a time to live, which no snapshot has")


async def _read(stored: Stored, backend: Backend[bytes], keys: Sequence[str], *, epoch: str) -> None:
    entries, damaged = await read_each(backend, keys)
    for error in damaged:
        stored.fault(error.key, f"the entry {error.key!r} is damaged: {error.reason}")
    for key, entry in entries.items():
        _take(stored, key, entry.value, epoch=epoch)


def _take(stored: Stored, key: str, content: Any, *, epoch: str) -> None:
    """Take in one entry: a snapshot or a chunk in the namespace of a scope, of this store."""
    space, name = split_key(key)
    names = names_of(space)
    if len(names) == 4 and names[3] == CHUNKS and names[:2] == (SPACE, epoch):
        if type(content) is not bytes or digest_of(content).hex() != name:
            stored.fault(key, f"the chunk {name} of a snapshot does not have the digest that it is named by")
        else:
            stored.scopes[names[2]].chunks[name] = key
    elif len(names) == 3 and names[:2] == (SPACE, epoch):
        try:
            found_epoch, text, snapshot = read_slot(content)
        except StoreError as error:
            stored.fault(key, str(error))
            return
        path = _path(text)
        if found_epoch != epoch or path is None or space_of_scope(path) != names[2] or name not in ("0", "1"):
            stored.fault(key, f"a snapshot of {text!r} lies where another one is to be", path)
        else:
            stored.scopes[names[2]].snapshots.append((key, text, snapshot))
    else:
        stored.fault(key, f"the entry {key!r} is of another store, or none of a snapshot")


def _path(text: str) -> Path | None:
    try:
        return Path.decode(text)
    except InvalidPath:
        return None


def _match(journal: Journal, stored: Stored) -> None:
    """Hold the snapshots against the chunks there are, and against the journal."""
    head = journal.head()
    for scope in stored.scopes.values():
        named: set[str] = set()
        for key, text, snapshot in scope.snapshots:
            path = Path.decode(text)
            digests = {digest.hex() for digest in snapshot.chunks}
            named |= digests
            for problem in _problems(journal, path, snapshot, head=head):
                stored.fault(key, f"the snapshot of {text!r} at {snapshot.position}: {problem}", path)
            for digest in sorted(digests - scope.chunks.keys()):
                stored.fault(
                    key, f"the snapshot of {text!r} at {snapshot.position} lacks chunk {digest}", path
                )
        for digest in scope.chunks.keys() - named:
            stored.fault(scope.chunks[digest], f"chunk {digest} is named by no snapshot")


def _problems(journal: Journal, path: Path, snapshot: ScopeSnapshot, *, head: int) -> Iterable[str]:
    lost: list[StateError] = []
    is_usable(journal, snapshot, until=head, lose=lost.append)
    yield from map(str, lost)
    if snapshot.position < journal.erased_at(path):
        yield "it holds what was erased since"


def check_archive(subject: Subject) -> Iterator[Finding]:
    """Read every file of the archive that snapshots lie in, if there is one."""
    snapshots = None if subject.manager is None else subject.manager.core.snapshots
    if snapshots is None:
        return
    found: list[Finding] = []
    snapshots.use(partial(_walk_archive, subject, found))
    yield from found


async def _walk_archive(subject: Subject, found: list[Finding], storage: Storage[bytes]) -> None:
    for backend in kept_in(storage):
        archive = wrapped(backend, ArchiveBackend)
        if archive is None:
            continue
        verification = archive.verify()
        async for file in verification:
            text = f"{name_of(str(file.path))} in the archive: {file.reason}"
            found.append(Finding(check=ARCHIVE, message=text, is_derived=True))
        subject.count(ARCHIVE, verification.good)
