"""What a serialiser loses, found by writing values, reading them again and comparing types and contents."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs

from benchmarks.serialising.talks import START, Role

RoundTrip = Callable[[Any, Any], Any]
"""Write a value of a declared type and return what is read again."""

_ID: Final = uuid.UUID(int=7)


@attrs.frozen
class Probe:
    """A value by itself, and the type that a field which holds it declares."""

    value: Any
    declared: Any


PROBES: Final[Mapping[str, Probe]] = {
    "tuple": Probe((1, "a"), tuple[int, str]),
    "set": Probe({1, 2}, set[int]),
    "frozenset": Probe(frozenset({1}), frozenset[int]),
    "tuple in a set": Probe({(1, 2)}, set[tuple[int, int]]),
    "bytes": Probe(b"\x00\xff", bytes),
    "UUID": Probe(_ID, uuid.UUID),
    "Decimal": Probe(Decimal("1.10"), Decimal),
    "Enum": Probe(Role.USER, Role),
    "datetime in UTC": Probe(START, datetime.datetime),
    "datetime with an offset": Probe(
        START.astimezone(datetime.timezone(datetime.timedelta(hours=2))), datetime.datetime
    ),
    "datetime in Berlin": Probe(START.astimezone(ZoneInfo("Europe/Berlin")), datetime.datetime),
    "date": Probe(START.date(), datetime.date),
    "timedelta": Probe(datetime.timedelta(days=1, microseconds=1), datetime.timedelta),
    "int keys": Probe({1: "a"}, dict[int, str]),
    "UUID keys": Probe({_ID: "a"}, dict[uuid.UUID, str]),
    "tuple keys": Probe({(1, 2): "a"}, dict[tuple[int, int], str]),
    "2**70": Probe(2**70, int),
    "NaN": Probe(math.nan, float),
    "infinity": Probe(math.inf, float),
    "a set of its own in Any": Probe({"a": {1}}, dict[str, Any]),
}


def losses(round_trip: RoundTrip) -> str:
    """Return in words what comes back as something else, and what is not written or not read at all."""
    changed: list[str] = []
    refused: list[str] = []
    for name, probe in PROBES.items():
        try:
            (found,) = round_trip([probe.value], list[probe.declared])
        except Exception:  # noqa: BLE001 - each package has errors of its own
            refused.append(name)
            continue
        difference = next(differences(probe.value, found), None)
        if difference is not None:
            changed.append(f"{name} ({difference})")
    silent = f"changes {', '.join(changed)}" if changed else ""
    loud = f"refuses {', '.join(refused)}" if refused else ""
    return "; ".join(part for part in (silent, loud) if part) or "keeps all"


def differences(written: Any, found: Any) -> Iterator[str]:
    """Yield where two values differ in their types or contents; 1 and True, NaN and None differ too."""
    if type(written) is not type(found):
        yield f"{type(written).__name__} → {type(found).__name__}"
    elif isinstance(written, dict):
        yield from differences(list(written.items()), list(found.items()))
    elif isinstance(written, (list, tuple)):
        yield from _of_items(written, found)
    elif isinstance(written, (set, frozenset)):
        yield from differences(sorted(written, key=repr), sorted(found, key=repr))
    elif attrs.has(type(written)):
        yield from differences(attrs.asdict(written, recurse=False), attrs.asdict(found, recurse=False))
    elif isinstance(written, datetime.datetime):
        yield from _moved(written, found)
    elif written != found and not (isinstance(written, float) and math.isnan(written) and math.isnan(found)):
        yield f"{written!r} → {found!r}"


def _of_items(written: Sequence[Any], found: Sequence[Any]) -> Iterator[str]:
    if len(written) != len(found):
        yield f"{len(written)} items → {len(found)}"
    for one, other in zip(written, found, strict=False):
        yield from differences(one, other)


def _moved(written: datetime.datetime, found: datetime.datetime) -> Iterator[str]:
    if written != found:
        yield f"{written} → {found}"
    elif _zone(written) != _zone(found):
        yield f"{_zone(written)} → {_zone(found)}"


def _zone(moment: datetime.datetime) -> str:
    """Return what tells the hours of other days: the name of a zone, or else only an offset."""
    zone = moment.tzinfo
    if zone is None:
        return "no zone"
    return str(getattr(zone, "key", None) or moment.utcoffset())
