"""What every run has: its settings, its course, the faults that happen meanwhile, and its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs

from tests.faults.crew import Crew, Member, Stuck
from tests.faults.engines import ENGINES, Engine, Strike
from tests.faults.plan import faults


@attrs.frozen(kw_only=True)
class Settings:
    """What a run is made of; `pace_s` is the mean pause between two operations of a lane of a worker.

    A run of events takes `seconds`, or as long as it takes until so many are `acknowledged`.
    """

    engine: str
    seed: int
    seconds: float
    workers: int = 4
    fault_pause_s: float = 1.0
    pace_s: float = 0.0
    acknowledged: int = 0

    @property
    def length(self) -> str:
        """How long it takes, for people."""
        return f"{self.acknowledged:,} acknowledged" if self.acknowledged else f"{self.seconds:g} s"

    @property
    def option(self) -> str:
        """What says so on the command line."""
        return f"--acknowledged {self.acknowledged}" if self.acknowledged else f"--seconds {self.seconds:g}"


@attrs.define
class Outcome:
    """What came of a run: figures for people, and findings, of which there should be none."""

    settings: Settings
    kind: str
    folder: Path
    figures: dict[str, Any] = attrs.field(factory=dict)
    findings: list[str] = attrs.field(factory=list)

    def told(self) -> str:
        """Return it as text, with how to run it again where something was found."""
        settings = self.settings
        figures = ", ".join(f"{name}: {value}" for name, value in self.figures.items())
        lines = [f"{self.kind} on {settings.engine}, seed {settings.seed}, {settings.length}: {figures}"]
        if self.findings:
            lines += self.findings[:20]
            lines.append(f"{len(self.findings)} findings; histories and stores are in {self.folder}; again:")
            lines.append(
                f"  python -m tests.faults --kind {self.kind} --engine {settings.engine}"
                f" --seed {settings.seed} {settings.option} --workers {settings.workers}"
                f" --fault-pause {settings.fault_pause_s:g} --pace {settings.pace_s:g}"
            )
        return "\n".join(lines)

    def left_behind(self, name: str, left: Mapping[str, Any]) -> None:
        """Take in what a process still had when it was closed, by kind."""
        self.findings += [f"{name} has left {kind}: {what}" for kind, what in left.items()]

    def take(self, struck: Mapping[str, int]) -> None:
        """Take in how often each fault happened, and write what was found beside the histories."""
        self.figures["faults"] = sum(struck.values())
        self.figures["by kind"] = dict(struck)
        (self.folder / "findings.json").write_text(json.dumps(self.findings, indent=1))


class Run(ABC):
    """A crew at work under faults, brought to rest, and a look at what it has left."""

    kind: ClassVar[str]
    """What the run is called on the command line."""

    worker_module: ClassVar[str]
    """What a process of the crew runs."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.outcome = Outcome(settings, self.kind, folder)

    @abstractmethod
    def worker_name(self, worker: int) -> str:
        """Return the name of a process of the crew."""

    @abstractmethod
    def orders(self, engine: Engine) -> Mapping[str, Any]:
        """Return what each process is told of the engine, beside who it is."""

    async def last(self) -> None:
        """Return when the crew has been at work for long enough."""
        await asyncio.sleep(self.settings.seconds)

    @abstractmethod
    async def conclude(self, crew: Crew, engine: Engine) -> None:
        """Have a crew that is at rest tell what it knows, and end."""

    @abstractmethod
    async def check(self, engine: Engine) -> None:
        """Add to the outcome what is wrong with what the crew has left."""

    async def carry_out(self) -> Outcome:
        """Do all of it."""
        outcome, struck = self.outcome, dict[str, int]()
        try:
            async with ENGINES[self.settings.engine](self.folder) as engine:
                crew = Crew(self.members(engine))
                async with crew:
                    await crew.ready()
                    subjects = {**engine.strikes, "processes": crew.strikes}
                    async with striking(self.settings, subjects, struck):
                        await self.last()
                    await crew.rest()
                    await self.conclude(crew, engine)
                    outcome.figures["killed"] = crew.killed
                outcome.findings += [f"connected still: {what}" for what in await engine.left_connections()]
                await self.check(engine)
            outcome.findings += itertools.chain(*(member.complaints() for member in crew.members))
        except* Stuck as stuck:
            outcome.findings += map(str, stuck.exceptions)
        outcome.take(struck)
        return outcome

    def members(self, engine: Engine) -> list[Member]:
        """Return the processes of the crew, not started."""
        orders = self.orders(engine)

        def argument(worker: int) -> Callable[[int], str]:
            own = {"seed": self.settings.seed, "worker": worker, "folder": str(engine.folder)}
            return lambda life: json.dumps({**orders, **own, "life": life})

        return [
            Member(self.worker_name(worker), engine.folder, self.worker_module, argument(worker))
            for worker in range(self.settings.workers)
        ]


@contextlib.asynccontextmanager
async def striking(
    settings: Settings, subjects: Mapping[str, Mapping[str, Strike]], struck: dict[str, int]
) -> AsyncGenerator[None]:
    """Let faults happen to each subject by its plan while the block runs; afterwards all are undone."""
    over = asyncio.Event()

    async def strike(subject: str, strikes: Mapping[str, Strike]) -> None:
        planned = faults(
            settings.seed, subject=subject, kinds=sorted(strikes), pause_s=settings.fault_pause_s
        )
        for fault in planned:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(fault.pause_s):
                    await over.wait()
            if over.is_set():
                return
            await strikes[fault.kind](fault)
            struck[f"{subject}: {fault.kind}"] = struck.get(f"{subject}: {fault.kind}", 0) + 1

    async with asyncio.TaskGroup() as group:
        for subject, strikes in subjects.items():
            group.create_task(strike(subject, strikes))
        try:
            yield
        finally:
            over.set()
