"""What a process has that it has to give back: threads, tasks, open files and connections, memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self

import attrs
import psutil

_SAMPLE_S: Final = 0.25


@attrs.frozen
class Footprint:
    """The names of a process's threads and tasks, and what its file descriptors lead to."""

    threads: tuple[str, ...]
    tasks: tuple[str, ...]
    files: tuple[str, ...]

    @classmethod
    def taken(cls) -> Self:
        """Look at this process, but for the threads that the event loop keeps for `to_thread`."""
        gc.collect()
        this = asyncio.current_task()
        threads = [thread.name for thread in threading.enumerate()]
        return cls(
            tuple(sorted(name for name in threads if not name.startswith("asyncio_"))),
            tuple(sorted(task.get_name() for task in asyncio.all_tasks() if task is not this)),
            _files(),
        )

    def left_since(self, before: Self) -> dict[str, list[str]]:
        """Return what is there that was not before, by kind; nothing for a clean process."""
        pairs = {
            "threads": (self.threads, before.threads),
            "tasks": (self.tasks, before.tasks),
            "files": (self.files, before.files),
        }
        return {kind: left for kind, (now, then) in pairs.items() if (left := _more(now, then))}


def _files() -> tuple[str, ...]:
    """Return where the descriptors lead, sockets by kind alone: their numbers tell nothing."""
    this = psutil.Process()
    files = [entry.path for entry in this.open_files()]
    sockets = [f"{entry.family.name} to {entry.raddr}" for entry in this.net_connections(kind="all")]
    return tuple(sorted(files + sockets))


def _more(now: Sequence[str], then: Sequence[str]) -> list[str]:
    left = list(now)
    for name in then:
        if name in left:
            left.remove(name)
    return left


class Growth:
    """Samples of a process's memory along the positions it has taken in."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []

    async def watch(self, position: Callable[[], Awaitable[int]]) -> None:
        """Add a sample, a position and resident bytes, some times a second until cancelled."""
        this = psutil.Process()
        while True:
            self.samples.append((await position(), this.memory_info().rss))
            await asyncio.sleep(_SAMPLE_S)


def growth_bytes(samples: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return how many positions were taken in after half of them, and by how much memory grew meanwhile.

    What is compared is the least of a tenth of the samples at both ends of that half: peaks are no growth.
    """
    half = samples[-1][0] // 2
    late = [sample for sample in samples if sample[0] >= half]
    few = max(1, len(late) // 10)
    first, last = (min(size for _, size in part) for part in (late[:few], late[-few:]))
    return samples[-1][0] - half, last - first
