"""Checking reducers while events are dispatched: for development.

A reducer is pure: it changes nothing that it is given, and what it returns depends on that alone. The checks
look at what it was given before and after, and run it again. They stand in the way of a tree that is being
checked, and nowhere else, so where nobody checks they cost nothing.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cache
from itertools import repeat
from operator import is_not
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import attrs

from eliza_state.collections import Entities, LazyChunk, Log, Map
from eliza_state.collections.chunk import Tombstone
from eliza_state.diff import diff, render
from eliza_state.errors import StateError, StoreError
from eliza_state.event import EventType
from eliza_state.path import Path
from eliza_state.tree import Plan, Slices, Stage, Transition, Tree

Fault: TypeAlias = Literal["changes its state", "changes its event", "gives another result"]
"""What a reducer does that it must not."""


class ImpureReducer(StateError):
    """A reducer changed what it was given, or gave another result when it was run again.

    `module` and `event` are names, `path` is the text form of the address, `fault` says which it is and
    `inside` where in the state or the event; empty for the whole.
    """

    def __init__(self, *, module: str, event: str, path: str, fault: Fault, inside: str, detail: str) -> None:
        self.module = module
        self.event = event
        self.path = path
        self.fault: Fault = fault
        self.inside = inside
        self.detail = detail
        where = f" at {inside!r}" if inside else ""
        super().__init__(f"module {module!r} {fault}{where} when it reduces {event!r}: {detail}")


Found: TypeAlias = Callable[[ImpureReducer], None]
"""Takes what was found of a reducer; what it raises goes to who dispatches, as a `ReducerError`."""


def check_reducers(tree: Tree, found: Found) -> Callable[[], None]:
    """Check every reducer that a tree runs for a dispatch from now on; return how to stop.

    Folds are not checked. Raises `StateError` for a tree that is being checked.
    """
    own = vars(tree)
    if "reduce" in own:
        raise StateError("the reducers are being checked already; stop that first")
    checking = _Checking(tree, found)
    # On the object, in front of the class's own: whoever dispatches looks there first in any case.
    own["reduce"] = checking.reduce

    def stop() -> None:
        if own.get("reduce") == checking.reduce:
            del own["reduce"]

    return stop


class _Outcome(NamedTuple):
    result: Any = None
    error: Exception | None = None


class _Checking:
    """Reduce events as a tree does, with a look at each reducer."""

    def __init__(self, tree: Tree, found: Found) -> None:
        self._tree = tree
        self._found = found

    def reduce(self, plan: Plan, chain: Sequence[Slices], event: Any, path: Path) -> list[Transition]:
        """Return what `Tree.reduce` returns, and raise what it raises."""
        steps = tuple(attrs.evolve(step, reduce=self._checked(step, plan.event, path)) for step in plan.steps)
        return Tree.reduce(self._tree, attrs.evolve(plan, steps=steps), chain, event, path)

    def _checked(self, step: Stage, kind: EventType, path: Path) -> Callable[..., Any]:
        def told(fault: Fault, inside: str, detail: str) -> None:
            address = path.encode()
            self._found(
                ImpureReducer(
                    module=step.name, event=kind.name, path=address, fault=fault, inside=inside, detail=detail
                )
            )

        def reduce(state: Any, event: Any, *address: Path) -> Any:
            state_before, event_before = Parts(state), Parts(event)
            first = _run(step, state, event, *address)
            in_state, in_event = state_before.changed(), event_before.changed()
            if in_state is not None:
                told("changes its state", in_state, "it was another before")
            elif in_event is not None:
                told("changes its event", in_event, "it was another before")
            else:
                difference = _difference(first, _run(step, state, event, *address))
                if difference is not None:
                    told("gives another result", *difference)
            if first.error is not None:
                raise first.error
            return first.result

        return reduce


def _run(step: Stage, *arguments: Any) -> _Outcome:
    try:
        return _Outcome(step.reduce(*arguments))
    except StoreError:
        raise  # what the reducer touched had to be read from the store: no fault of the module's
    except Exception as error:  # noqa: BLE001  # it is compared, and raised again
        return _Outcome(error=error)


def _difference(first: _Outcome, second: _Outcome) -> tuple[str, str] | None:
    """Return where two outcomes of one reduction differ, and in what; `None` if they do not."""
    if first.error is not None or second.error is not None:
        told = [_shown(outcome.error) for outcome in (first, second)]
        return None if told[0] == told[1] else ("", f"first {told[0]}, then {told[1]}")
    differences = diff(first.result, second.result)
    if not differences:
        return None
    return "".join(map(str, differences[0].path)), f"run again, {render(differences[:1])}"


def _shown(error: Exception | None) -> str:
    return "a state" if error is None else f"{type(error).__name__}: {error}"


# What can be changed in place

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_CLOSED: Final = (type, enum.Enum, types.FunctionType, types.ModuleType, types.MethodType)
_FROZEN: Final = EventType.__setattr__
"""What every frozen attrs class has."""


class _Way(NamedTuple):
    """The way from a value to what is in it; made into text where that is needed."""

    above: _Way | None
    kind: str
    name: Any

    def text(self) -> str:
        """Return it as differences are told: `.field`, `[key]`."""
        own = {"field": f".{self.name}", "key": f"[{self.name!r}]", "element": ""}[self.kind]
        return own if self.above is None else f"{self.above.text()}{own}"


class Parts:
    """Remember what of a value can be changed in place, and what is in it.

    Chunks of collections that were not loaded are not: nobody has been given what is in them.
    """

    def __init__(self, value: Any) -> None:
        self._parts = list(_changeable(value))

    def changed(self) -> str | None:
        """Return where something was changed meanwhile; `None` if nothing was."""
        for way, part, before in self._parts:
            after = _content(part)
            if len(before) != len(after) or any(map(is_not, before, after)):
                return "" if way is None else way.text()
        return None


def _changeable(value: Any) -> Iterator[tuple[_Way | None, Any, Sequence[Any]]]:
    """Yield what can be changed in place: the way to it, itself, and what is in it now."""
    seen: set[int] = set()
    left: list[tuple[_Way | None, Any]] = [(None, value)]
    while left:
        way, part = left.pop()
        if type(part) in _PLAIN or isinstance(part, _CLOSED) or id(part) in seen:
            continue
        seen.add(id(part))
        if _is_changeable(part):
            yield way, part, _content(part)
        left += [(_Way(way, *step), inner) for step, inner in _inner(part) if type(inner) not in _PLAIN]


@cache
def _fields(cls: Hashable) -> tuple[str, ...] | None:
    """The names of an attrs class's fields; `None` for another class."""
    known: Any = cls
    return tuple(field.name for field in attrs.fields(known)) if attrs.has(known) else None


