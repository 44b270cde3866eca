"""The two sides of a comparison: points of a store, other stores, files of snapshots."""

from __future__ import annotations

import datetime
import os
from types import MappingProxyType
from typing import Any

import msgspec

from eliza_state.cli.debugging.points import parse_point
from eliza_state.cli.debugging.sessions import Session
from eliza_state.cli.opening import open_store
from eliza_state.cli.terminal import Misuse
from eliza_state.debugger import (
    MISSING,
    Debugger,
    JsonPatch,
    ScopeState,
    SnapshotDiff,
    StateSnapshot,
    diff,
    document,
)
from eliza_state.debugger.snapshot import Initial
from eliza_state.path import Path


class _Scope(msgspec.Struct):
    """A scope in a file, as `StateSnapshot.to_json` writes it."""

    level: str
    version: int
    position: int
    slices: dict[str, Any]


class _File(msgspec.Struct):
    """A snapshot in a file."""

    position: int
    recorded_at: datetime.datetime | None
    modules: dict[str, int]
    scopes: dict[str, _Scope]


class Sides:
    """Two sides of the scopes at and below a path, brought into one form.

    Where one of them is a file, the states of both are JSON.
    """

    def __init__(self, session: Session, path: str, modules: list[str]) -> None:
        self._session = session
        self._path = path
        self._modules = modules

    def compare(self, before: str, after: str) -> SnapshotDiff:
        """Return what differs; `Misuse` for a side that is none, `StateError` for one that is not there."""
        sides = [self._side(before), self._side(after)]
        self.is_json = any(isinstance(side, _File) for side in sides)
        old, new = (_as_json(side) if self.is_json else side for side in sides)
        assert isinstance(old, StateSnapshot)
        assert isinstance(new, StateSnapshot)
        return diff(old, new)

    def patch(self, found: SnapshotDiff) -> JsonPatch:
        """Return the patch from the JSON form of the one side to that of the other."""
        if not self.is_json:
            return found.to_json_patch()
        return diff(_json(found.before), _json(found.after)).to_json_patch(is_json=True)

    def _side(self, text: str) -> StateSnapshot | _File:
        if "://" in text:
            with open_store(text, self._modules, read_only=True) as manager:
                return manager.run(lambda it: Debugger(it).snapshot(self._path))
        if os.path.isfile(text):
            return _read(text)
        past = self._session.past(parse_point(text), self._path)
        return self._session.run(lambda _: past.snapshot())


def _read(name: str) -> _File:
    try:
        with open(name, "rb") as file:
            return msgspec.json.decode(file.read(), type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misuse(
            f"{name!r} is no snapshot such as `eliza-state snapshot --json` prints: {error}"
        ) from error


def _as_json(side: StateSnapshot | _File) -> StateSnapshot:
    """Return a side with its states as plain JSON data."""
    found = msgspec.convert(side.to_json(), _File) if isinstance(side, StateSnapshot) else side
    scopes = {
        Path.decode(path): ScopeState(scope.level, scope.version, scope.position, scope.slices)
        for path, scope in found.scopes.items()
    }
    initial = None if isinstance(side, _File) or side.initial is None else _told(side.initial)
    return StateSnapshot(found.position, found.recorded_at, MappingProxyType(scopes), found.modules, initial)


def _told(initial: Initial) -> Initial:
    """Return what gives the states that slices begin with as plain JSON data."""

    def told(name: str) -> Any:
        state = initial(name)
        return state if state is MISSING else document(state)

    return told


def _json(snapshot: StateSnapshot) -> dict[str, Any]:
    """Return the document of a snapshot whose states are JSON already."""
    scopes = {
        path.encode(): {**scope.head(), "slices": dict(scope.slices)}
        for path, scope in snapshot.scopes.items()
    }
    return {**snapshot.head(), "scopes": scopes}
