"""The clean-up in the background of a manager: a pass now, and again and again.

async with Cleaner(manager, [IdleScopes(), Compaction()], every=timedelta(hours=1)) as cleaner:
    ...
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from eliza_state.cleanup.cleaning import SHARE, lease_of, run_pass
from eliza_state.cleanup.lease import LeaseTaken
from eliza_state.cleanup.pacing import Pace
from eliza_state.cleanup.policies import DEFAULT_POLICIES, OldMessages, Policy
from eliza_state.cleanup.report import CleanupReport
from eliza_state.errors import StateError
from eliza_state.journal.contract import ChoreLease
from eliza_state.manager import StateManager

HOUR: Final = datetime.timedelta(hours=1)

_logger = logging.getLogger(__name__)


class Cleaner:
    """Clean a store up while a manager has it open, at once and then `every` so often.

    Any number of processes may have one over one store: whoever has the lease makes the pass, and the others
    let theirs go by. `told` is called with the report of each pass, in the event loop; what it raises is
    logged. `share`, `trust_clock` and `lease` are those of `clean`. Close it before the manager. Raises
    `StateError` for a time that is not above 0, and for a share that is none.
    """

    def __init__(
        self,
        manager: StateManager,
        policies: Sequence[Policy] = DEFAULT_POLICIES,
        *,
        every: datetime.timedelta = HOUR,
        share: float = SHARE,
        trust_clock: bool = False,
        lease: ChoreLease | None = None,
        told: Callable[[CleanupReport], None] = lambda _report: None,
    ) -> None:
        if every <= datetime.timedelta(0):
            raise StateError(f"a clean-up comes every so often, got {every!r}")
        self._manager = manager
        self._policies = tuple(policies)
        self._every_s = every.total_seconds()
        self._share = share
        self._trust_clock = trust_clock
        self._lease = lease_of(manager) if lease is None else lease
        self._told = told
        self._seen: dict[OldMessages, int] = {}
        self._running: asyncio.Task[None] | None = None
        self.last: CleanupReport | None = None
        """What the last pass did; `None` before the first."""
        Pace(share)  # raises for one that is none, here and not in the first pass

    async def clean(self) -> CleanupReport:
        """Make a pass now and return what it did; raises what `eliza_state.cleanup.clean` raises."""
        self.last = await run_pass(
            self._manager,
            self._policies,
            dry_run=False,
            pace=Pace(self._share),
            trust_clock=self._trust_clock,
            lease=self._lease,
            seen=self._seen,
        )
        return self.last

    async def run(self) -> None:
        """Make a pass, and again every so often, until cancelled; one that fails is logged."""
        while True:
            await self._pass()
            await asyncio.sleep(self._every_s)

    async def _pass(self) -> None:
        try:
            report = await self.clean()
        except LeaseTaken:
            return  # another process does it
        except StateError as error:
            _logger.warning("the store cannot be cleaned up now: %s", error)
            return
        for line in str(report).splitlines():
            _logger.info("%s", line)
        try:
            self._told(report)
        except Exception:
            _logger.exception("who is told of clean-ups failed")

    async def close(self) -> None:
        """End the pass under way between two slices, and make no more; twice does nothing."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.get_running_loop().create_task(self.run())
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()
