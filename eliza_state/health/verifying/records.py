"""The records one by one: checksums, positions without a gap, times that never go back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from eliza_state.change import Record
from eliza_state.errors import StoreError
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject, name_of, reading
from eliza_state.journal.contract import Journal
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path

RECORDS: Final = "records"

_TOLD_EVERY: Final = 1_000
_EVENT = (
    "SELECT event_type.name FROM record LEFT JOIN event_type ON event_type.id = record.event_type"
    " WHERE record.position = ?"
)


def check_records(subject: Subject) -> Iterator[Finding]:
    """Read all records up to the position; note in `subject.damaged` those that are damaged or missing."""
    if subject.journal is None:
        return
    last, last_us = 0, 0
    try:
        for record in _readable(subject, subject.journal):
            if not _is_lost(subject, after=last, before=record.position):
                yield from _missing(subject, after=last, before=record.position)
            yield from _check(subject, record, last_us)
            subject.events.add((record.event, record.schema_version))
            subject.writers.add(record.writer)
            last = record.position
            if isinstance(record.recorded_at_us, int) and record.event:
                last_us = max(last_us, record.recorded_at_us)
            if not last % _TOLD_EVERY:
                subject.count(RECORDS, last, subject.until)
    except StoreError as error:
        yield _finding(
            subject,
            f"the records after position {last} cannot be read: {error}",
            loss="what SQLite can still recover of them (`.recover`) or a backup shows how many are lost",
        )
    subject.count(RECORDS, last, subject.until)


def _readable(subject: Subject, journal: Journal) -> Iterator[Record]:
    """Yield what can be read; the blocks of the archive that cannot are told by the check of segments."""
    if isinstance(journal, SqlJournal):
        lost = subject.lost
        return journal.archive.readable(until=subject.until, lost=lambda row, _error: lost.append(row))
    return journal.read(Path(), until=subject.until)


def _is_lost(subject: Subject, *, after: int, before: int) -> bool:
    """Tell whether what is missing between two positions may be in a block that cannot be read."""
    return any(row.first_position < before and row.last_position > after for row in subject.lost)


def _missing(subject: Subject, *, after: int, before: int) -> Iterator[Finding]:
    """Positions are given without a gap: where there is one, records are gone."""
    gone = range(after + 1, before)
    if not gone:
        return
    subject.damaged.update(gone if len(gone) < _TOLD_EVERY else (gone[0], gone[-1]))
    which = f"record {gone[0]} is" if len(gone) == 1 else f"records {gone[0]} to {gone[-1]} are"
    yield _finding(
        subject,
        f"{which} missing",
        position=gone[0],
        loss="nothing tells any more whose they were; states that are folded are as if they had not been",
    )


def _check(subject: Subject, record: Record, last_us: int) -> Iterator[Finding]:
    if not record.event:
        subject.damaged.add(record.position)
        where = record.path.encode() or "the root"
        event = _event(subject, record.position)
        yield _finding(
            subject,
            f"record {record.position} is damaged: its checksum differs; it says {event!r} at {where!r}",
            position=record.position,
            path=record.path,
            loss=f"what it did is left out of every state of {where!r} and above that is folded from here on;"
            " it is whole in a backup, and may still be part of a snapshot that was taken after it",
        )
    elif record.recorded_at_us < last_us:
        yield _finding(
            subject,
            f"record {record.position} was taken before the one in front of it",
            position=record.position,
            path=record.path,
            loss="its time is wrong, its content whole; looking for a time may find a neighbour",
        )


def _event(subject: Subject, position: int) -> Any:
    """Return what a damaged row says its event is, which may be the damaged part."""
    if subject.database is None:
        return ""
    try:
        with reading(subject.database) as connection:
            return connection.exec_driver_sql(_EVENT, (position,)).scalar()
    except StoreError:
        return None


def _finding(
    subject: Subject, message: str, *, loss: str, position: int | None = None, path: Path | None = None
) -> Finding:
    file = "" if subject.database is None else name_of(subject.database)
    return Finding(check=RECORDS, message=message, path=path, position=position, file=file, loss=loss)
