"""For the tests of modules, and of what is built on a store: no store, no waiting, no mocks.

>>> driver = TreeDriver(CountModule())
>>> changes = driver.send("agent:eliza/room:general", MessageReceived(id="m1", user="ada", text="hello"))
>>> driver.state(CountModule, of="agent:eliza/room:general")
Count(value=1)

`TreeDriver` unit-tests modules: given these events, this state. `ManualClock` is a clock that a test turns,
`RecordingReceiver` a receiver that remembers what it was told. A whole manager in memory is
`StateManager.open("memory://", modules=…, clock=ManualClock())`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, overload

from eliza_state import codec
from eliza_state.change import Change, SliceChange, to_datetime, to_microseconds
from eliza_state.errors import ScopeArchived
from eliza_state.journal.contract import SliceSnapshot
from eliza_state.module import Composition, StateModule
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.snapshots import dump_slice, restore_slice
from eliza_state.tree import Tree

S = TypeVar("S")

START: Final = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
"""Where a `ManualClock` starts unless told otherwise."""

Facts: TypeAlias = Iterable[tuple[Any, Path | str]]
"""Events with the paths they are addressed to, as `StateManager.dispatch_all` takes them."""


class ManualClock:
    """A clock that stands still until it is turned; called, it gives microseconds since 1970.

    Hand it to `StateManager.open(clock=…)`. It may be turned back, as clocks of machines are.
    """

    def __init__(self, at: datetime.datetime | int = START) -> None:
        """Stand at a time: aware, or in microseconds since 1970."""
        self._at_us = _microseconds(at)

    def __call__(self) -> int:
        return self._at_us

    def __repr__(self) -> str:
        return f"ManualClock({self.now.isoformat()})"

    @property
    def now(self) -> datetime.datetime:
        """What the clock shows, in UTC."""
        return to_datetime(self._at_us)

    def advance(self, *, ms: float) -> None:
        """Turn the clock on by milliseconds; back, when they are negative."""
        self._at_us += round(ms * 1_000)

    def set(self, at: datetime.datetime | int) -> None:
        """Turn the clock to a time: aware, or in microseconds since 1970."""
        self._at_us = _microseconds(at)


def _microseconds(at: datetime.datetime | int) -> int:
    return at if isinstance(at, int) else to_microseconds(at)


class RecordingReceiver:
    """A plain receiver that keeps the changes it was told, oldest first.

    Hand it to `manager.subscribe(receiver)`.
    """

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> None:
        self.changes.append(change)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def events(self) -> list[Any]:
        """The events of the changes."""
        return [change.event for change in self.changes]

    @property
    def positions(self) -> list[int]:
        """The positions of the changes' records."""
        return [change.position for change in self.changes]

    def clear(self) -> None:
        """Forget what was told so far."""
        self.changes.clear()


class TreeDriver:
    """Dispatch events over scopes that live in a dict: modules under test, with nothing around them.

    An event takes the way it takes through a store: written as JSON and read back, root first along the
    chain, refused by the addressed scope alone. So what passes here fits a store.
    Raises `RegistrationError` for modules that cannot work together.
    """

    def __init__(
        self, *modules: StateModule[Any] | Composition, hierarchy: Hierarchy = DEFAULT_HIERARCHY
    ) -> None:
        self.tree = Tree(modules, hierarchy=hierarchy)
        self._scopes: dict[Path, dict[str, Any]] = {}
        self._versions: dict[Path, int] = {}
        self._ended: set[Path] = set()

    @property
    def paths(self) -> list[Path]:
        """The scopes that events have reached, and those above them, in the order of their first event."""
        return list(self._scopes)

    def send(self, to: Path | str, *events: Any) -> list[SliceChange]:
        """Dispatch events to a scope, one after the other; return the slices that changed, root first.

        Raises what a dispatch raises: `UnknownTransition`, `InvalidEvent`, `Rejected`, `ReducerError`,
        `ScopeArchived`. The event that is refused has changed nothing; those before it have.
        """
        path = self._path(to)
        changes: list[SliceChange] = []
        for event in events:
            changes += self._send(path, event)
        return changes

    def _send(self, path: Path, event: Any) -> list[SliceChange]:
        plan = self.tree.plan(type(event), self.tree.hierarchy.level(path))
        if not plan.steps:
            raise self.tree.unknown(plan.event.name, path)
        ended = next((above for above in path.chain() if above in self._ended), None)
        if ended is not None:
            raise ScopeArchived(ended.encode())
        stored = codec.decode(plan.event, codec.encode(event), schema_version=plan.event.version)
        chain = list(path.chain())
        found = [self._slices(scope) for scope in chain]
        transitions = self.tree.reduce(plan, found, stored, path)
        self._scopes.update(zip(chain, found, strict=True))
        self._versions[path] = self._versions.get(path, 0) + plan.stored
        if plan.stored and plan.event.ends_scope:
            self._ended.add(path)
        changes: list[SliceChange] = []
        for depth, name, before, after in transitions:
            found[depth][name] = after
            changes.append(SliceChange(chain[depth], name, before, after))
        return changes

    @overload
    def state(self, module: type[StateModule[S]], *, of: Path | str = ...) -> S: ...
    @overload
    def state(self, module: str, *, of: Path | str = ...) -> Any: ...
    def state(self, module: Any, *, of: Path | str = "") -> Any:
        """Return the state of a module's slice of a scope: initial, if no event has reached it."""
        path = self._path(of)
        name = self.tree.slice_name(module, level=self.tree.hierarchy.level(path))
        return self._slices(path)[name]

    def slices(self, of: Path | str = "") -> Mapping[str, Any]:
        """Return all slices of a scope by name."""
        return dict(self._slices(self._path(of)))

    def version(self, of: Path | str) -> int:
        """Return how many stored events were addressed to a scope."""
        return self._versions.get(self._path(of), 0)

    def restored(self, module: type[StateModule[S]], *, of: Path | str = "") -> S:
        """Return a slice as it comes back from a snapshot; it should equal the state.

        Raises `StateError` for a state that cannot be written or read.
        """
        path = self._path(of)
        name = self.tree.slice_name(module, level=self.tree.hierarchy.level(path))
        member = self.tree.modules(self.tree.hierarchy.level(path))[name]
        dump = dump_slice(member, self._slices(path)[name], place=path.encode())
        snapshot = SliceSnapshot(name, member.version, 0, 0, b"", "", dump.body, dump.named)
        restored: S = restore_slice(member, snapshot, lambda _: dump.chunks, place="")
        return restored

    def _path(self, to: Path | str) -> Path:
        return self.tree.hierarchy.check(Path.decode(to) if isinstance(to, str) else to)

    def _slices(self, path: Path) -> dict[str, Any]:
        found = self._scopes.get(path)
        return self.tree.initial(self.tree.hierarchy.level(path)) if found is None else found


def fold(
    modules: Iterable[StateModule[Any] | Composition],
    events: Facts,
    *,
    hierarchy: Hierarchy = DEFAULT_HIERARCHY,
) -> dict[Path, Mapping[str, Any]]:
    """Return the slices of every scope that the events reach, by path and name.

    Raises what a dispatch raises; see `TreeDriver.send`.
    """
    driver = TreeDriver(*modules, hierarchy=hierarchy)
    for event, path in events:
        driver.send(path, event)
    return {path: driver.slices(path) for path in driver.paths}
