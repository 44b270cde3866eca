"""A debugger on the command line: the store opened read-only, and every question answered at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator
from typing import Any, TypeVar

from eliza_state.cli.debugging.points import Point
from eliza_state.cli.opening import open_store
from eliza_state.cli.terminal import Misuse, one_line, reporting, say
from eliza_state.debugger import Debugger, InvalidStatePath, Past
from eliza_state.manager import StateManager
from eliza_state.portal import SyncStateManager

T = TypeVar("T")


class Session:
    """A debugger whose answers are waited for."""

    def __init__(self, manager: SyncStateManager) -> None:
        self.manager = manager
        self.debugger = manager.run(_debugger)

    def run(self, question: Callable[[Debugger], Coroutine[Any, Any, T]]) -> T:
        """Ask the debugger and wait for the answer."""
        return self.manager.run(lambda _: question(self.debugger))

    def each(self, entries: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over what comes one by one."""
        while (entry := self.manager.run(lambda _: _next(entries))) is not None:
            yield entry

    def past(self, point: Point, path: str) -> Past:
        """Look back to a point; versions and ids are those of the path."""
        if point.is_now:
            return self.run(lambda debugger: _present(debugger, path))
        return self.run(lambda debugger: debugger.at(path=path, **point.name()))


async def _debugger(manager: StateManager) -> Debugger:
    return Debugger(manager)


async def _next(entries: AsyncIterator[T]) -> T | None:
    return await anext(entries, None)


async def _present(debugger: Debugger, path: str) -> Past:
    return await debugger.at(await debugger.manager.position(), path=path)


@contextlib.contextmanager
def session(
    store: str, modules: Iterable[str] | None, *, debug: bool, read_only: bool = True
) -> Generator[Session]:
    """Open a store, for looking unless told otherwise.

    What goes wrong becomes one line, with a pointer into a malformed path.
    """
    with reporting(debug=debug):
        try:
            with open_store(store, modules or (), read_only=read_only) as manager:
                yield Session(manager)
        except InvalidStatePath as error:
            for line in error.pointed.splitlines():
                say("  " + one_line(line))
            raise Misuse(error.reason) from error
