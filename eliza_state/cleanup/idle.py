"""Letting idle scopes rest: in the archive, or without their content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from eliza_state.archive import ArchiveBlocked
from eliza_state.change import to_microseconds
from eliza_state.cleanup.moment import before
from eliza_state.cleanup.policies import IdleScopes
from eliza_state.cleanup.scopes import resting, slices_of
from eliza_state.cleanup.work import Tally, Work
from eliza_state.erasure import is_erasable
from eliza_state.errors import StateError
from eliza_state.journal.contract import Journal
from eliza_state.path import Path
from eliza_state.query import F, ScopeMatch

# The archive itself goes in slices, with rests between them, and writes one file for many scopes.
_AT_ONCE: Final = 200


async def clean_idle(work: Work, policy: IdleScopes, tally: Tally) -> None:
    """Let go of the scopes of a level in which nothing has happened for long."""
    cutoff = before(work.moment, policy.after)
    where = (F.level == policy.level) & (F.last_activity < cutoff)
    async for scopes in resting(work, where, below=policy.below):
        idle = [scope.path for scope in scopes if not _is_awake(work, scope, to_microseconds(cutoff))]
        if policy.action == "erase":
            await _erase(work, idle, tally)
        else:
            await archive(work, idle, tally)


def _is_awake(work: Work, scope: ScopeMatch, cutoff_us: int) -> bool:
    """Tell whether something has come since the scope was looked up, or is on its way."""
    live = work.manager.core.scopes.find(scope.path)
    return live is not None and (live.pending > 0 or live.last_activity_us >= cutoff_us)


async def archive(work: Work, paths: Sequence[Path], tally: Tally) -> None:
    """Move scopes into the archive, some at a time."""
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        if work.dry_run:
            await _foresee(work, some, tally)
        else:
            await _store(work, some, tally)
        await work.pace.breathe()


async def _store(work: Work, paths: Sequence[Path], tally: Tally) -> None:
    archived = await work.manager.archive.store(*paths, return_exceptions=True)
    tally.did(len(archived.paths), size_bytes=archived.bytes_before)
    for refused in archived.refused:
        if isinstance(refused.error, ArchiveBlocked):
            tally.hold_back(refused.path.encode(), refused.error.reason)
        else:
            tally.fail(refused.path.encode(), refused.error)


async def _foresee(work: Work, paths: Sequence[Path], tally: Tally) -> None:
    """Count what would go into the archive; what holds scopes below these back shows when they go."""
    reading = work.manager.root.access.reading
    for path in paths:
        try:
            holder = await _holder(work, path)
            if holder is None:
                size_bytes = await reading.run(partial(_stored_bytes, work.manager.journal, path))
                tally.did(1, size_bytes=size_bytes)
            else:
                tally.hold_back(path.encode(), f"module {holder!r} is at work on it")
        except StateError as error:
            tally.fail(path.encode(), error)


async def _holder(work: Work, path: Path) -> str | None:
    """Return the name of a module that holds a scope back, if one does."""
    slices = await slices_of(work.manager, path)
    modules = work.manager.tree.modules(work.manager.tree.hierarchy.level(path))
    return next((name for name, module in modules.items() if module.blocks_archive(slices[name])), None)


async def _erase(work: Work, paths: Iterable[Path], tally: Tally) -> None:
    """Erase the content of scopes, one after the other; what has none is passed over."""
    for path in paths:
        size_bytes = await _size(work, path)
        if size_bytes and work.dry_run:
            tally.did(1, size_bytes=size_bytes)
        elif size_bytes:
            await _erase_one(work, path, tally)
        await work.pace.breathe()


async def _erase_one(work: Work, path: Path, tally: Tally) -> None:
    try:
        erased = await work.manager.erase(path)
    except StateError as error:
        tally.fail(path.encode(), error)
        return
    tally.did(1, size_bytes=erased.size_bytes)
    for remains in erased.remains:
        tally.fail(path.encode(), f"something still holds what was erased: {remains}")


async def _size(work: Work, path: Path) -> int:
    """Return how many bytes of content an erasure would take."""
    reading = work.manager.root.access.reading
    return await reading.run(partial(_erasable_bytes, work.manager.journal, path))


def _erasable_bytes(journal: Journal, path: Path) -> int:
    return sum(len(record.payload) for record in journal.read(path) if is_erasable(record))


def _stored_bytes(journal: Journal, path: Path) -> int:
    return sum(len(record.payload) + len(record.key) for record in journal.read(path))
