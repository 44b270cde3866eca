"""What an examination tells of a store."""

from __future__ import annotations

import attrs

from eliza_state.path import Path
from eliza_state.slice_migration import Use


@attrs.frozen
class Failure:
    """A record that cannot be read; it stays on the journal."""

    position: int
    path: Path
    reason: str


@attrs.frozen(kw_only=True)
class EventFigures:
    """The records of one event in one schema version.

    `event` is empty for damaged records. `known` is today's schema version, `None` where no module handles
    the event. `upcast` counts those that are of an older version and could be upcast, `failed` those that
    cannot be read; `failures` are the first few of these.
    """

    event: str
    schema_version: int
    known: int | None
    records: int
    upcast: int
    failed: int
    failures: tuple[Failure, ...] = ()


@attrs.frozen(kw_only=True)
class SliceFigures:
    """The stored slices of one module in one version that come to the same use.

    `known` is the module's version today. `checked` counts those whose migration was compared with the fold
    of the records, `failed` those that could not be migrated or came out different.
    """

    module: str
    version: int
    known: int
    use: Use
    snapshots: int
    checked: int = 0
    failed: int = 0


@attrs.frozen(kw_only=True)
class Fault:
    """A stored slice whose migration fails, or gives another state than the fold of the records.

    `reason` is the error, or a line for each difference from the fold, as `eliza_state.diff.render` gives.
    """

    module: str
    version: int
    path: Path
    position: int
    reason: str


@attrs.frozen(kw_only=True)
class MigrationReport:
    """What today's code makes of a store up to a `position`.

    `unusable` counts snapshots that are damaged or of another journal, and so not looked at further. `faults`
    are the first few that were found, `written` counts the scopes whose snapshots were taken anew.
    """

    position: int
    events: tuple[EventFigures, ...] = ()
    slices: tuple[SliceFigures, ...] = ()
    unusable: int = 0
    faults: tuple[Fault, ...] = ()
    written: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every record could be read, and every migration that was checked gives the fold."""
        failed = [event.failed for event in self.events] + [one.failed for one in self.slices]
        return not any(failed)
