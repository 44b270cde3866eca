"""Finding scopes by what the journal knows of them: one query a page, however many scopes there are."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from eliza_state.cleanup.work import Work
from eliza_state.errors import StoreError
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.query import Condition, Cursor, ScopeMatch

PAGE: Final = 500
"""How many scopes are looked up at once."""
# Some milliseconds, in which nobody else's Python runs.
_SLICE_RECORDS: Final = 200


async def resting(work: Work, where: Condition, *, below: Path | str = "") -> AsyncIterator[list[ScopeMatch]]:
    """Yield the scopes for which a condition holds and that are not in the archive, idle longest first."""
    cursor: Cursor | None = None
    await _catch_up(work)
    while True:
        page = await work.manager.queries.scopes(
            where=where, below=below, order_by="last_activity", limit=PAGE, after=cursor
        )
        archived = await _archived_among(work.manager, page.matches)
        yield [scope for scope in page if scope.path not in archived]
        cursor = page.cursor
        if cursor is None:
            return


async def _catch_up(work: Work) -> None:
    """Have the file that knows of scopes take in what is new, a slice at a time."""
    with contextlib.suppress(StoreError):  # another process writes it; the question itself takes in the rest
        while await work.manager.queries.catch_up(records=_SLICE_RECORDS):
            await work.pace.breathe()


async def _archived_among(manager: StateManager, scopes: tuple[ScopeMatch, ...]) -> set[Path]:
    """Return those scopes that are in the archive, which has the order of their last positions, too."""
    if not scopes:
        return set()
    positions = [scope.position for scope in scopes]
    after, last = min(positions) - 1, max(positions)
    found: set[Path] = set()
    while after < last:
        some = await manager.archive.scopes(after=after, limit=PAGE)
        found.update(scope.path for scope in some)
        if len(some) < PAGE:
            break
        after = some[-1].last_position
    return found


async def slices_of(manager: StateManager, path: Path) -> Mapping[str, Any]:
    """Return the states of a scope by slice, as far as the manager is; it is not kept in memory for that."""
    live = manager.core.scopes.find(path)
    if live is not None and not live.lost:
        return live.published
    recovered = await manager.root.access.reading.recover(path, until=await manager.root.access.position())
    return recovered.slices
