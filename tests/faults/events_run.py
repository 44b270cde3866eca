"""A run of workers that dispatch events: were all acknowledged ones kept, once, in order, by everybody?"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from eliza_state.change import Record
from eliza_state.manager import StateManager
from tests.faults import checking
from tests.faults.crew import Crew, Member, Stuck
from tests.faults.engines import ENGINES, Engine
from tests.faults.history import Count, History, read_history, worker_name
from tests.faults.leaks import growth_bytes
from tests.faults.ledger import modules
from tests.faults.run import Outcome, Settings, striking

GROWTH_BYTES: Final = 24 * 2**20
GROWTH_BYTES_EACH: Final = 400
"""How much memory may grow in the second half of a run: so much, and so much for each record of it."""

_LOOK_S: Final = 0.5


def members(settings: Settings, engine: Engine) -> list[Member]:
    """Return the workers, not started."""

    def argument(worker: int) -> Callable[[int], str]:
        def of(life: int) -> str:
            orders = {
                "url": engine.url,
                "seed": settings.seed,
                "worker": worker,
                "life": life,
                "folder": str(engine.folder),
                "snapshots": engine.snapshots,
                "pace_s": settings.pace_s,
            }
            return json.dumps(orders)

        return of

    names = map(worker_name, range(settings.workers))
    return [
        Member(name, engine.folder, "tests.faults.worker", argument(worker))
        for worker, name in enumerate(names)
    ]


async def run_events(settings: Settings, folder: Path) -> Outcome:
    """Run workers that dispatch events, and check the journal, their answers, states and leaks."""
    outcome = Outcome(settings, "events", folder)
    struck: dict[str, int] = {}
    try:
        async with ENGINES[settings.engine](folder) as engine:
            crew = Crew(members(settings, engine))
            async with crew:
                await crew.ready()
                async with striking(settings, {**engine.strikes, "processes": crew.strikes}, struck):
                    await _run_out(settings, folder)
                reports = await _concluded(crew, engine, outcome)
            outcome.findings += [f"connected still: {what}" for what in await engine.left_connections()]
            records = await _records(engine)
        await asyncio.to_thread(_check, outcome, records, reports)
        outcome.findings += itertools.chain(*(member.complaints() for member in crew.members))
    except* Stuck as stuck:
        outcome.findings += map(str, stuck.exceptions)
    outcome.take(struck)
    return outcome


async def _run_out(settings: Settings, folder: Path) -> None:
    """Return when the run has taken its time, or so many events are acknowledged as it is to have."""
    if not settings.acknowledged:
        await asyncio.sleep(settings.seconds)
        return
    count = Count(folder, workers=settings.workers)
    while count.acknowledged() < settings.acknowledged:  # noqa: ASYNC110  # the workers write it down alone
        await asyncio.sleep(_LOOK_S)


async def _concluded(crew: Crew, engine: Engine, outcome: Outcome) -> dict[str, Any]:
    """Bring the workers to rest, ask them for all states, let them close; note what they leave behind."""
    for member in crew.members:
        member.tell("rest")
    for member in crew.members:
        while await member.hear() != "rested":
            pass
    paths = dict.fromkeys(record.path for record in reversed(await _records(engine)))
    scopes = dict.fromkeys(above for path in paths for above in path.chain())
    (engine.folder / "paths").write_text("\n".join(path.encode() for path in scopes))
    reports = {member.name: await member.ask(f"report {engine.folder / 'paths'}") for member in crew.members}
    for member in crew.members:
        samples = await member.ask("close")
        if member is crew.members[0]:
            outcome.findings += _grown(outcome, samples)
        left = json.loads(await member.hear())
        outcome.findings += [f"{member.name} has left {kind}: {what}" for kind, what in left.items()]
        await member.end()
    outcome.figures["killed"] = crew.killed
    return reports


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
