"""Letting go of what belongs to nothing any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

from eliza_state.cleanup.idle import archive
from eliza_state.cleanup.keys import plugins_of
from eliza_state.cleanup.policies import Orphans
from eliza_state.cleanup.scopes import resting
from eliza_state.cleanup.work import Tally, Work
from eliza_state.errors import StateError
from eliza_state.followers.positions import follower_of
from eliza_state.query import F
from eliza_state.snapshot_store import SPACE, SnapshotStore, space_of_scope
from eliza_state.storage import Storage
from eliza_state.storage.keys import names_of, space_of, split_key

_DEPTH: Final = 3
"""How many names lead to the snapshots of a scope: those of all, of a journal's life, of the scope."""

_Part: TypeAlias = Callable[[Work, Orphans, Tally], Awaitable[None]]


async def clean_orphans(work: Work, policy: Orphans, tally: Tally) -> None:
    """Look for all kinds of what belongs to nothing; where one cannot be looked for, the others are."""
    parts: dict[str, _Part] = {
        "scopes": _scopes,
        "snapshots": _snapshots,
        "plugins": _plugins,
        "followers": _followers,
        "indexes": _indexes,
    }
    for name, part in parts.items():
        try:
            await part(work, policy, tally)
        except StateError as error:
            tally.fail(name, error)
        await work.pace.breathe()


async def _scopes(work: Work, policy: Orphans, tally: Tally) -> None:
    """Archive the scopes of a level below those that have ended."""
    above = work.manager.tree.hierarchy.chain(policy.level)[:-1]
    async for ended in resting(work, (F.phase == "archived") & F.level.in_(above)):
        for scope in ended:
            async for orphans in resting(work, F.level == policy.level, below=scope.path):
                await archive(work, [orphan.path for orphan in orphans], tally)


async def _snapshots(work: Work, policy: Orphans, tally: Tally) -> None:
    snapshots = work.manager.core.snapshots
    if snapshots is None or (snapshots.read_only and not work.dry_run):
        return
    reading = work.manager.root.access.reading
    # In this order: a scope that begins in between is no orphan.
    found = await reading.run(partial(_found, snapshots, work.manager.journal.epoch)) or set()
    async for needed in _needed(work):
        found -= needed
    for names in sorted(found):
        if not work.dry_run:
            await reading.run(partial(_remove, snapshots, names))
        tally.did(1)
        await work.pace.breathe()


_Names: TypeAlias = tuple[str, ...]


async def _needed(work: Work) -> AsyncIterator[set[_Names]]:
    """Yield the namespaces of the scopes that the journal knows and the archive does not."""
    epoch = work.manager.journal.epoch
    yield {(SPACE, epoch, space_of_scope(work.manager.root.path))}
    async for scopes in resting(work, F.position > 0):
        yield {(SPACE, epoch, space_of_scope(scope.path)) for scope in scopes}
        await work.pace.breathe()


def _found(snapshots: SnapshotStore, epoch: str) -> set[_Names] | None:
    """Return the namespaces in which snapshots lie: this journal's, or all in a file of its own."""

    async def scan(storage: Storage[bytes]) -> set[_Names]:
        base, own = storage.namespace(SPACE), storage.namespace(SPACE, epoch)
        start = base if snapshots.is_own else own
        depth = len(storage.names)
        found: set[_Names] = set()
        async for page in storage.backend.scan(space_of(*start.names), nested=True):
            spaces = {split_key(full)[0] for full, _ in page}
            found.update(names_of(space)[depth : depth + _DEPTH] for space in spaces)
        return {names for names in found if len(names) == _DEPTH}

    return snapshots.use(scan)


def _remove(snapshots: SnapshotStore, names: _Names) -> None:
    async def remove(storage: Storage[Any]) -> None:
        await storage.namespace(*names).clear()

    snapshots.use(remove)


async def _plugins(work: Work, policy: Orphans, tally: Tally) -> None:
    plugins = plugins_of(work.manager)
    if policy.plugins is None or plugins is None:
        return
    for name in await plugins.names():
        if name in policy.plugins:
            continue
        if not policy.erase:
            tally.hold_back(f"plugin {name!r}", "what it has stored goes for good only if the policy erases")
        elif work.dry_run:
            tally.did(1)
        else:
            await plugins.purge(name)
            tally.did(1)


async def _followers(work: Work, policy: Orphans, tally: Tally) -> None:
    if policy.followers is None:
        return
    for name in sorted({follower_of(place) for place in await work.manager.followers.places()}):
        if name in policy.followers:
            continue
        if not policy.erase:
            tally.hold_back(f"follower {name!r}", "its place is forgotten only if the policy erases")
        elif work.dry_run:
            tally.did(1)
        else:
            await work.manager.followers.forget(name)
            tally.did(1)


async def _indexes(work: Work, policy: Orphans, tally: Tally) -> None:
    if not policy.indexes:
        return
    for name in await work.manager.queries.undeclared():
        if not work.dry_run:
            while await work.manager.queries.forget(name):
                await work.pace.breathe()
        tally.did(1)
