"""A run of clients on single keys: could their histories have happened one operation at a time?"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from tests.faults.crew import Crew, Member, Stuck
from tests.faults.engines import ENGINES, Engine
from tests.faults.keys_history import check_histories, outcomes, read_histories
from tests.faults.keys_worker import keys_name
from tests.faults.run import Outcome, Settings, striking


def _members(settings: Settings, engine: Engine) -> list[Member]:
    started_s = time.monotonic()

    def argument(worker: int) -> Callable[[int], str]:
        def of(life: int) -> str:
            orders = {
                "layers": engine.layers,
                "is_layered": engine.has_cache,
                "seed": settings.seed,
                "worker": worker,
                "life": life,
                "folder": str(engine.folder),
                "started_s": started_s,
            }
            return json.dumps(orders)

        return of

    names = map(keys_name, range(settings.workers))
    return [
        Member(name, engine.folder, "tests.faults.keys_worker", argument(worker))
        for worker, name in enumerate(names)
    ]


async def run_keys(settings: Settings, folder: Path) -> Outcome:
    """Run clients on keys of a storage, and check the history of each key."""
    outcome = Outcome(settings, "keys", folder)
    struck: dict[str, int] = {}
    try:
        async with ENGINES[settings.engine](folder) as engine:
            crew = Crew(_members(settings, engine))
            async with crew:
                await crew.ready()
                async with striking(settings, {**engine.strikes, "processes": crew.strikes}, struck):
                    await asyncio.sleep(settings.seconds)
                await _concluded(crew, outcome)
            outcome.findings += [f"connected still: {what}" for what in await engine.left_connections()]
            await asyncio.to_thread(_check, outcome, is_layered=engine.has_cache)
        outcome.findings += itertools.chain(*(member.complaints() for member in crew.members))
    except* Stuck as stuck:
        outcome.findings += map(str, stuck.exceptions)
    outcome.take(struck)
    return outcome


async def _concluded(crew: Crew, outcome: Outcome) -> None:
    for member in crew.members:
        member.tell("rest")
    for member in crew.members:
        while await member.hear() != "rested":
            pass
        left = await member.ask("close")
        outcome.findings += [f"{member.name} has left {kind}: {what}" for kind, what in left.items()]
        await member.end()
    outcome.figures["killed"] = crew.killed


def _check(outcome: Outcome, *, is_layered: bool) -> None:
    histories = read_histories(outcome.folder, workers=outcome.settings.workers, is_layered=is_layered)
    outcome.figures |= {"keys": len(histories), **outcomes(histories)}
    for key, verdict in check_histories(histories):
        told = "is not linearizable" if verdict.is_linearizable is False else "is too long to tell"
        history = [attrs.asdict(each) for each in sorted(histories[key], key=lambda each: each.called_s)]
        (outcome.folder / f"{key}.history.json").write_text(json.dumps(history, indent=1))
        blocked = "\n".join(f"    {operation}" for operation in verdict.blocked)
        outcome.findings.append(f"{key!r} {told}: after {verdict.state} none of these fits:\n{blocked}")
