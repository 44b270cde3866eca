"""Doing to a state what differences tell: `apply(before, diff(before, after)) == after`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger.errors import PatchFailed
from eliza_state.debugger.state_paths import path_text
from eliza_state.diff import Difference, Element, Field, Index, Key, Step
from eliza_state.evolve import evolve


def apply(state: Any, differences: Iterable[Difference]) -> Any:
    """Return `state` with differences carried out in their order; the same object for none.

    The values they bring are taken at their word; what was there before is not compared. Raises `PatchFailed`
    naming the place where the state has no room for one, such as an entity to remove that is not there.
    """
    return _applied(state, tuple(differences), 0)


def _applied(value: Any, differences: Sequence[Difference], depth: int) -> Any:
    """Apply differences whose paths agree in their first `depth` steps, which led to `value`."""
    for is_whole, some in groupby(differences, key=lambda difference: len(difference.path) == depth):
        if is_whole:
            *_, last = some
            value = last.after
            continue
        parts = [
            (step, tuple(inside))
            for (step, _), inside in groupby(
                some, key=lambda found: (found.path[depth], _is_end(found, depth))
            )
        ]
        edit = _EDITS.get(type(value), _edit_object)
        try:
            value = edit(value, parts, depth)
        except PatchFailed:
            raise
        except (LookupError, TypeError, ValueError) as error:
            place = path_text(parts[0][1][0].path)
            raise PatchFailed(
                f"a {type(value).__name__} has no room for the change of {place!r}: {error}"
            ) from error
    return value


_Parts: TypeAlias = Sequence[tuple[Step, tuple[Difference, ...]]]
"""Differences by the step that they take next, in order; a step may come again later."""


def _is_end(difference: Difference, depth: int) -> bool:
    """Tell whether a difference adds, removes or moves the very item that its step leads to."""
    return len(difference.path) == depth + 1 and difference.kind != "changed"


def _end_of(differences: tuple[Difference, ...], depth: int) -> Difference | None:
    """Return the difference that adds, removes or moves the item; `None` where they lie inside it."""
    return differences[0] if _is_end(differences[0], depth) else None


def _wanted(step: Step, kind: type[Any]) -> Any:
    if not isinstance(step, kind):
        raise TypeError(f"it takes a {kind.__name__.lower()}, not {path_text((step,))!r}")
    return step


def _edit_object(value: Any, parts: _Parts, depth: int) -> Any:
    cls: Any = type(value)
    if not attrs.has(cls):
        raise TypeError("nothing can be changed inside it")
    fields = attrs.fields_dict(cls)
    changes: dict[str, Any] = {}
    for step, inside in parts:
        name = _wanted(step, Field).name
        if name not in fields:
            raise KeyError(f"no field {name!r}")
        alias = fields[name].alias or name
        changes[alias] = _applied(changes.get(alias, getattr(value, name)), inside, depth + 1)
    return evolve(value, **changes)


def _edit_dict(value: dict[Any, Any], parts: _Parts, depth: int) -> dict[Any, Any]:
    changed = dict(value)
    for step, inside in parts:
        key = _wanted(step, Key).key
        end = _end_of(inside, depth)
        if end is None:
            changed[key] = _applied(changed[key], inside, depth + 1)
        elif end.kind == "removed":
            del changed[key]
        else:
            changed[key] = _new(key, end, changed)
    return changed


def _edit_map(value: Map[Any, Any], parts: _Parts, depth: int) -> Map[Any, Any]:
    for step, inside in parts:
        key = _wanted(step, Key).key
        end = _end_of(inside, depth)
        if end is None:
            value = value.set(key, _applied(value[key], inside, depth + 1))
        elif end.kind == "removed":
            value = value.delete(key)
        else:
            value = value.set(key, _new(key, end, value))
    return value


def _edit_entities(value: Entities[Any], parts: _Parts, depth: int) -> Entities[Any]:
    for step, inside in parts:
        key = _wanted(step, Key).key
        end = _end_of(inside, depth)
        if end is None:
            value = value.update_with(key, lambda entity: _applied(entity, inside, depth + 1))  # noqa: B023  # called at once
        elif end.kind == "removed":
            value = value.remove(key)
        elif end.kind == "moved":
            value = value.remove(key).add(value[key])
        else:
            value = value.add(end.after)
    return value


def _edit_log(value: Log[Any], parts: _Parts, depth: int) -> Log[Any]:
    for step, inside in parts:
        position = _wanted(step, Index).position
        end = _end_of(inside, depth)
        if end is None:
            value = value.set(position, _applied(value[position], inside, depth + 1))
        elif end.kind == "removed":
            value = value[: _last(position, len(value) - 1)]
        else:
            value = value.append(_new_last(position, end, len(value)))
    return value


def _edit_list(value: list[Any], parts: _Parts, depth: int) -> list[Any]:
    changed = list(value)
    for step, inside in parts:
        position = _wanted(step, Index).position
        end = _end_of(inside, depth)
        if end is None:
            changed[position] = _applied(changed[position], inside, depth + 1)
        elif end.kind == "removed":
            del changed[_last(position, len(changed) - 1)]
        else:
            changed.append(_new_last(position, end, len(changed)))
    return changed


def _edit_tuple(value: tuple[Any, ...], parts: _Parts, depth: int) -> tuple[Any, ...]:
    return tuple(_edit_list(list(value), parts, depth))


def _edit_set(value: set[Any], parts: _Parts, depth: int) -> set[Any]:
    changed = set(value)
    for step, inside in parts:
        element = _wanted(step, Element).element
        if inside[0].kind == "removed":
            changed.remove(element)
        else:
            changed.add(_new(element, inside[0], changed))
    return changed


def _edit_frozenset(value: frozenset[Any], parts: _Parts, depth: int) -> frozenset[Any]:
    return frozenset(_edit_set(set(value), parts, depth))


def _edit_persistent_set(value: Set[Any], parts: _Parts, depth: int) -> Set[Any]:
    for step, inside in parts:
        element = _wanted(step, Element).element
        if inside[0].kind == "removed":
            value = value.remove(element)
        else:
            value = value.add(_new(element, inside[0], value))
    return value


def _new(key: Hashable, difference: Difference, present: Any) -> Any:
    """Return what is to be put where nothing is yet."""
    if key in present:
        raise ValueError("it is there already")
    return difference.after


def _last(position: int, last: int) -> int:
    if position != last:
        raise IndexError(f"what is removed is the last, at {last}")
    return position


def _new_last(position: int, difference: Difference, length: int) -> Any:
    if position != length:
        raise IndexError(f"what is added comes to the end, at {length}")
    return difference.after


_EDITS: Final[dict[type, Callable[[Any, _Parts, int], Any]]] = {
    Entities: _edit_entities,
    Log: _edit_log,
    Map: _edit_map,
    Set: _edit_persistent_set,
    dict: _edit_dict,
    frozenset: _edit_frozenset,
    list: _edit_list,
    set: _edit_set,
    tuple: _edit_tuple,
}
