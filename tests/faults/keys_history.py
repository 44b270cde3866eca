"""The histories of keys, from the notes of the processes that worked on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.faults.keys_worker import ANSWERED, CALLED, FAILED, MAX_AGE_MS, keys_name
from tests.faults.linearizability import Operation, Verdict, check
from tests.faults.notes import lives, read_notes

_KINDS: Final = {
    "get": "get",
    "get newest": "get",
    "set": "set",
    "compare and set": "set",
    "delete": "delete",
    "compare and delete": "delete",
}


def read_histories(folder: Path, *, workers: int, is_layered: bool) -> dict[str, list[Operation]]:
    """Return the operations of every key.

    A `get` of a layered store may tell what was the newest at most `MAX_AGE_MS` before: it counts as called
    that much earlier. What failed has promised to have stored nothing and is left out; so is a `get` without
    an answer.
    """
    histories: dict[str, list[Operation]] = {}
    for worker in range(workers):
        for file in lives(folder, keys_name(worker)):
            for key, operation in _operations(read_notes(file), is_layered=is_layered):
                histories.setdefault(key, []).append(operation)
    return histories


def _operations(notes: Iterable[list[Any]], *, is_layered: bool) -> Iterator[tuple[str, Operation]]:
    called: dict[str, list[Any]] = {}
    for kind, name, *rest in notes:
        if kind == CALLED:
            called[name] = rest
            continue
        call = called.pop(name)
        if kind != FAILED:
            yield from _operation(name, call, rest if kind == ANSWERED else None, is_layered=is_layered)
    for name, call in called.items():
        yield from _operation(name, call, None, is_layered=is_layered)


def _operation(
    name: str, call: list[Any], told: list[Any] | None, *, is_layered: bool
) -> Iterator[tuple[str, Operation]]:
    key, noted, expected, called_s = call
    kind: Any = _KINDS[noted]
    if told is None:
        if kind != "get":
            value = name if kind == "set" else None
            unknown = Operation(
                kind=kind, called_s=called_s, value=value, expected=expected, outcome="unknown", client=name
            )
            yield key, unknown
        return
    returned_s, outcome, seen, version = told
    is_cached = is_layered and noted == "get"
    yield (
        key,
        Operation(
            kind=kind,
            called_s=called_s - MAX_AGE_MS / 1_000 if is_cached else called_s,
            returned_s=returned_s,
            value={"get": seen, "set": name, "delete": None}[kind],
            expected=expected,
            version=version,
            existed=seen if noted == "delete" else None,
            outcome=outcome,
            client=name,
        ),
    )


def check_histories(histories: Mapping[str, Iterable[Operation]]) -> Iterator[tuple[str, Verdict]]:
    """Yield the keys whose history is not linearizable, or was left undecided, with the verdict."""
    for key, operations in sorted(histories.items()):
        verdict = check(operations)
        if not verdict.is_linearizable:
            yield key, verdict


def outcomes(histories: Mapping[str, Iterable[Operation]]) -> Counter[str]:
    """Count the operations by what came of them."""
    return Counter(operation.outcome for history in histories.values() for operation in history)