def _is_changeable(part: Any) -> bool:
    if isinstance(part, dict | list | set | bytearray):
        return True
    cls: Any = type(part)
    if _fields(cls) is not None:
        return cls.__setattr__ is not _FROZEN
    return hasattr(part, "__dict__")


def _content(part: Any) -> Sequence[Any]:
    if isinstance(part, dict):
        return [*part, *part.values()]
    if isinstance(part, list | bytearray):
        return list(part)
    if isinstance(part, set):
        return sorted(part, key=id)
    return [getattr(part, name, None) for name in _names(part)]


def _names(part: Any) -> Iterable[str]:
    cls: Any = type(part)
    fields = _fields(cls)
    return sorted(vars(part)) if fields is None else fields


def _inner(part: Any) -> Iterable[tuple[tuple[str, Any], Any]]:
    """Return what is in a value, with the step to it."""
    if isinstance(part, dict):
        return [(("key", key), value) for key, value in part.items()]
    if isinstance(part, Log | Map | Entities):
        return _loaded(part)
    if isinstance(part, list | tuple):
        return [(("key", number), value) for number, value in enumerate(part)]
    if isinstance(part, set | frozenset):
        return [(("element", None), element) for element in part]
    cls: Any = type(part)
    if _fields(cls) is not None or hasattr(part, "__dict__"):
        return [(("field", name), getattr(part, name, None)) for name in _names(part)]
    return ()


def _loaded(part: Log[Any] | Map[Any, Any] | Entities[Any]) -> Iterator[tuple[tuple[str, Any], Any]]:
    """Yield the elements of a collection that are in memory; keys cannot be changed in place."""
    columns = part.columns()
    keys = columns.get("keys")
    slot = 0
    key_chunks = repeat(None) if keys is None else keys.chunks()
    for chunk, named in zip(columns["values"].chunks(), key_chunks, strict=False):
        if not isinstance(chunk, LazyChunk):
            names = range(slot, slot + len(chunk)) if named is None or isinstance(named, LazyChunk) else named
            for name, element in zip(names, chunk, strict=True):
                if type(element) is not Tombstone:
                    yield ("key", name), element
        slot += len(chunk)
