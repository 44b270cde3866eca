"""Trimming what scopes hold of messages: an event says how many stay, and from when on."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from eliza_state.cleanup.moment import before
from eliza_state.cleanup.policies import OldMessages
from eliza_state.cleanup.scopes import resting, slices_of
from eliza_state.cleanup.work import Tally, Work
from eliza_state.errors import StateError
from eliza_state.lifecycle import Phase
from eliza_state.module import StateModule
from eliza_state.path import Path
from eliza_state.query import F


async def clean_messages(work: Work, policy: OldMessages, tally: Tally) -> None:
    """Trim the scopes that hold more messages, or older ones, than they may."""
    module = _module(work, policy)
    where = (F.level == module.level) & (F.phase == "active")
    if policy.max_age is None:
        # No scope gets too many messages without a record: those that an earlier pass saw are left out.
        where &= F.position > work.seen.get(policy, 0)
    position = await work.manager.refresh()
    async for scopes in resting(work, where):
        for scope in scopes:
            try:
                await _trim(work, policy, scope.path, tally)
            except StateError as error:
                tally.fail(scope.path.encode(), error)
            await work.pace.breathe()
    if not (work.dry_run or tally.failed):
        work.seen[policy] = position


def _module(work: Work, policy: OldMessages) -> StateModule[Any]:
    tree = work.manager.tree
    for level in tree.hierarchy.levels:
        if policy.module in tree.modules(level):
            return tree.modules(level)[policy.module]
    raise StateError(f"no module {policy.module!r} is registered, of which old messages could be trimmed")


async def _trim(work: Work, policy: OldMessages, path: Path, tally: Tally) -> None:
    state = (await slices_of(work.manager, path))[policy.module]
    messages = getattr(state, policy.collection)
    keep = policy.max_count
    too_many = 0 if keep is None else max(len(messages) - keep, 0)
    cutoff = None if policy.max_age is None else before(work.moment, policy.max_age)
    too_old = 0 if cutoff is None else _older(messages, policy.at, cutoff)
    if not (too_many or too_old) or not await _takes_events(work, path):
        return
    if not work.dry_run:
        trimming = {"keep": keep, "before": cutoff and cutoff.isoformat()}
        await work.manager.dispatch(policy.event, trimming, to=path)
        left = (await slices_of(work.manager, path))[policy.module]
        tally.did(len(messages) - len(getattr(left, policy.collection)))
    else:
        tally.did(max(too_many, too_old))


async def _takes_events(work: Work, path: Path) -> bool:
    """Tell whether neither a scope nor one above it has ended or is in the archive."""
    if await work.manager.archive.find(path) is not None:
        return False
    return Phase.ARCHIVED not in [await work.manager.at(above).phase() for above in path.chain()]


def _older(messages: Iterable[Any], at: str, cutoff: datetime.datetime) -> int:
    """Count the messages from before a time; the first one that is not ends the look."""
    count = 0
    for message in messages:
        time: datetime.datetime | None = getattr(message, at)
        if time is None:
            continue
        if time.replace(tzinfo=time.tzinfo or datetime.UTC) >= cutoff:
            break
        count += 1
    return count
