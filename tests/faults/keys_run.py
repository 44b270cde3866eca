"""A run of clients on single keys: could their histories have happened one operation at a time?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import attrs

from tests.faults.crew import Crew
from tests.faults.engines import Engine
from tests.faults.keys_history import check_histories, outcomes, read_histories
from tests.faults.keys_worker import keys_name
from tests.faults.run import Outcome, Run


class KeysRun(Run):
    """Clients on the keys of a storage: the history of each key is checked."""

    kind = "keys"
    worker_module = "tests.faults.keys_worker"

    def worker_name(self, worker: int) -> str:
        return keys_name(worker)

    def orders(self, engine: Engine) -> Mapping[str, Any]:
        return {"layers": engine.layers, "is_layered": engine.has_cache, "started_s": time.monotonic()}

    async def conclude(self, crew: Crew, engine: Engine) -> None:
        """Let the clients close; note what they leave behind."""
        for member in crew.members:
            self.outcome.left_behind(member.name, await member.ask("close"))
            await member.end()

    async def check(self, engine: Engine) -> None:
        await asyncio.to_thread(_check, self.outcome, is_layered=engine.has_cache)


def _check(outcome: Outcome, *, is_layered: bool) -> None:
    histories = read_histories(outcome.folder, workers=outcome.settings.workers, is_layered=is_layered)
    outcome.figures |= {"keys": len(histories), **outcomes(histories)}
    for key, verdict in check_histories(histories):
        told = "is not linearizable" if verdict.is_linearizable is False else "is too long to tell"
        history = [attrs.asdict(each) for each in sorted(histories[key], key=lambda each: each.called_s)]
        (outcome.folder / f"{key}.history.json").write_text(json.dumps(history, indent=1))
        blocked = "\n".join(f"    {operation}" for operation in verdict.blocked)
        outcome.findings.append(f"{key!r} {told}: after {verdict.state} none of these fits:\n{blocked}")
