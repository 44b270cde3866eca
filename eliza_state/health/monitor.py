"""A monitor beside a manager: it counts, looks from time to time, and tells when something is wrong.

async with HealthMonitor(manager, thresholds={"journal_lag": 500}) as monitor:
    monitor.on_alert(print)
    health = await monitor.check_health()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Self

import blinker

from eliza_state.change import Change, to_datetime
from eliza_state.errors import StateError, StoreError
from eliza_state.health import looking
from eliza_state.health.alerts import Alert, AlertReceiver, Alerts
from eliza_state.health.conditions import Thresholds, checked, judged
from eliza_state.health.errors import Errors
from eliza_state.health.leaks import BYTES_A_BYTE, LeakDetector, Subject
from eliza_state.health.memory import machine_bytes, process_bytes
from eliza_state.health.state_health import (
    JournalFigures,
    ListenerFigures,
    MemoryFigures,
    StateFigures,
    StateHealth,
    UpdateFigures,
)
from eliza_state.health.verifying import Told, Verification, verify
from eliza_state.health.verifying.verification import SAMPLE
from eliza_state.health.windows import WINDOWS_S, Rate, RecentLatency
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.pending import Stopwatch
from eliza_state.scopes import LiveScope

_MOST_TAKEN_DOWN: Final = 500
_NO_THRESHOLDS: Final[Thresholds] = MappingProxyType({})

_logger = logging.getLogger(__name__)


class HealthMonitor:
    """Watch one open manager; made in its event loop, and of no cost once it is closed.

    `thresholds` change those of `eliza_state.health.CONDITIONS` by name; `None` switches one off. An alert
    ends when its figure is better than the threshold by the share `hysteresis`. `leak_window_s` is how long
    something has to grow to be suspected. Times are of the manager's clock; `monotonic` gives seconds that
    never go back, and is what durations and windows are measured with. A manager has one monitor at a time.
    Raises `StateError` for an unknown threshold, for a share that is none, and for a second monitor.
    """

    def __init__(
        self,
        manager: StateManager,
        *,
        thresholds: Thresholds = _NO_THRESHOLDS,
        hysteresis: float = 0.2,
        leak_window_s: float = 600.0,
        interval_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= hysteresis < 1:
            raise StateError(f"the hysteresis is a share from 0 to 1, got {hysteresis!r}")
        self._limits = checked(thresholds)
        committer = manager.core.committer
        if committer.stopwatch is not None:
            raise StateError("the manager has a monitor already; close it first")
        self.manager = manager
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._alerts = Alerts(self, thresholds=self._limits, hysteresis=hysteresis)
        self._leaks = LeakDetector(window_s=leak_window_s)
        self._errors = Errors(clock=manager.journal.clock, monotonic=monotonic)
        self._rate = Rate(manager.core.heads.applied, monotonic=monotonic)
        self._dispatches = RecentLatency(monotonic=monotonic)
        self._taken_down: list[tuple[int, int, int, int]] = []
        self._damage: int | None = None
        self._running: asyncio.Task[None] | None = None
        self.last: StateHealth | None = None
        """What the last look found; what exporters tell."""
        for problem in manager.problems:
            self._errors.earlier(problem)
        self._closing = contextlib.ExitStack()
        self._closing.callback(manager.problems.listen(self._errors.hear))
        self._heads = manager.core.heads
        self._listen_to_records()
        now_ns = time.monotonic_ns if monotonic is time.monotonic else lambda: int(monotonic() * 1e9)
        committer.stopwatch = Stopwatch(now_ns, self._took)
        self._closing.callback(setattr, committer, "stopwatch", None)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The thresholds that are watched, by condition."""
        return dict(self._limits)

    def _listen_to_records(self) -> None:
        """Hear of records as they come: of those in memory one by one, of durable ones a batch at a time."""
        if not self.manager.journal.durable:
            self._closing.callback(self.manager.subscribe(self._count).cancel)
            return
        outdating = self.manager.core.scopes.outdating
        outdating.append(self._count)  # those of other processes
        self._closing.callback(outdating.remove, self._count)

    def _count(self, _change: Change | Path) -> None:
        self._rate.reached(self._heads.applied)

    def _took(self, entered_ns: int, now_ns: int, count: int) -> None:
        """Take down a batch; it is counted together with others, off the dispatch path mostly."""
        self._taken_down.append((entered_ns, now_ns, count, self._heads.applied))
        if len(self._taken_down) >= _MOST_TAKEN_DOWN:
            self._count_batches()

    def _count_batches(self) -> None:
        for entered_ns, now_ns, count, position in self._taken_down:
            self._dispatches.add(now_ns - entered_ns, count)
            self._rate.reached(position, now_ns / 1e9)
        self._taken_down.clear()

    # Looking

    async def check_health(self) -> StateHealth:
        """Look at everything now, tell of alerts that begin or end, and return what was found.

        Figures of the journal are read in a reader's thread; all else takes some milliseconds of the event
        loop, however many scopes there are in memory. Raises `StoreError` when the journal cannot be read.
        """
        head = await self._head()
        live = list(self.manager.core.scopes)
        state = looking.state_figures(self.manager, live)
        memory = MemoryFigures(
            process_bytes=process_bytes(),
            machine_bytes=machine_bytes(),
            by_module=looking.module_bytes(live),
            by_level=looking.level_bytes(live),
        )
        listeners = looking.listener_figures(self.manager)
        growing = self._growing(live, state, memory, listeners)
        health = StateHealth(
            at=to_datetime(self.manager.journal.clock()),
            reasons=(),
            memory=memory,
            state=state,
            updates=self._updates(live),
            journal=self._journal(head),
            layers=looking.layer_figures(self.manager),
            listeners=listeners,
            errors=self._errors.last(),
            errors_by_kind=dict(self._errors.by_kind),
            errors_per_minute=self._errors.per_minute,
            suspects=self._leaks.observe(self._monotonic(), growing),
            damage=self._damage,
        )
        self.last = judged(health, self._limits)
        self._alerts.take(self.last)
        return self.last

    async def _head(self) -> int:
        return await self.manager.root.access.reading.run(self.manager.journal.head)

    def _updates(self, live: Sequence[LiveScope]) -> UpdateFigures:
        self._count_batches()
        self._rate.reached(self._heads.applied)
        root = next((scope for scope in live if not scope.path.steps), None)
        last_us = 0 if root is None else root.last_activity_us
        return UpdateFigures(
            per_second={window: self._rate.per_second(window) for window in WINDOWS_S},
            last=to_datetime(last_us) if last_us else None,
            dispatch=self._dispatches.latency(),
            dispatches=self._dispatches.total,
            dispatch_s=self._dispatches.total_ns / 1e9,
        )

    def _journal(self, head: int) -> JournalFigures:
        committer = self.manager.core.committer
        return JournalFigures(
            head=head,
            applied=self._heads.applied,
            written=committer.written,
            queued=committer.queued,
            max_queued=committer.max_queued,
        )

    def _growing(
        self,
        live: Sequence[LiveScope],
        state: StateFigures,
        memory: MemoryFigures,
        listeners: ListenerFigures,
    ) -> dict[Subject, float]:
        """Return the figures that are not to grow without end."""
        figures: dict[Subject, float] = {
            ("held scopes", "held"): state.held,
            ("process memory", "the process"): memory.process_bytes - BYTES_A_BYTE * state.size_bytes,
        }
        if len(live) > state.max_scopes:  # up to there, scopes are kept because they are kept on purpose
            figures |= {("live scopes", f"level {level}"): count for level, count in state.live.items()}
        figures |= {("receivers", name): count for name, count in listeners.receivers.items()}
        figures |= {("slice", name): count for name, count in looking.slice_entries(live)}
        return figures

    async def verify(self, *, sample: int | None = SAMPLE, told: Told | None = None) -> Verification:
        """Verify the store (`eliza_state.health.verify`); the next look counts what was found as damage."""
        verification = await verify(self.manager, sample=sample, told=told)
        self._damage = len(verification.findings)
        return verification

    # Being told

    @property
    def alerted(self) -> blinker.NamedSignal:
        """The blinker signal `health:alert`: connect plain receivers `receiver(monitor, alert=alert)`."""
        return self._alerts.signal

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What was raised and is not over."""
        return self._alerts.standing

    def on_alert(self, receiver: AlertReceiver) -> Callable[[], None]:
        """Call `receiver(alert)` when something is wrong, and when it is so no more; return how to stop.

        It is called in the event loop, by `check_health`; what it raises is logged.
        """
        return self._alerts.connect(receiver)

    # Running

    async def run(self, interval_s: float | None = None) -> None:
        """Look every `interval_s` seconds, those of the monitor unless given, until cancelled.

        A look that fails because the store does not answer is logged, and the next one made all the same.
        """
        interval_s = self._interval_s if interval_s is None else interval_s
        while True:
            try:
                await self.check_health()
            except StoreError as error:
                _logger.warning("the health cannot be looked at: %s", error)
            await asyncio.sleep(interval_s)

    async def close(self) -> None:
        """Stop looking, counting and timing; twice does nothing."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        self._closing.close()

    async def __aenter__(self) -> Self:
        self._running = asyncio.get_running_loop().create_task(self.run())
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()
