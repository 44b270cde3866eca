"""The checks find nothing in a true journal, and what is wrong in one that was doctored."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import attrs
import pytest

from eliza_state.change import Record
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import Rejected
from eliza_state.manager import StateManager
from eliza_state.path import Path
from tests.faults import checking
from tests.faults.history import BROKEN, DONE, REFUSED, STARTED, History, Operation
from tests.faults.ledger import modules, picture, posting

SEED = 3
WORKERS = 2
COUNT = 80


@attrs.define
class Evidence:
    """What a run leaves behind: records, histories, and the states of a process."""

    records: list[Record]
    histories: list[History]
    states: dict[str, list[Any]]

    def findings(self) -> list[str]:
        """Return what all checks together find."""
        return [
            *checking.check_journal(self.records),
            *checking.check_answers(self.records, self.histories, seed=SEED),
            *checking.check_order(self.records, self.histories, seed=SEED),
            *checking.check_states(checking.folded(self.records), {"process": self.states}),
            *checking.check_workers(self.histories),
        ]

    def renumbered(self) -> None:
        """Give the records the positions and versions that they would have in the order they are in now."""
        versions: Counter[Path] = Counter()
        for at, record in enumerate(self.records):
            versions[record.path] += 1
            self.records[at] = record._replace(position=at + 1, version=versions[record.path])


async def worked(manager: StateManager, worker: int, number: int) -> list[list[Any]]:
    """Dispatch an operation; return the notes that a worker would make of it."""
    task = posting(SEED, worker, number)
    started = [STARTED, number, time.monotonic()]
    requests = [Dispatch(event, task.path, id=event.id) for event in task.events]
    try:
        changes = await manager.dispatch_all(requests)
    except Rejected:
        return [started, [REFUSED, number, time.monotonic()]]
    answers = [(change.position, change.version, change.duplicate) for change in changes]
    return [started, [DONE, number, time.monotonic(), answers]]


@pytest.fixture
async def evidence() -> Evidence:
    histories = [History(worker) for worker in range(WORKERS)]
    async with StateManager.open(modules=modules()) as manager:
        for number in range(COUNT):
            for history in histories:
                history.take(await worked(manager, history.worker, number))
        records = await manager.root.records(limit=None)
        paths = {above for record in records for above in record.path.chain()}
        states = {
            path.encode(): [await manager.at(path).version(), picture(await manager.at(path).state())]
            for path in paths
        }
    return Evidence(records, histories, states)


def done(evidence: Evidence, *, parts: int) -> Operation:
    """Return an acknowledged operation in the middle that has so many parts."""
    operations = evidence.histories[0].operations.values()
    found = [each for each in operations if len(each.answers) == parts]
    return found[len(found) // 2]


def test_nothing_is_found_where_nothing_is_wrong(evidence: Evidence) -> None:
    assert not evidence.findings()
    assert any(operation.was_refused for operation in evidence.histories[0].operations.values())


def test_an_acknowledged_record_that_is_lost_is_found(evidence: Evidence) -> None:
    operation = done(evidence, parts=1)
    del evidence.records[operation.answers[0].position - 1]
    evidence.renumbered()

    assert f"operation 0-{operation.number} was acknowledged and is lost" in "\n".join(evidence.findings())


def test_half_a_transaction_is_found(evidence: Evidence) -> None:
    operation = done(evidence, parts=2)
    del evidence.records[operation.answers[1].position - 1]
    evidence.renumbered()
    operation.answers = ()

    assert f"operation 0-{operation.number} is there by half" in evidence.findings()


def test_a_transaction_with_another_one_inside_is_found(evidence: Evidence) -> None:
    operation = done(evidence, parts=2)
    at = operation.answers[1].position - 1
    evidence.records[at], evidence.records[at + 1] = evidence.records[at + 1], evidence.records[at]
    evidence.renumbered()

    assert f"operation 0-{operation.number} was one transaction and is torn apart" in "\n".join(
        evidence.findings()
    )


def test_a_record_that_is_there_twice_is_found(evidence: Evidence) -> None:
    evidence.records.append(evidence.records[10])
    evidence.renumbered()

    assert "is at position 11 already" in "\n".join(evidence.findings())


def test_a_refused_operation_that_is_there_is_found(evidence: Evidence) -> None:
    operation = done(evidence, parts=1)
    operation.answers, operation.was_refused = (), True

    assert f"operation 0-{operation.number} was refused and is there" in "\n".join(evidence.findings())


def test_another_answer_than_the_record_is_found(evidence: Evidence) -> None:
    operation = done(evidence, parts=1)
    answer = operation.answers[0]
    operation.answers = (answer._replace(version=answer.version + 1),)

    assert f"operation 0-{operation.number} was told" in "\n".join(evidence.findings())


def test_records_in_another_order_than_they_were_acknowledged_in_are_found(evidence: Evidence) -> None:
    later, earlier = evidence.records[20], evidence.records[19]
    evidence.records[19:21] = [later, earlier]
    evidence.renumbered()

    assert "in front of it, was dispatched" in "\n".join(evidence.findings())


def test_a_record_of_nobody_is_found(evidence: Evidence) -> None:
    evidence.histories[1].operations.popitem()

    assert "that no worker has noted to have started" in "\n".join(evidence.findings())


@pytest.mark.parametrize("field", ["position", "version"])
def test_a_gap_is_found(evidence: Evidence, field: str) -> None:
    record = evidence.records[-1]
    evidence.records[-1] = record._replace(**{field: getattr(record, field) + 1})

    assert f"expected {field} {getattr(record, field)}" in "\n".join(evidence.findings())


@pytest.mark.parametrize("path", ["", "agent:bank"])
def test_a_process_with_another_state_than_the_fold_is_found(evidence: Evidence, path: str) -> None:
    evidence.states[path] = [*evidence.states[path][:1], {"tally": [0, 0]}]

    assert f"process has {evidence.states[path]} at {path!r}" in "\n".join(evidence.findings())


def test_what_a_worker_found_wrong_itself_is_told(evidence: Evidence) -> None:
    evidence.histories[1].take([[BROKEN, "announced position 3 after 4"]])

    assert evidence.findings() == ["worker 1: announced position 3 after 4"]
