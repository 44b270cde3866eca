"""A run of workers that dispatch events: were all acknowledged ones kept, once, in order, by everybody?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from eliza_state.change import Record
from eliza_state.manager import StateManager
from tests.faults import checking
from tests.faults.crew import Crew
from tests.faults.engines import Engine
from tests.faults.history import Count, History, read_history, worker_name
from tests.faults.leaks import growth_bytes
from tests.faults.ledger import modules
from tests.faults.run import Outcome, Run, Settings

GROWTH_BYTES: Final = 24 * 2**20
GROWTH_BYTES_EACH: Final = 400
"""How much memory may grow in the second half of a run: so much, and so much for each record of it."""

_LOOK_S: Final = 0.5


class EventsRun(Run):
    """Workers that dispatch events: the journal, their answers, states and leaks are checked."""

    kind = "events"
    worker_module = "tests.faults.worker"

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, folder)
        self._reports: dict[str, Any] = {}

    def worker_name(self, worker: int) -> str:
        return worker_name(worker)

    def orders(self, engine: Engine) -> Mapping[str, Any]:
        return {"url": engine.url, "snapshots": engine.snapshots, "pace_s": self.settings.pace_s}

    async def last(self) -> None:
        """Return when the run has taken its time, or so many events are acknowledged as it is to have."""
        wanted = self.settings.acknowledged
        if not wanted:
            await super().last()
            return
        count = Count(self.folder, workers=self.settings.workers)
        while count.acknowledged() < wanted:  # noqa: ASYNC110  # the workers write it down alone
            await asyncio.sleep(_LOOK_S)

    async def conclude(self, crew: Crew, engine: Engine) -> None:
        """Ask the workers for all states and let them close; note what they leave behind."""
        outcome = self.outcome
        paths = dict.fromkeys(record.path for record in reversed(await _records(engine)))
        scopes = dict.fromkeys(above for path in paths for above in path.chain())
        asked = engine.folder / "paths"
        asked.write_text("\n".join(path.encode() for path in scopes))
        self._reports = {member.name: await member.ask(f"report {asked}") for member in crew.members}
        for member in crew.members:
            samples = await member.ask("close")
            if member is crew.members[0]:
                outcome.findings += _grown(outcome, samples)
            outcome.left_behind(member.name, json.loads(await member.hear()))
            await member.end()

    async def check(self, engine: Engine) -> None:
        await asyncio.to_thread(_check, self.outcome, await _records(engine), self._reports)


def _grown(outcome: Outcome, samples: Iterable[Any]) -> list[str]:
    records, grown = growth_bytes(list(samples))
    outcome.figures["memory grown in the second half"] = f"{grown / 2**20:.1f} MiB in {records} records"
    if grown <= GROWTH_BYTES + records * GROWTH_BYTES_EACH:
        return []
    return [f"the memory of the first worker grew by {grown} bytes in {records} records"]


async def _records(engine: Engine) -> list[Record]:
    """Read the whole journal, on a way without faults and without snapshots."""
    async with StateManager.open(
        engine.direct_url, modules=modules(), snapshots=False, read_only=True
    ) as manager:
        return await manager.root.records(limit=None)


def _check(outcome: Outcome, records: list[Record], reports: Mapping[str, Any]) -> None:
    seed = outcome.settings.seed
    histories: list[History] = [
        read_history(outcome.folder, worker) for worker in range(outcome.settings.workers)
    ]
    operations = [each for history in histories for each in history.operations.values()]
    outcome.figures |= {
        "records": len(records),
        "acknowledged": sum(len(each.answers) for each in operations),
        "refused": sum(each.was_refused for each in operations),
        "without an answer": sum(not each.is_over for each in operations),
        "repeated": sum(each.attempts > 1 for each in operations),
    }
    for found in (
        checking.check_journal(records),
        checking.check_answers(records, histories, seed=seed),
        checking.check_order(records, histories, seed=seed),
        checking.check_states(checking.folded(records), reports),
        checking.check_workers(histories),
    ):
        outcome.findings += found
