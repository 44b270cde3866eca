"""Going over a whole store: all its records, then its snapshots, scope by scope."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, Literal

import attrs

from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from eliza_state.migration.records import count_records
from eliza_state.migration.report import Fault, MigrationReport, SliceFigures
from eliza_state.migration.slices import Look, SliceExaminer, StoredSlice
from eliza_state.path import Path
from eliza_state.reading import Reading
from eliza_state.scope import Access
from eliza_state.slice_migration import Use

SAMPLE: Final = 100
"""How many stored slices of each module and version are compared with the fold unless told otherwise."""

KEPT: Final = 20
"""How many faults are told one by one."""


@attrs.frozen
class Progress:
    """How far an examination has come: what it is at, how much of it is done, and of how much if known."""

    doing: Literal["records", "snapshots", "checks", "writing"]
    done: int
    total: int | None = None


Told = Callable[[Progress], None]


async def examine(
    manager: StateManager,
    *,
    sample: int | None = SAMPLE,
    write: bool = False,
    told: Told = lambda _progress: None,
) -> MigrationReport:
    """Read all records and look at all snapshots of a store, and tell what today's code makes of them.

    Of the stored slices that would be migrated, `sample` for each module and version (`None`: all) are
    compared with the fold of the records; the same ones in every run. With `write`, the scopes whose
    snapshots today's code does not use as they are get one that it does, unless a migration they need has
    failed or differed, or newer code has one there. The store may be in use meanwhile. What is in memory at
    once is a page of records, a few sampled names and one scope, and of a scope the paths right below it.
    Raises `StateError` for a sample below 1, and for `write` with a manager that only reads.
    """
    if sample is not None and sample < 1:
        raise StateError(f"a sample of 1 or more is wanted, or None for all, got {sample!r}")
    access = manager.root.access
    position = await access.position()
    snapshots = access.reading.snapshots
    if write and snapshots is not None and access.snapshotter is None:
        raise StateError("the store is open for reading only; open it for writing to store snapshots")
    events = await count_records(
        manager.tree,
        manager.journal,
        access.reading,
        until=position,
        told=lambda done: told(Progress("records", done, position)),
    )
    report = MigrationReport(position=position, events=events)
    if snapshots is None:
        return report
    examiner = SliceExaminer(manager.tree, manager.journal, snapshots)
    examination = _Examination(access, examiner, told, sample)
    await examination.look()
    await examination.check()
    written = await examination.write() if write else 0
    return examination.completed(attrs.evolve(report, written=written))


class _Examination:
    """What is found out about the snapshots of a store."""

    def __init__(self, access: Access, examiner: SliceExaminer, told: Told, sample: int | None) -> None:
        self._access = access
        self._examiner = examiner
        self._told = told
        self._sample = sample
        self._found: Counter[tuple[str, int, int, Use]] = Counter()
        self._checked: Counter[tuple[str, int]] = Counter()
        self._failed: Counter[tuple[str, int]] = Counter()
        self._samples: defaultdict[tuple[str, int], list[tuple[Path, int]]] = defaultdict(list)
        self._chance = random.Random(0)  # noqa: S311  # which ones are looked at is no secret
        self._faults: list[Fault] = []
        self._unusable = 0

    async def _looks(self, doing: Literal["snapshots", "writing"]) -> AsyncIterator[tuple[Path, Look]]:
        done = 0
        async for path in _scopes(self._access.reading):
            yield path, await self._access.reading.run(partial(self._examiner.look, path))
            done += 1
            self._told(Progress(doing, done))

    async def look(self) -> None:
        """Count all stored slices by what becomes of them; choose those to check, or check all at once."""
        async for _, look in self._looks("snapshots"):
            self._unusable += look.unusable
            for one in look.slices:
                stored = one.stored
                self._found[stored.module, stored.module_version, one.module.version, one.use] += 1
                if one.use is Use.MIGRATED and self._sample is None:
                    await self._check(one)
                elif one.use is Use.MIGRATED:
                    self._choose(one, self._sample or 0)

    def _choose(self, one: StoredSlice, size: int) -> None:
        """Keep a uniform sample without knowing of how many: Vitter's algorithm R (1985)."""
        group = (one.stored.module, one.stored.module_version)
        seen = self._found[(*group, one.module.version, one.use)]
        chosen, place = self._samples[group], (one.path, one.snapshot.position)
        if len(chosen) < size:
            chosen.append(place)
        elif (index := self._chance.randrange(seen)) < size:
            chosen[index] = place

    async def check(self) -> None:
        """Compare the chosen slices, once migrated, with the folds of their records."""
        total = sum(map(len, self._samples.values()))
        for (module, version), chosen in self._samples.items():
            for path, position in chosen:
                look = await self._access.reading.run(partial(self._examiner.look, path))
                for one in look.slices:
                    is_it = (one.stored.module, one.stored.module_version) == (module, version)
                    if is_it and one.snapshot.position == position:
                        await self._check(one)
                self._told(Progress("checks", self._checked.total(), total))

    async def _check(self, one: StoredSlice) -> None:
        fault = await self._access.reading.run(partial(self._examiner.check, one))
        group = (one.stored.module, one.stored.module_version)
        self._checked[group] += 1
        if fault is not None:
            self._failed[group] += 1
            if len(self._faults) < KEPT:
                self._faults.append(fault)

    async def write(self) -> int:
        """Take the snapshots that today's code wants and does not have; return of how many scopes."""
        written = 0
        async for path, look in self._looks("writing"):
            if look.is_outdated and not any(self._is_faulty(one) for one in look.slices):
                written += await self._write(path)
        return written

    def _is_faulty(self, one: StoredSlice) -> bool:
        return one.use is Use.MIGRATED and self._failed[one.stored.module, one.stored.module_version] > 0

    async def _write(self, path: Path) -> bool:
        snapshotter = self._access.snapshotter
        assert snapshotter is not None
        async with self._access.scopes.held([path]) as held:
            await self._access.position()  # what is announced is to be in the journal
            return await snapshotter.take(held[path])

    def completed(self, report: MigrationReport) -> MigrationReport:
        """Return a report with what was found."""
        slices = [
            SliceFigures(
                module=module,
                version=version,
                known=known,
                use=use,
                snapshots=count,
                checked=self._checked[module, version] if use is Use.MIGRATED else 0,
                failed=self._failed[module, version] if use is Use.MIGRATED else 0,
            )
            for (module, version, known, use), count in self._found.items()
        ]
        slices.sort(key=lambda one: (one.module, one.version, one.use.value))
        return attrs.evolve(report, slices=tuple(slices), unusable=self._unusable, faults=tuple(self._faults))


async def _scopes(reading: Reading) -> AsyncIterator[Path]:
    """Yield the root and all scopes that have records at or below them."""
    ahead = [Path()]
    while ahead:
        path = ahead.pop()
        yield path
        ahead += reversed(await reading.children(path))
