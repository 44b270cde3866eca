"""How scopes come back from the archive, in small steps between which dispatches go on."""

from __future__ import annotations

from functools import partial

from eliza_state.archive.parts import ArchiveParts, for_a_while, until_done
from eliza_state.journal.archive.archive import Listed
from eliza_state.journal.archive.erasing import Erasing
from eliza_state.journal.archive.returning import Returning
from eliza_state.path import Path


async def bring_back(parts: ArchiveParts, path: Path, *, with_below: bool) -> dict[Path, int]:
    """Move back what of the archive is at or above a path, and below it only `with_below`.

    Return how many records each of the scopes has. Raises `StoreError` for a damaged segment and a store that
    cannot be written; what was moved back by then is whole.
    """
    done: dict[Path, int] = {}
    async with parts.held():
        for listed in await parts.reading.run(partial(parts.archive.concerned, path)):
            if with_below or not listed.path.is_below(path):
                await _bring_one_back(parts, listed)
                done[listed.path] = sum(row.records for row in listed.blocks)
        await parts.reading.run(Erasing(parts.archive).sweep)
    return done


async def _bring_one_back(parts: ArchiveParts, listed: Listed) -> None:
    returning = Returning(parts.archive, listed)
    await parts.reading.run(returning.load)
    if parts.is_buffered:
        async with parts.dispatcher.paused():
            await until_done(for_a_while(returning.step), parts, parts.pace())
    else:
        await until_done(for_a_while(returning.step), parts, parts.pace())
    parts.note(listed.path, archived=False)
