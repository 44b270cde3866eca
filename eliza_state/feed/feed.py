"""Other processes' commits arrive by themselves: woken, or else looked for from time to time.

What wakes says no more than that the journal has gone on. What has happened is read from the journal, after
the last position taken in: so nothing is skipped, whatever was missed, and many commits are one read.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeAlias

import attrs

from eliza_state.errors import StoreError
from eliza_state.feed.wake import Wake
from eliza_state.problems import Problem, Problems

Moved: TypeAlias = Callable[[int], None]
"""Called with the last position that was taken in, in the event loop."""

# Under a constant stream of commits dispatches have to wait for no more than so many reads.
_GAP_S: Final = 0.01
# Somebody else often comes to listen when the last one has gone.
_LINGER_S: Final = 1.0


@attrs.frozen(kw_only=True)
class Follow:
    """What a feed needs of who takes records in.

    `applied` gives the last position that was taken in, `head` that of the journal; `refresh` takes in what
    others have written and returns the last position.
    """

    applied: Callable[[], int]
    head: Callable[[], Awaitable[int]]
    refresh: Callable[[], Awaitable[int]]


@attrs.frozen(kw_only=True)
class FeedStatus:
    """How a manager hears of others: `source` names what wakes it, and is empty where nothing does.

    `is_running` while somebody listens; `is_awake` while the source works, else it is looked every now and
    then. `error` is why it does not work. `wakes` counts what was heard, `looks` how often the journal was
    looked at, `reads` how often there was something to take in.
    """

    source: str
    is_running: bool
    is_awake: bool
    error: StoreError | None
    wakes: int
    looks: int
    reads: int


class Feed:
    """Take in what other processes write, as long as somebody listens here.

    `wake` tells that there may be something, `interval_s` is how often to look without being told. One that
    `is_off` never looks. `is_heard_besides` tells of those who listen without saying so, once it is started.
    """

    def __init__(
        self,
        follow: Follow,
        *,
        problems: Problems,
        wake: Wake | None = None,
        interval_s: float = 1.0,
        is_off: bool = False,
        is_heard_besides: Callable[[], bool] = bool,
    ) -> None:
        self._follow = follow
        self._problems = problems
        self._wake = wake
        self._interval_s = interval_s
        self._is_off = is_off
        self._loop = asyncio.get_running_loop()
        self._told: dict[object, Moved | None] = {}
        self._is_heard_besides = is_heard_besides
        self._heard_at_s = 0.0
        self._woken = asyncio.Event()
        self._heard_of = 0
        self._task: asyncio.Task[None] | None = None
        self._is_awake = False
        self._failures = 0
        self._error: StoreError | None = None
        self._wakes = self._looks = self._reads = 0
        self.is_closed = False
        """Whether the manager is closed, or about to be."""

    @property
    def is_running(self) -> bool:
        """Whether it looks for what others write."""
        return self._task is not None

    @property
    def status(self) -> FeedStatus:
        """How it stands now."""
        return FeedStatus(
            source="" if self._wake is None or self._is_off else self._wake.name,
            is_running=self.is_running,
            is_awake=self._is_awake,
            error=self._error,
            wakes=self._wakes,
            looks=self._looks,
            reads=self._reads,
        )

    # Who listens

    def listen(self, moved: Moved | None = None) -> Callable[[], None]:
        """Keep the feed running from now on; return how to leave it, which twice does nothing.

        `moved` is called after each look, also where records came that changed nothing.
        """
        key = object()
        self._told[key] = moved
        self.start()

        def leave() -> None:
            self._told.pop(key, None)

        return leave

    def start(self) -> None:
        """Begin to look, if that is to be done and nobody does."""
        if self._task is None and not self._is_off and not self.is_closed:
            self._task = self._loop.create_task(self._run())

    def _is_wanted(self) -> bool:
        if self._told or self._is_heard_besides():
            self._heard_at_s = time.monotonic()
        return time.monotonic() < self._heard_at_s + _LINGER_S

    # What wakes it

    def heard(self, position: int | None) -> None:
        """Look soon, unless all up to this position is known; `None` stands for one that nobody knows."""
        self._wakes += 1
        self._is_awake, self._error = True, None
        if position is None or position > self._follow.applied():
            self._heard_of = max(self._heard_of, position or 0)
            self._woken.set()
        else:
            self._tell()

    def interrupted(self, error: StoreError) -> None:
        """Report that nothing wakes it just now; it looks of itself."""
        assert self._wake is not None
        self._is_awake, self._error = False, error
        message = f"{self._wake.name} tells nothing of other processes: {error}"
        self._report(f"{message}; the journal is looked at every {self._interval_s:g} s", error)

    def _report(self, message: str, error: Exception) -> None:
        self._problems.report(Problem("feed", message, None, error))

    # The loop

    async def _run(self) -> None:
        try:
            while self._is_wanted():
                async with self._listening():
                    self._woken.set()
                    while self._is_wanted():
                        await self._wait()
                        await self._look()
        finally:
            # Nothing is awaited since it was not wanted any more: who listens from now on starts it anew.
            self._task = None

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncGenerator[None]:
        if self._wake is None:
            yield
            return
        try:
            await self._wake.open(self)
            yield
        finally:
            await self._wake.close()
            self._is_awake = False

    async def _wait(self) -> None:
        await asyncio.sleep(_GAP_S)
        try:
            # Processes that were started together must not look all at once.
            async with asyncio.timeout(random.uniform(0.75, 1.25) * self._interval_s):  # noqa: S311
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _look(self) -> None:
        self._looks += 1
        try:
            heard_of, self._heard_of = self._heard_of, 0
            applied = self._follow.applied()
            if heard_of > applied or await self._follow.head() > applied:
                self._reads += 1
                await self._follow.refresh()
        except Exception as error:  # noqa: BLE001  # it is reported, and the next look may succeed
            self._failed(error)
            return
        self._failures = 0
        self._tell()

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            self._woken.set()  # a connection that was lost is made anew by now
        elif self._failures == 2:
            self._report(f"cannot take in what other processes have written: {error}", error)

    def _tell(self) -> None:
        position = self._follow.applied()
        for moved in tuple(self._told.values()):
            if moved is not None:
                moved(position)

    async def close(self) -> None:
        """End it; who is told of what was taken in is told once more. Twice does nothing."""
        self.is_closed = True
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            self._task = None  # one that was cancelled before it began has not said so
        self._tell()
