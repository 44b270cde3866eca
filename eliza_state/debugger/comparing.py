"""What differs between two snapshots, or two states: as values, as text, as a JSON patch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, overload

import attrs
from rich.console import Console
from rich.text import Text

from eliza_state import diff as structural
from eliza_state.debugger.applying import apply
from eliza_state.debugger.documents import document, token
from eliza_state.debugger.errors import PatchFailed
from eliza_state.debugger.json_patch import JsonPatch, Operation, pointer
from eliza_state.debugger.snapshot import Initial, ScopeState, StateSnapshot, scope_document
from eliza_state.debugger.state_paths import path_text
from eliza_state.diff import Difference, Element, Key, Step
from eliza_state.path import Path

_STYLES: Final = {"+": "green", "-": "red", "~": "yellow", ">": "cyan"}
_UNBOUNDED: Final = 1_000_000


class _Form(NamedTuple):
    """How states stand in a document: the token of a step, and what becomes of a value."""

    token: Callable[[Step], str]
    document: Callable[[Any], Any]


def _member(step: Step) -> str:
    return str(step.key if isinstance(step, Key) else token(step))


def _itself(value: Any) -> Any:
    return value


_DOCUMENTS: Final = _Form(token, document)
_AS_THEY_ARE: Final = _Form(_member, _itself)
_NOWHERE: Final = ScopeState("", 0, 0, MappingProxyType({}))


@attrs.frozen
class SliceDiff:
    """What differs in one slice: `differences` are those from one of its states to another, in order.

    A slice that is on one side only has a single one, `added` or `removed`, with an empty path.
    """

    path: Path
    module: str
    differences: tuple[Difference, ...]

    def text(self) -> Text:
        """Return a line that names the slice and one for each difference, coloured, secrets masked."""
        where = f"{self.path.encode() or 'the root'}: {self.module}"
        return Text("\n").join([Text(where, "bold"), *map(_line, self.differences)])

    def to_json(self) -> dict[str, Any]:
        """Return the differences as plain JSON data, secrets masked: path, kind and values of each."""
        told = [difference_json(difference) for difference in self.differences]
        return {"path": self.path.encode(), "module": self.module, "differences": told}


def difference_json(difference: Difference) -> dict[str, Any]:
    """Return one difference as plain JSON data, without a value where it has none."""
    told: dict[str, Any] = {"at": path_text(difference.path), "kind": difference.kind}
    if difference.kind in ("removed", "changed"):
        told["before"] = document(difference.before)
    if difference.kind in ("added", "changed"):
        told["after"] = document(difference.after)
    return told


@attrs.frozen
class StateDiff:
    """What differs between two states of one slice."""

    differences: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return bool(self.differences)

    def __len__(self) -> int:
        return len(self.differences)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    def text(self) -> Text:
        """Return a line for each difference, coloured, secrets masked."""
        return Text("\n").join(map(_line, self.differences))

    def render(self, *, colour: bool = False) -> str:
        """Return a line for each difference, for people; with `colour` as for a terminal, secrets masked."""
        return _rendered(self.text(), colour=colour)

    def apply(self, state: Any) -> Any:
        """Return `state` with the differences carried out; see `apply`."""
        return apply(state, self.differences)

    def to_json_patch(self, *, is_json: bool = False) -> JsonPatch:
        """Return the patch (RFC 6902) from the `document` of the one state to that of the other.

        With `is_json` the states are JSON documents themselves, and stand as they are. What the patch removes
        or replaces it tests first, so that it has an inverse.
        """
        return JsonPatch(tuple(_operations((), self.differences, _AS_THEY_ARE if is_json else _DOCUMENTS)))


@attrs.frozen(repr=False)
class SnapshotDiff:
    """What differs between two snapshots.

    `slices` are those that differ, in the order of the scopes, new scopes last. Of a scope that one of them
    lacks, slices that are still as they begin are left out.
    """

    before: StateSnapshot
    after: StateSnapshot
    slices: tuple[SliceDiff, ...]

    def __repr__(self) -> str:
        return f"SnapshotDiff({self.before.position} → {self.after.position}, {len(self)} differences)"

    def __bool__(self) -> bool:
        return bool(self.slices or self.added or self.removed)

    def __len__(self) -> int:
        return sum(len(found.differences) for found in self.slices)

    def __iter__(self) -> Iterator[SliceDiff]:
        return iter(self.slices)

    @property
    def added(self) -> tuple[Path, ...]:
        """The scopes that the later snapshot has and the earlier one has not."""
        return tuple(path for path in self.after.scopes if path not in self.before.scopes)

    @property
    def removed(self) -> tuple[Path, ...]:
        """The scopes that the earlier snapshot has and the later one has not."""
        return tuple(path for path in self.before.scopes if path not in self.after.scopes)

    def text(self) -> Text:
        """Return the lines of `render`, coloured."""
        shown = {found.path for found in self.slices}
        bare = [(path, sign) for sign, paths in (("-", self.removed), ("+", self.added)) for path in paths]
        parts = [found.text() for found in self.slices]
        return Text("\n").join(parts + [_bare(path, sign) for path, sign in bare if path not in shown])

    def render(self, *, colour: bool = False) -> str:
        """Return lines for people: each slice, and below it its differences, secrets masked.

        Scopes that came or went with all slices as they begin are named last. With `colour` the lines are
        coloured as for a terminal. An empty text when nothing differs.
        """
        return _rendered(self.text(), colour=colour)

    def apply(self, snapshot: StateSnapshot) -> StateSnapshot:
        """Return a snapshot with the differences carried out, at the later one's position.

        Raises `PatchFailed` for a snapshot that has no room for them; it stays as it is.
        """
        removed = set(self.removed)
        shown = {(found.path, found.module) for found in self.slices}
        scopes = {path: scope for path, scope in snapshot.scopes.items() if path not in removed}
        for path in self.added:
            if path in scopes:
                raise PatchFailed(f"the scope {path.encode()!r} is there already")
            scope = self.after.scopes[path]
            untouched = {name: state for name, state in scope.slices.items() if (path, name) not in shown}
            scopes[path] = attrs.evolve(scope, slices=untouched)
        for found in self.slices:
            if found.path not in removed:
                scopes[found.path] = _with_slice(scopes.get(found.path, _NOWHERE), found)
        for path, scope in scopes.items():
            told = self.after.scopes.get(path, scope)
            scopes[path] = attrs.evolve(told, slices=MappingProxyType(scope.slices))
        return attrs.evolve(self.after, scopes=MappingProxyType(scopes))

    def to_json_patch(self) -> JsonPatch:
        """Return the patch (RFC 6902) from `before.to_json()` to `after.to_json()`.

        What it removes or replaces it tests first, so it applies to nothing else, and has an inverse.
        """
        old, new = self.before.head(), self.after.head()
        operations = list(_members((), old, new))
        for path in self.removed:
            operations += _removed(("scopes", path.encode()), scope_document(self.before.scopes[path]))
        for path, scope in self.after.scopes.items():
            place = ("scopes", path.encode())
            if path in self.before.scopes:
                operations += _members(place, self.before.scopes[path].head(), scope.head())
            else:
                operations.append(Operation("add", pointer(place), scope_document(scope)))
        both = self.before.scopes.keys() & self.after.scopes.keys()
        for found in self.slices:
            if found.path in both:
                inside = ("scopes", found.path.encode(), "slices", found.module)
                operations += _operations(inside, found.differences)
        return JsonPatch(tuple(operations))


@overload
def diff(before: StateSnapshot, after: StateSnapshot) -> SnapshotDiff: ...  # pyright: ignore[reportOverlappingOverload]  # a state is anything
@overload
def diff(before: Any, after: Any) -> StateDiff: ...
def diff(before: Any, after: Any) -> Any:
    """Return what differs between two snapshots, or between two states.

    Sets and mappings are compared by element and key, entities by id, sequences by position, and what both
    sides share is not looked at; see `eliza_state.diff.diff`.
    """
    if isinstance(before, StateSnapshot) and isinstance(after, StateSnapshot):
        return SnapshotDiff(before, after, tuple(_between(before, after)))
    return StateDiff(structural.diff(before, after))


def _between(before: StateSnapshot, after: StateSnapshot) -> Iterator[SliceDiff]:
    for path in dict.fromkeys((*before.scopes, *after.scopes)):
        old, new = before.scopes.get(path), after.scopes.get(path)
        if old is not None and new is not None:
            yield from _inside(path, old.slices, new.slices)
        elif old is not None:
            touched = _touched(old, before.initial or after.initial)
            yield from _inside(path, touched, {})
        elif new is not None:
            touched = _touched(new, after.initial or before.initial)
            yield from _inside(path, {}, touched)


def _touched(scope: ScopeState, initial: Initial | None) -> Mapping[str, Any]:
    """Return the slices of a scope that are not as they begin; all where it is not known how they do."""
    if initial is None:
        return scope.slices
    return {name: state for name, state in scope.slices.items() if structural.diff(initial(name), state)}


def _inside(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[SliceDiff]:
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            found: tuple[Difference, ...] = (Difference((), "removed", before=old[name]),)
        elif name not in old:
            found = (Difference((), "added", after=new[name]),)
        else:
            found = structural.diff(old[name], new[name])
        if found:
            yield SliceDiff(path, name, found)


def _with_slice(scope: ScopeState, found: SliceDiff) -> ScopeState:
    slices = dict(scope.slices)
    first = found.differences[0]
    is_there = found.module in slices
    if is_there == (not first.path and first.kind == "added"):
        what = "is there already" if is_there else "is not there"
        raise PatchFailed(f"the slice {found.module!r} at {found.path.encode()!r} {what}")
    if not first.path and first.kind == "removed":
        del slices[found.module]
    else:
        slices[found.module] = apply(slices.get(found.module), found.differences)
    return attrs.evolve(scope, slices=slices)


def _operations(
    place: tuple[str, ...], differences: Iterable[Difference], form: _Form = _DOCUMENTS
) -> Iterator[Operation]:
    for difference in differences:
        path = (*place, *map(form.token, difference.path))
        where = pointer(path)
        match difference.kind:
            case "added":
                yield Operation("add", where, _is_element(difference) or form.document(difference.after))
            case "removed":
                yield from _removed(path, _is_element(difference) or form.document(difference.before))
            case "changed":
                yield Operation("test", where, form.document(difference.before))
                yield Operation("replace", where, form.document(difference.after))
            case "moved":
                # An object's members have no order, but whoever keeps one comes to the right one by this.
                yield Operation("move", where, from_=where)


def _is_element(difference: Difference) -> bool:
    """Tell whether it is about an element of a set, which stands in a document with the value true."""
    return bool(difference.path) and isinstance(difference.path[-1], Element)


def _removed(place: tuple[str, ...], value: Any) -> Iterator[Operation]:
    yield Operation("test", pointer(place), value)
    yield Operation("remove", pointer(place))


def _members(
    place: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Operation]:
    for name, value in after.items():
        if before[name] != value:
            yield Operation("test", pointer((*place, name)), before[name])
            yield Operation("replace", pointer((*place, name)), value)


def _bare(path: Path, sign: str) -> Text:
    """Return the lines for a scope of which there is no slice to show."""
    return Text("\n").join(
        [Text(path.encode(), "bold"), Text(f"{sign} the scope, as it begins", _STYLES[sign])]
    )


def _line(difference: Difference) -> Text:
    text = structural.render((difference,))
    return Text(text, _STYLES[text[0]])


def _rendered(text: Text, *, colour: bool) -> str:
    if not colour:
        return text.plain
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=_UNBOUNDED, highlight=False
    )
    with console.capture() as capture:
        console.print(text, end="", soft_wrap=True)
    return capture.get()
