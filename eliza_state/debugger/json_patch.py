"""JSON patches (RFC 6902) over JSON pointers (RFC 6901): read, applied all or nothing, and inverted."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self, TypeAlias, cast, get_args

import attrs
import msgspec

from eliza_state.debugger.errors import PatchFailed
from eliza_state.debugger.patching import Workbench

Name: TypeAlias = Literal["add", "remove", "replace", "move", "copy", "test"]

_NAMES: Final = get_args(Name)
_BAD_ESCAPE = re.compile(r"~(?![01])")


class _Absent(enum.Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""The value of an operation that has none; `None` is JSON's null."""


def pointer(tokens: Iterable[str]) -> str:
    """Return the JSON pointer of reference tokens; empty for the whole document."""
    return "".join(f"/{token.replace('~', '~0').replace('/', '~1')}" for token in tokens)


def tokens(text: str) -> tuple[str, ...]:
    """Return the reference tokens of a JSON pointer.

    Raises `PatchFailed` for a text that is none: it is empty or begins with "/", and after "~" comes 0 or 1.
    """
    if text and not text.startswith("/"):
        raise PatchFailed(f"a JSON pointer is empty or begins with '/', got {text!r}")
    if _BAD_ESCAPE.search(text):
        raise PatchFailed(f"in a JSON pointer '~' is followed by 0 or 1, got {text!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


@attrs.frozen
class Operation:
    """One operation of a patch; `from_` is where `move` and `copy` take from, a pointer as `path` is."""

    op: Name
    path: str
    value: Any = ABSENT
    from_: str | None = None

    @classmethod
    def read(cls, data: Any) -> Self:
        """Return the operation of a JSON object; members that it does not need are passed over, as RFC 6902
        asks. Raises `PatchFailed` for one that is malformed.
        """
        if not isinstance(data, Mapping):
            raise PatchFailed(f"it is an object with 'op' and 'path', got {data!r:.60}")
        found = cast("Mapping[str, Any]", data)
        op, path = found.get("op"), found.get("path")
        if op not in _NAMES:
            raise PatchFailed(f"'op' is one of {', '.join(_NAMES)}, got {op!r:.60}")
        from_ = found.get("from") if op in ("move", "copy") else None
        for name, text in (("path", path), ("from", from_ if op in ("move", "copy") else "")):
            if not isinstance(text, str):
                raise PatchFailed(f"{op!r} has {name!r}, a JSON pointer, got {text!r:.60}")
            tokens(text)
        value = found.get("value", ABSENT) if op in ("add", "replace", "test") else ABSENT
        if value is ABSENT and op in ("add", "replace", "test"):
            raise PatchFailed(f"{op!r} has a 'value'")
        return cls(cast("Name", op), cast("str", path), value, from_)

    def to_json(self) -> dict[str, Any]:
        """Return the operation as a JSON object."""
        told: dict[str, Any] = {"op": self.op, "path": self.path}
        if self.from_ is not None:
            told["from"] = self.from_
        if self.value is not ABSENT:
            told["value"] = self.value
        return told


@attrs.frozen
class JsonPatch:
    """Operations to be carried out in order on a JSON document, all of them or none (RFC 6902)."""

    operations: tuple[Operation, ...] = ()

    @classmethod
    def read(cls, source: str | bytes | Sequence[Any]) -> Self:
        """Return the patch of JSON text or of its parsed array; `PatchFailed` if it is malformed."""
        if isinstance(source, str | bytes):
            try:
                source = msgspec.json.decode(source, type=list[Any])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise PatchFailed(f"a patch is a JSON array of operations: {error}") from None
        found: list[Operation] = []
        for number, data in enumerate(source, 1):
            try:
                found.append(Operation.read(data))
            except PatchFailed as error:
                raise PatchFailed(str(error), number=number) from None
        return cls(tuple(found))

    def __len__(self) -> int:
        return len(self.operations)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the patch as a JSON array."""
        return [operation.to_json() for operation in self.operations]

    def apply(self, document: Any) -> Any:
        """Return the patched document, which shares what the patch does not touch; `document` stays as it is.

        A snapshot, or what else has a `to_json()`, is patched in that form. Raises `PatchFailed` naming the
        operation that does not fit, or the `test` that does not hold.
        """
        data = document.to_json() if hasattr(document, "to_json") else document
        bench = Workbench(data)
        for number, operation in enumerate(self.operations, 1):
            try:
                _carry_out(bench, operation)
            except PatchFailed as error:
                where = f"{operation.op} {operation.path!r}"
                raise PatchFailed(f"{where}: {error}", number=number) from None
        return bench.document

    def inverse(self) -> Self:
        """Return the patch that takes this one back.

        It is made of the patch alone: a `remove` and a `replace` are taken back by the `test` of the same
        place right before them, as the patches made from differences have it, and an `add` is taken to have
        put something where nothing was. Raises `PatchFailed` for an operation that does not tell enough.
        """
        inverted: list[tuple[Operation, ...]] = []
        held: Operation | None = None
        for number, operation in enumerate(self.operations, 1):
            is_held = held is not None and held.path == operation.path
            if held is not None and not (is_held and operation.op in ("remove", "replace")):
                inverted.append((held,))
                is_held = False
            if operation.op == "test":
                held = operation
                continue
            try:
                inverted.append(_inverted(operation, held if is_held else None))
            except PatchFailed as error:
                raise PatchFailed(str(error), number=number) from None
            held = None
        if held is not None:
            inverted.append((held,))
        return attrs.evolve(self, operations=tuple(one for group in reversed(inverted) for one in group))


def _carry_out(bench: Workbench, operation: Operation) -> None:
    place = tokens(operation.path)
    match operation.op:
        case "add":
            bench.add(place, operation.value)
        case "remove":
            bench.remove(place)
        case "replace":
            bench.replace(place, operation.value)
        case "test":
            bench.test(place, operation.value)
        case "move":
            bench.move(tokens(operation.from_ or ""), place)
        case "copy":
            bench.copy(tokens(operation.from_ or ""), place)


def _inverted(operation: Operation, test: Operation | None) -> tuple[Operation, ...]:
    """Return what takes an operation back, given the test of its place right before it."""
    op, path = operation.op, operation.path
    if op == "add" and not path.endswith("/-") and path:
        return Operation("test", path, operation.value), Operation("remove", path)
    if op == "move":
        return (Operation("move", operation.from_ or "", from_=path),)
    if op == "remove" and test is not None:
        return (Operation("add", path, test.value),)
    if op == "replace" and test is not None:
        return Operation("test", path, operation.value), Operation("replace", path, test.value)
    raise PatchFailed(f"{op!r} at {path!r} does not tell what was there before, so it cannot be inverted")
