"""Take in what other processes have written, on the order of the journal."""

from __future__ import annotations

from typing import Final

from eliza_state.committer import Committer
from eliza_state.dispatcher import Dispatcher
from eliza_state.following import Following
from eliza_state.heads import Heads
from eliza_state.hearing import Hearing
from eliza_state.path import Path
from eliza_state.reading import Reading

_PAGE_RECORDS: Final = 1_000


class CatchingUp:
    """Fold the records of others into the scopes that are in memory, and announce them."""

    def __init__(
        self,
        heads: Heads,
        *,
        following: Following,
        reading: Reading,
        hearing: Hearing,
        committer: Committer,
        dispatcher: Dispatcher,
    ) -> None:
        self._heads = heads
        self._following = following
        self._reading = reading
        self._hearing = hearing
        self._committer = committer
        self._dispatcher = dispatcher

    async def refresh(self) -> int:
        """Take in what other processes have written since, announce it, and return the last position."""
        async with self._dispatcher.paused():
            return await self.take_in()

    async def take_in(self) -> int:
        """Do what `refresh` does, for who holds the dispatches already."""
        while True:  # a page at a time: what was missed meanwhile may be much
            newer = await self._reading.records(
                Path(), after=self._heads.applied, until=None, newest_first=False, limit=_PAGE_RECORDS
            )
            async with self._hearing.loaded(newer):
                self._committer.follow(newer, reread=await self._following.reread_for(newer))
            if len(newer) < _PAGE_RECORDS:
                return self._heads.applied
