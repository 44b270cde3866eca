"""Checks on the reducers of an open store, for development."""

from __future__ import annotations

from typing import Any, Final, Self

from eliza_state.checking import ImpureReducer, check_reducers
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.problems import Problem

MOST_FAULTS: Final = 1_000


class Checks:
    """Reducers that are being checked, until `stop`, or the end of the context.

    Each fault of a module with an event is reported once, as a problem of the kind `reducer`; a `strict` one
    makes every dispatch fail that shows it.
    """

    def __init__(self, manager: StateManager, *, strict: bool) -> None:
        self._manager = manager
        self._strict = strict
        self._faults: dict[tuple[Any, ...], ImpureReducer] = {}
        self._stop = check_reducers(manager.tree, self._found)

    @property
    def faults(self) -> tuple[ImpureReducer, ...]:
        """The faults found so far, each once, in the order in which they were found; a thousand at most."""
        return tuple(self._faults.values())

    def stop(self) -> None:
        """Check no more; to stop twice does nothing."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _found(self, fault: ImpureReducer) -> None:
        known = (fault.module, fault.event, fault.fault)
        if known not in self._faults and len(self._faults) < MOST_FAULTS:
            self._faults[known] = fault
            self._manager.problems.report(Problem("reducer", str(fault), Path.decode(fault.path), fault))
        if self._strict:
            raise fault
