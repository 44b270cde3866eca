"""The moment at which ages are measured, so that a clock that jumps ahead makes nothing old.

A scope is idle by the journal's own times: nothing that was recorded last can be old, whatever the clock of
the machine shows, so the moment is never later than the newest record. A clock that is ahead while records
are taken gives these its own time. Such a leap shows as a gap: for a day after it, by the journal's own
times, the moment is one day after the last record before the gap. A store that was really left alone for long
is cleaned up a day later, which costs nothing; a clock that is put right within that day has cost nothing
either, for by then it shows a time before the newest record, and the earlier of the two counts.
"""

from __future__ import annotations

import datetime
from typing import Final

from eliza_state.change import to_datetime
from eliza_state.journal.contract import Journal
from eliza_state.path import Path

LEAP: Final = datetime.timedelta(days=1)
"""How long nothing may have been recorded before the time after that is doubted, and for how long it is."""


def moment_of(journal: Journal, *, leap: datetime.timedelta = LEAP) -> datetime.datetime:
    """Return the time at which ages are measured (UTC): the clock's, or an earlier one that is certain.

    An empty journal has nothing that could be old; the clock's time stands. May wait for the disk. Raises
    `StoreError`.
    """
    head, clock_us = journal.head(), journal.clock()
    if not head:
        return to_datetime(clock_us)
    leap_us = leap // datetime.timedelta(microseconds=1)
    now_us = min(clock_us, _time_of(journal, head))
    before = journal.position_at(now_us - leap_us)
    if before:
        before_us = _time_of(journal, before)
        if _time_of(journal, before + 1) - before_us > leap_us:
            now_us = before_us + leap_us
    return to_datetime(now_us)


def _time_of(journal: Journal, position: int) -> int:
    return journal.facts(Path(), until=position).last_activity_us


def before(moment: datetime.datetime, age: datetime.timedelta) -> datetime.datetime:
    """Return the time so long before a moment, or the first there is."""
    first = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return first if age > moment - first else moment - age
