"""What a replay is to do otherwise: which records to leave out, to change, to take in another order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.change import Record
from eliza_state.debugger.errors import NoSuchPoint
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.ranges import Range, pages, range_of
from eliza_state.errors import StateError
from eliza_state.journal.contract import Journal
from eliza_state.path import Path

RecordName: TypeAlias = int | str
"""A record: its position, or its id."""

Skip: TypeAlias = RecordName | Iterable[RecordName] | Callable[[Record], bool]
"""Records to leave out: one, several, or those that a function picks."""

Edit: TypeAlias = Callable[[Any], Any] | Mapping[RecordName, Any]
"""What to make of events: a function; or by record another event, changes of fields, or `None`."""

Order: TypeAlias = Sequence[RecordName]
"""Records in the order in which they are to come."""

NOTHING: Final[Mapping[RecordName, Any]] = MappingProxyType({})
"""No edits."""


@attrs.frozen
class Request:
    """What is to be otherwise, by position.

    `order` maps the position where a record is to come to the position that it has.
    """

    records: Range
    skipped: frozenset[int]
    picks: Callable[[Record], bool] | None
    edited: Mapping[int, Any]
    edit: Callable[[Any], Any] | None
    order: Mapping[int, int]


async def request_of(
    looking: Looking,
    path: Path | str,
    *,
    first: int | None,
    last: int | None,
    skip: Skip,
    edit: Edit,
    order: Order,
    from_the_first: bool,
) -> Request:
    """Find the records that are named, in the range.

    Without `first` the range begins with the first record that is named, or with the first there is when a
    function may pick any, or `from_the_first` asks for that.
    Raises `NoSuchPoint` for a record that is not in the range, `StateError` for an order that is none.
    """
    skipped = _names(skip)
    by_name: Mapping[RecordName, Any] = NOTHING if callable(edit) else edit
    records = await range_of(looking, path, first=1 if first is None else first, last=last)
    positions = await _found(looking, records, [*skipped, *by_name, *order])
    named = sorted(found for several in positions.values() for found in several)
    if first is None and named and not (from_the_first or callable(skip) or callable(edit)):
        records = attrs.evolve(records, first=named[0])
    return Request(
        records,
        skipped=frozenset(found for name in skipped for found in positions[name]),
        picks=skip if callable(skip) else None,
        edited={found: change for name, change in by_name.items() for found in positions[name]},
        edit=edit if callable(edit) else None,
        order=_order(order, positions),
    )


def _names(skip: Skip) -> Collection[RecordName]:
    if isinstance(skip, int | str):
        return (skip,)
    return () if callable(skip) else tuple(skip)


def _order(order: Order, positions: Mapping[RecordName, Sequence[int]]) -> dict[int, int]:
    wanted = [found for name in order for found in positions[name]]
    twice = next((found for place, found in enumerate(wanted) if found in wanted[:place]), None)
    if twice is not None:
        raise StateError(f"an order names each record once, got the one at position {twice} twice")
    if len(wanted) > len(order):
        raise StateError("an id in an order belongs to several records here; name them by their positions")
    return dict(zip(sorted(wanted), wanted, strict=True))


async def _found(
    looking: Looking, records: Range, names: Collection[RecordName]
) -> dict[RecordName, list[int]]:
    """Return where the named records are: an id may be that of several, at different paths."""
    found: dict[RecordName, list[int]] = {}
    journal = looking.manager.journal
    for name in names:
        if isinstance(name, int):
            await looking.run(partial(_check_position, journal, records, name))
            found[name] = [name]
    ids = {name for name in names if isinstance(name, str)}
    if ids:
        async for page in pages(looking, records):
            for record in page:
                if record.id in ids:
                    found.setdefault(record.id, []).append(record.position)
    missing = ids - found.keys()
    if missing:
        raise NoSuchPoint(f"{_named(records)} has no record of the id {min(missing)!r}")
    return found


def _check_position(journal: Journal, records: Range, position: int) -> None:
    is_inside = records.first <= position <= records.last
    if is_inside and next(journal.read(records.path, after=position - 1, until=position), None) is not None:
        return
    before = journal.read(
        records.path, after=records.first - 1, until=min(position, records.last), newest_first=True
    )
    behind = journal.read(records.path, after=max(position, records.first - 1), until=records.last)
    nearest = [record.position for record in (next(before, None), next(behind, None)) if record is not None]
    raise NoSuchPoint(f"{_named(records)} has no record at position {position}", nearest=nearest)


def _named(records: Range) -> str:
    path = records.path
    where = f"the scope {path.encode()!r}" if path.steps else "the root"
    return f"{where} from position {records.first} to {records.last}"
