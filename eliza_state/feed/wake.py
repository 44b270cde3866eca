"""What tells that the journal has gone on, sooner than looking from time to time finds out."""

from __future__ import annotations

import abc
from typing import Protocol

from eliza_state.errors import StoreError


class Listener(Protocol):
    """Who is told, in the event loop in which the source was opened."""

    def heard(self, position: int | None) -> None:
        """Take in that the journal has reached a position; `None`: it may have gone on."""
        ...

    def interrupted(self, error: StoreError) -> None:
        """Take in that the source tells nothing until `heard` is called again."""
        ...


class Wake(abc.ABC):
    """A source of wake-ups for one journal.

    It may tell what is known already, and lose what it has to tell: whoever listens looks at the journal
    from time to time as well. `name` says in reports what it is.
    """

    name: str

    @abc.abstractmethod
    async def open(self, listener: Listener) -> None:
        """Begin to tell, now or as soon as that is possible.

        Each time that it begins, the first time included, `heard` is called for what went before. What keeps
        it from beginning, or going on, is told by `interrupted`, once, and tried again for ever.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Tell nothing any more and release what is held; it can be opened again. Twice does nothing."""
