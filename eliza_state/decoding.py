"""The events of records, as today's code reads them: one by one, or many together at half the cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from eliza_state.change import Record
from eliza_state.errors import InvalidEvent
from eliza_state.problems import Problem
from eliza_state.tree import Tree

Report: TypeAlias = Callable[[Problem], None]

# More together are no quicker to decode, and have all to be held.
BATCH: Final = 64


def read_event(tree: Tree, record: Record, report: Report) -> Any:
    """Return a record's event; `None` if it cannot be had today.

    That is reported where it is a surprise, as it is not for an event that nobody knows, or that was erased.
    """
    if not record.event:
        message = f"record {record.position} is damaged and left out of the state"
        report(Problem("record", message, record.path))
        return None
    if record.is_erased:
        return None
    if not isinstance(record.content, bytes):
        return record.content
    kind = tree.event_type(record.event)
    if kind is None:
        return None
    try:
        return tree.codec.decode(kind, record.content, schema_version=record.schema_version)
    except InvalidEvent as error:
        report(Problem("record", f"record {record.position} cannot be read: {error}", record.path, error))
    except Exception as error:  # noqa: BLE001  # an upcaster is foreign code; the log must stay readable
        report(Problem("record", f"record {record.position} cannot be upcast: {error}", record.path, error))
    return None


def in_batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records in lists of as many as are worth decoding together."""
    records = iter(records)
    while batch := list(itertools.islice(records, BATCH)):
        yield batch


def read_events(tree: Tree, records: Sequence[Record], report: Report) -> list[Any]:
    """Return what `read_event` does for each record, in order; those of one kind are decoded together."""
    alike: dict[tuple[str, int], list[int]] = {}
    for place, record in enumerate(records):
        if isinstance(record.content, bytes) and record.content:
            alike.setdefault((record.event, record.schema_version), []).append(place)
    events: list[Any] = [_UNREAD] * len(records)
    for places in alike.values():
        found = _read_together(tree, [records[place] for place in places])
        for place, event in zip(places, found, strict=False):
            events[place] = event
    return [
        read_event(tree, record, report) if event is _UNREAD else event
        for record, event in zip(records, events, strict=True)
    ]


_UNREAD: Final = object()


def _read_together(tree: Tree, records: Sequence[Record]) -> Sequence[Any]:
    """Return the events of records of one kind; none where they have to be read one by one."""
    kind = tree.event_type(records[0].event)
    if kind is None or kind.version != records[0].schema_version or len(records) == 1:
        return ()
    try:
        return tree.codec.decode_all(kind, [record.content for record in records])
    except Exception:  # noqa: BLE001  # an event's class is foreign code; read alone, each tells what is wrong
        return ()
