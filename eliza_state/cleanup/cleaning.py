"""One pass over a store, policy by policy; one that fails does not stop the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from eliza_state.change import to_datetime
from eliza_state.cleanup.compaction import clean_files
from eliza_state.cleanup.idle import clean_idle
from eliza_state.cleanup.keys import clean_keys
from eliza_state.cleanup.lease import FileLease, LeaseTaken
from eliza_state.cleanup.messages import clean_messages
from eliza_state.cleanup.moment import moment_of
from eliza_state.cleanup.orphans import clean_orphans
from eliza_state.cleanup.pacing import Pace
from eliza_state.cleanup.policies import (
    DEFAULT_POLICIES,
    Compaction,
    ExpiredKeys,
    IdleScopes,
    OldMessages,
    Orphans,
    Policy,
)
from eliza_state.cleanup.report import CleanupReport, Outcome
from eliza_state.cleanup.work import Tally, Work
from eliza_state.errors import StateError, StoreError
from eliza_state.journal.contract import ChoreLease
from eliza_state.manager import StateManager

SHARE: Final = 0.1
"""The share of its time that a pass works, unless told otherwise."""


class _Part(NamedTuple):
    """How a policy is called, what it counts, and what carries it out."""

    name: str
    unit: str
    run: Callable[[Work, Any, Tally], Awaitable[None]]


_PARTS: Final[Mapping[type, _Part]] = MappingProxyType(
    {
        IdleScopes: _Part("idle scopes", "scopes", clean_idle),
        OldMessages: _Part("old messages", "messages", clean_messages),
        ExpiredKeys: _Part("expired keys", "entries", clean_keys),
        Orphans: _Part("orphans", "of them", clean_orphans),
        Compaction: _Part("compaction", "files", clean_files),
    }
)


async def clean(
    manager: StateManager,
    policies: Sequence[Policy] = DEFAULT_POLICIES,
    *,
    dry_run: bool = False,
    share: float = SHARE,
    trust_clock: bool = False,
    lease: ChoreLease | None = None,
) -> CleanupReport:
    """Carry policies out over a store once, in their order, and return what they did.

    With `dry_run` nothing is changed, and the report says what would be. The pass works for a `share` of the
    time, in slices of some milliseconds, and rests in between, so that dispatches go on as they did; 1 is as
    fast as can be. Ages are measured by the journal's own times (`eliza_state.cleanup.moment`); with
    `trust_clock`, by the clock. What fails for one scope, or one policy, is in the report, and the rest goes
    on. One pass at a time works on a store, of all processes: it holds a `lease`, that of a file beside the
    database, or of the server, unless given. A dry run needs none.
    Raises `LeaseTaken` where another has it, `StoreError` for a store that is closed, or only read without
    `dry_run`, and `StateError` for a share that is none or a policy that is none.
    """
    return await run_pass(
        manager,
        policies,
        dry_run=dry_run,
        pace=Pace(share),
        trust_clock=trust_clock,
        lease=lease_of(manager) if lease is None else lease,
        seen={},
    )


async def run_pass(
    manager: StateManager,
    policies: Sequence[Policy],
    *,
    dry_run: bool,
    pace: Pace,
    trust_clock: bool,
    lease: ChoreLease | None,
    seen: dict[OldMessages, int],
) -> CleanupReport:
    """Carry policies out, knowing what earlier passes have seen; see `clean`."""
    _check(manager, policies, dry_run=dry_run)
    if dry_run or lease is None:
        return await _run(manager, policies, dry_run, pace, trust_clock, seen)
    if not await asyncio.to_thread(lease.take):
        raise LeaseTaken("the store is being cleaned up already; try again later")
    try:
        return await _run(manager, policies, dry_run, pace, trust_clock, seen)
    finally:
        await asyncio.to_thread(lease.release)


def lease_of(manager: StateManager) -> ChoreLease | None:
    """Return the lease of a store; `None` for one in memory."""
    database = manager.core.database
    return manager.journal.lease("cleanup") if database is None else FileLease(database)


def _check(manager: StateManager, policies: Sequence[Policy], *, dry_run: bool) -> None:
    for policy in policies:
        if type(policy) not in _PARTS:
            raise StateError(f"a policy is one of {[kind.__name__ for kind in _PARTS]}, got {policy!r}")
    if manager.journal.durable and manager.core.writer is None and not dry_run:
        raise StoreError("the store is open for reading only; open it for writing to clean it up")


async def _run(
    manager: StateManager,
    policies: Sequence[Policy],
    dry_run: bool,
    pace: Pace,
    trust_clock: bool,
    seen: dict[OldMessages, int],
) -> CleanupReport:
    await manager.refresh()
    moment = to_datetime(manager.journal.clock())
    if not trust_clock:
        moment = await manager.root.access.reading.run(partial(moment_of, manager.journal))
    work = Work(manager, moment, pace, dry_run, seen)
    outcomes = [await _carry_out(work, policy) for policy in policies]
    return CleanupReport(moment=moment, dry_run=dry_run, outcomes=tuple(outcomes))


async def _carry_out(work: Work, policy: Policy) -> Outcome:
    part, tally = _PARTS[type(policy)], Tally()
    try:
        await part.run(work, policy, tally)
    except StateError as error:
        tally.fail("the policy", error)
    return tally.outcome(part.name, part.unit)
