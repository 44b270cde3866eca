"""What all parts of the debugger use to look at a manager's past and present."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from eliza_state.change import Record, to_datetime
from eliza_state.debugger.folding import Moment
from eliza_state.debugger.history import History
from eliza_state.debugger.snapshot import StateSnapshot, snapshot_of
from eliza_state.debugger.state_paths import MISSING, StatePath, find, parse_path
from eliza_state.errors import RegistrationError
from eliza_state.manager import StateManager
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.scope import StateTree

T = TypeVar("T")

ModuleName = str | type[StateModule[Any]]
"""A module: the name of its slice, or its class."""


class Looking:
    """Look into one manager: one look at a time, where the manager reads its journal."""

    def __init__(self, manager: StateManager, *, most: int) -> None:
        self.manager: Final = manager
        self.tree: Final = manager.tree
        self.history: Final = History(
            manager.tree,
            manager.journal,
            reading=manager.root.access.reading,
            problems=manager.problems,
            most=most,
        )
        self._turn = asyncio.Lock()
        # A caller that is cancelled gives up its turn, while the thread goes on with what it asked for.
        self._use = threading.Lock()

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function that uses the history."""
        async with self._turn:
            return await self.manager.root.access.reading.run(partial(self._alone, function))

    def _alone(self, function: Callable[[], T]) -> T:
        with self._use:
            return function()

    async def last(self) -> int:
        """Return the last position, once all up to it can be read from the journal."""
        return await self.manager.root.access.position()

    async def moment(self, path: Path, position: int) -> Moment:
        """Return the state of a scope at a position."""
        return await self.run(partial(self.history.at, path, position))

    async def record_at(self, position: int) -> Record:
        """Return the record at a position that the journal has."""
        read = self.manager.journal.read
        return await self.run(lambda: next(read(Path(), after=position - 1, until=position, limit=1)))

    async def recorded_at(self, position: int) -> datetime.datetime | None:
        """Return when the journal took the record at a position; `None` for position 0."""
        if not position:
            return None
        root = self.manager.root.access.scopes.find(Path())
        if root is not None and root.position == position:
            return to_datetime(root.last_activity_us)
        return (await self.record_at(position)).recorded_at

    async def states(self, path: Path, depth: int | None, position: int) -> StateTree:
        """Return the states of a scope and of those below it, `depth` levels down, at a position."""
        moment = await self.moment(path, position)
        reading = self.manager.root.access.reading
        children = [] if depth == 0 else await reading.children(path)
        below = None if depth is None else depth - 1
        trees = [await self.states(child, below, position) for child in children]
        return StateTree(
            path,
            self.tree.hierarchy.level(path),
            moment.position,
            moment.version,
            moment.slices,
            tuple(tree for tree in trees if tree.position),
        )

    async def snapshot(self, tree: StateTree, position: int) -> StateSnapshot:
        """Return a tree of states, read at a position, as a snapshot."""
        return snapshot_of(
            tree,
            position=position,
            recorded_at=await self.recorded_at(position),
            modules=self.module_versions(),
            initial=self.initial,
        )

    def initial(self, name: str) -> Any:
        """Return the state that a slice begins with; `MISSING` for one of no module."""
        for level in self.tree.hierarchy.levels:
            module = self.tree.modules(level).get(name)
            if module is not None:
                return module.initial_state()
        return MISSING

    def module_versions(self) -> dict[str, int]:
        """Return the version of each registered module by slice name."""
        tree = self.tree
        return {
            name: module.version
            for level in tree.hierarchy.levels
            for name, module in tree.modules(level).items()
        }

    def path_of(self, path: Path | str) -> Path:
        """Return a scope's path; `InvalidPath` if it is malformed or leaves the hierarchy."""
        return self.manager.at(path).path

    def slice_name(self, module: ModuleName, path: Path) -> str:
        """Return the name of a module's slice at a scope; `RegistrationError` if there is none."""
        return self.tree.slice_name(module, level=self.tree.hierarchy.level(path))

    def inside(self, module: ModuleName, path: Path, text: str | StatePath) -> StatePath:
        """Return a path inside a slice; `InvalidStatePath` for one that its state cannot have."""
        found = parse_path(text) if isinstance(text, str) else text
        level = self.tree.hierarchy.level(path)
        find(self.tree.modules(level)[self.slice_name(module, path)].initial_state(), found)
        return found

    def anywhere(self, module: ModuleName, inside: str | StatePath | None) -> tuple[str, StatePath | None]:
        """Return the slice name of a module of any level, and a path inside it.

        Raises `RegistrationError` for a module that is not registered, `InvalidStatePath` as `inside` does.
        """
        for level in self.tree.hierarchy.levels:
            for name, member in self.tree.modules(level).items():
                if name == module or type(member) is module:
                    path = parse_path(inside) if isinstance(inside, str) else inside
                    if path is not None:
                        find(member.initial_state(), path)
                    return name, path
        known = ", ".join(self.module_versions()) or "none"
        raise RegistrationError(f"no module {module!r} is registered; those that are: {known}")
