"""Records with what each changed, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, Protocol, TypeVar

from eliza_state.debugger.history import History
from eliza_state.debugger.walking import BackwardWalk, Criteria, TimelineEntry, Walk

T = TypeVar("T")

_PAGE: Final = 256


class Look(Protocol):
    """Runs a function where the history may be used, and waits for it."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


async def forwards(
    look: Look, history: History, criteria: Criteria, *, after: int, until: int
) -> AsyncIterator[TimelineEntry]:
    """Yield what criteria let through of the records with `after < position <= until`, in order."""
    walk = Walk(history, criteria, after=after)
    while walk.position < until:
        for entry in await look(partial(walk.page, until, size=_PAGE)):
            yield entry


async def backwards(
    look: Look, history: History, criteria: Criteria, *, after: int, until: int
) -> AsyncIterator[TimelineEntry]:
    """Yield what criteria let through of the records with `after < position <= until`, the newest first."""
    walk = BackwardWalk(history, criteria, after=after)
    while until > after:
        entries, until = await look(partial(walk.page, until))
        for entry in entries:
            yield entry
