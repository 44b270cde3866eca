"""Which record last set a place in a state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs

from eliza_state.change import Record
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.state_paths import StatePath, find, path_text
from eliza_state.debugger.timeline import backwards
from eliza_state.debugger.walking import Criteria, TimelineEntry
from eliza_state.path import Path


@attrs.frozen
class Blame:
    """Who is answerable for a place in a state.

    `value` is what stands there now, `MISSING` if nothing does; `entry` the record that made it so, with what
    else that record changed in the slice. Without one it is as it was in the initial state.
    """

    path: Path
    module: str
    inside: StatePath
    value: Any = attrs.field(repr=False)
    entry: TimelineEntry | None
    _looking: Looking = attrs.field(repr=False, eq=False)
    _until: int = attrs.field(repr=False)

    @property
    def record(self) -> Record | None:
        """The record that last set the place; `None` if none ever did."""
        return None if self.entry is None else self.entry.record

    @property
    def is_initial(self) -> bool:
        """Tell whether no record ever set the place."""
        return self.entry is None

    def __str__(self) -> str:
        place = path_text(self.inside) or "the state"
        if self.record is None:
            return f"{place} of {self.module!r} at {self.path.encode()!r}: the initial state's"
        return f"{place} of {self.module!r} at {self.path.encode()!r}: {self.record!r}"

    def history(self) -> AsyncIterator[TimelineEntry]:
        """Iterate over all records that set the place, the newest first; looked for as they are asked for.

        A record sets a place when the value there is another after it, or comes, or goes.
        """
        criteria = Criteria(self.path, only=True, module=self.module, inside=self.inside)
        return backwards(self._looking.run, self._looking.history, criteria, after=0, until=self._until)


async def blamed(looking: Looking, path: Path, module: str, inside: StatePath) -> Blame:
    """Return who is answerable for a place, now."""
    until = await looking.last()
    moment = await looking.moment(path, until)
    blame = Blame(path, module, inside, find(moment.slices[module], inside), None, looking, until)
    return attrs.evolve(blame, entry=await anext(blame.history(), None))
