"""What must hold of a journal when all is over, checked from its records and the workers' notes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eliza_state.change import Record
from eliza_state.path import Path
from eliza_state.testing import TreeDriver
from tests.faults.history import History, Operation
from tests.faults.ledger import Posted, modules, picture, posting

POSTED = "posted"


def check_journal(records: Sequence[Record]) -> Iterator[str]:
    """Tell where positions, times or the versions of a scope have a gap, and which ids are there twice."""
    versions: Counter[Path] = Counter()
    ids: dict[tuple[Path, str], int] = {}
    last_us = 0
    for expected, record in enumerate(records, 1):
        versions[record.path] += 1
        if record.position != expected:
            yield f"{record}: expected position {expected}"
        if record.version != versions[record.path]:
            yield f"{record}: expected version {versions[record.path]}"
        if record.event != POSTED:
            yield f"{record}: damaged, or not dispatched by any worker"
        if record.recorded_at_us < last_us:
            yield f"{record}: recorded before the one in front of it"
        first = ids.setdefault((record.path, record.id), record.position)
        if first != record.position:
            yield f"{record}: its id {record.id} is at position {first} already"
        last_us = record.recorded_at_us


class Found:
    """The records of a journal by what dispatched them."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {record.id: record for record in records}

    def of(self, seed: int, operation: Operation) -> list[Record | None]:
        """Return the records of an operation's parts; `None` for a part that has none."""
        task = posting(seed, operation.worker, operation.number)
        found = [self._records.get(event.id) for event in task.events]
        return [record if record is not None and record.path == task.path else None for record in found]


def check_answers(records: Sequence[Record], histories: Iterable[History], *, seed: int) -> Iterator[str]:
    """Tell which operations are not on the journal as their workers were told.

    What was acknowledged is there, at the position and version that were told; what was refused at its only
    attempt is not; of two parts both are there, one behind the other, or none.
    """
    found = Found(records)
    dispatched = 0
    for history in histories:
        for operation in history.operations.values():
            places = found.of(seed, operation)
            there = [record for record in places if record is not None]
            dispatched += len(there)
            yield from _check_operation(operation, places, there)
    if dispatched != len(records):
        yield f"{len(records) - dispatched} records that no worker has noted to have started"


def _check_operation(
    operation: Operation, places: Sequence[Record | None], there: Sequence[Record]
) -> Iterator[str]:
    name = f"operation {operation.worker}-{operation.number}"
    positions = [record.position for record in there]
    if operation.is_done and len(there) < len(places):
        yield f"{name} was acknowledged and is lost: {len(there)} of {len(places)} records are there"
    elif there and len(there) < len(places):
        yield f"{name} is there by half"
    if operation.was_refused and operation.attempts == 1 and there:
        yield f"{name} was refused and is there, at {positions}"
    if positions and positions != list(range(positions[0], positions[0] + len(positions))):
        yield f"{name} was one transaction and is torn apart: {positions}"
    if operation.is_done and len(there) == len(operation.answers):
        for record, answer in zip(there, operation.answers, strict=True):
            if (answer.position, answer.version) != (record.position, record.version):
                yield f"{name} was told {answer}, and it is {record}"


def check_order(records: Sequence[Record], histories: Iterable[History], *, seed: int) -> Iterator[str]:
    """Tell which records stand in front of one that was acknowledged before they were dispatched.

    This holds for all workers together (one clock tells their times), so it holds for what one worker
    dispatched to one conversation after the other as well.
    """
    found = Found(records)
    spans: list[tuple[int, Operation]] = []
    for history in histories:
        for operation in history.operations.values():
            spans += [(each.position, operation) for each in found.of(seed, operation) if each is not None]
    latest: Operation | None = None
    for position, operation in sorted(spans, key=lambda span: span[0]):
        ended_s = operation.ended_s if operation.is_done else None
        if latest is not None and ended_s is not None and ended_s < latest.started_s:
            yield (
                f"operation {operation.worker}-{operation.number} at position {position} was acknowledged"
                f" before {latest.worker}-{latest.number}, in front of it, was dispatched"
            )
        if latest is None or operation.started_s > latest.started_s:
            latest = operation


def folded(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Return version and state of every scope by its path: the fold of all records from nothing."""
    driver = TreeDriver(*modules())
    kind = driver.tree.event_type(POSTED)
    assert kind is not None
    for record in records:
        if record.event == POSTED:
            event: Posted = driver.tree.codec.decode(
                kind, record.payload, schema_version=record.schema_version
            )
            driver.send(record.path, event)
    return {path.encode(): [driver.version(path), picture(driver.slices(path))] for path in driver.paths}


def check_states(expected: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Tell which processes have another state of a scope than the fold of the journal."""
    for name, report in reports.items():
        for path, state in expected.items():
            if report.get(path) != state:
                yield f"{name} has {report.get(path)} at {path!r}, the journal gives {state}"


def check_workers(histories: Iterable[History]) -> Iterator[str]:
    """Tell what workers ran into that no fault explains, and operations that they gave up."""
    for history in histories:
        for text in history.broken:
            yield f"worker {history.worker}: {text}"
