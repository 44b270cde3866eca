"""Records that were made elsewhere, appended as they are and taken in like those of another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from eliza_state.dispatcher import Dispatcher
from eliza_state.errors import ScopeArchived, StoreError
from eliza_state.journal.contract import Conflict, Draft, InArchive, Journal
from eliza_state.journal.writer import Writer
from eliza_state.path import Path

MakeDrafts: TypeAlias = Callable[[], Sequence[Draft]]
"""Return the records to append, by what the journal holds; called again where others were faster."""


class Intake:
    """Append records with their ids, times and payloads as they are, shielded from the callers' cancellation.

    `take_in` takes in what is new on the journal, while dispatches wait, and returns the last position.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        dispatcher: Dispatcher,
        writer: Writer | None,
        take_in: Callable[[], Awaitable[int]],
    ) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._writer = writer
        self._take_in = take_in
        self._tasks: set[asyncio.Task[int]] = set()

    async def append(self, make: MakeDrafts, *, guarded: Path | None = None) -> int:
        """Append records in one transaction, none where `make` returns none; return the last position.

        No reducer is asked: they are folded as any record that is on the journal. Dispatches wait meanwhile.
        When others have written to one of their paths since `make` was called, or to `guarded` or below it,
        it is called again.
        Raises `ScopeArchived` for a path in the archive, `StoreError` for a store that is only read, closed
        or cannot be written, and what `make` does; then none is stored.
        """
        if self._journal.durable and self._writer is None:
            raise StoreError("the store is open for reading only; open it for writing to append records")
        task = asyncio.get_running_loop().create_task(self._run(make, guarded))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever wanted to know has asked

    async def close(self) -> None:
        """Wait for what goes on."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _run(self, make: MakeDrafts, guarded: Path | None) -> int:
        async with self._dispatcher.paused():
            try:
                if self._writer is None:
                    self._append(make, guarded)
                else:
                    await self._writer.run(lambda: self._append(make, guarded))
            finally:
                last = await self._take_in()
        return last

    def _append(self, make: MakeDrafts, guarded: Path | None) -> None:
        while True:
            after = self._journal.head()
            drafts = make()
            try:
                if drafts:
                    self._journal.append(drafts, after=after, guarded=guarded)
                return
            except InArchive as answer:
                raise ScopeArchived(answer.scopes[0].encode(), restorable=True) from None
            except Conflict:
                # Others wrote to the same scopes meanwhile: what is there, and the versions, are found anew.
                continue
