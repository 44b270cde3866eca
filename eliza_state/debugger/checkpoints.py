"""States that were met on the way to others, remembered within bounds so that the next look is quick.

States share their structure, so what a remembered one costs is about what changed since the one before it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from eliza_state.debugger.folding import Moment
from eliza_state.path import Path

WINDOW: Final = 64
"""How many states before the one last looked at are remembered each, for stepping back."""

_STRIDE: Final = 256
_SHARE: Final = 8

_position = attrgetter("position")


class Line:
    """What is remembered of one scope's past: a state every `stride` records, and all just looked at.

    `modules` are those whose slices the states hold. `window` are consecutive states; up to `window_until`
    nothing comes after the last of them.
    """

    def __init__(self, modules: Mapping[str, Any], *, most: int) -> None:
        self.modules = modules
        self.stride = _STRIDE
        self.window: tuple[Moment, ...] = ()
        self.window_until = 0
        self._kept: list[Moment] = []
        self._most = most

    def __len__(self) -> int:
        return len(self._kept) + len(self.window)

    def exact(self, position: int) -> Moment | None:
        """Return the state at a position, if the window has it."""
        if self.window and self.window[0].position <= position <= self.window_until:
            return self.window[bisect_right(self.window, position, key=_position) - 1]
        return None

    def nearest(self, position: int) -> Moment | None:
        """Return the last state remembered at or before a position."""
        found = [
            states[index - 1]
            for states in (self._kept, self.window)
            if (index := bisect_right(states, position, key=_position))
        ]
        return max(found, key=_position, default=None)

    def keep(self, moment: Moment) -> None:
        """Remember a state; past the bound every second one is forgotten, and the stride doubles."""
        index = bisect_right(self._kept, moment.position, key=_position)
        if index and self._kept[index - 1].position == moment.position:
            return
        insort(self._kept, moment, key=_position)
        if len(self._kept) > self._most:
            self._kept = self._kept[1::2]
            self.stride *= 2

    def look_at(self, window: tuple[Moment, ...], *, until: int) -> None:
        """Remember the consecutive states up to the one just looked at."""
        self.window, self.window_until = window, until


class Checkpoints:
    """Remember at most `most` states of all scopes together; scopes not looked at for longest go first."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._lines: OrderedDict[Path, Line] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def line(self, path: Path, modules: Mapping[str, Any]) -> Line:
        """Return what is remembered of a scope; nothing of a time when it had other modules."""
        line = self._lines.get(path)
        if line is None or line.modules is not modules:
            line = Line(modules, most=max(self._most // _SHARE, 1))
        return line

    def remember(self, path: Path, line: Line) -> None:
        """Take in what was added to a scope's line."""
        self._lines[path] = line
        self._lines.move_to_end(path)
        left = len(self)
        while left > self._most and len(self._lines) > 1:
            _, oldest = self._lines.popitem(last=False)
            left -= len(oldest)

    def forget(self, path: Path | None = None) -> None:
        """Forget a scope's past, or that of all."""
        if path is None:
            self._lines.clear()
        else:
            self._lines.pop(path, None)
