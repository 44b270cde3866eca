"""Dates and times as text: ISO 8601, with the zone's name and the fold where they carry meaning.

`2024-10-27T02:30:00+01:00[Europe/Berlin][fold=1]` follows RFC 9557: the offset fixes the instant, the suffix
keeps what the offset alone would lose.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from eliza_serializers.errors import SerializationError, describe

_SUFFIX: Final = re.compile(r"(?P<iso>[^\[\]]*)(?:\[(?P<zone>[^\[\]=]+)\])?(?P<fold>\[fold=1\])?")
_TINY_OFFSET: Final = re.compile(r".*(?P<sign>[+-])00:00:00\.(?P<microseconds>[0-9]{6})")


def is_utc(moment: datetime) -> bool:
    """Tell whether a datetime is in UTC itself, which every form of it keeps."""
    return moment.tzinfo is UTC and not moment.fold


def clock_text(moment: datetime | time) -> str:
    """Write a datetime or time; its `tzinfo` must be None, a `datetime.timezone` or a keyed `ZoneInfo`.

    A fixed offset's own name (`timezone(offset, "X")`) is not kept: the two are equal.
    """
    zone = moment.tzinfo
    fold = "[fold=1]" if moment.fold else ""
    if zone is None or type(zone) is timezone:
        return moment.isoformat() + fold
    return f"{moment.isoformat()}[{_zone_key(zone)}]{fold}"


def datetime_from(text: str) -> datetime:
    """Read what `clock_text` wrote, or any ISO 8601 date and time.

    Where the zone's rules have changed since and give another offset, the instant stands.
    """
    if text.endswith("+00:00"):
        return datetime.fromisoformat(text)  # most moments: nothing to look for in the text
    iso, zone, fold = _parts(text)
    moment = datetime.fromisoformat(iso)
    moment = moment.replace(tzinfo=_offset(iso, moment.tzinfo))
    if zone is None:
        return moment.replace(fold=fold)
    local = moment.replace(tzinfo=zone, fold=fold)
    if moment.tzinfo is None or local.utcoffset() == moment.utcoffset():
        return local
    return moment.astimezone(zone)


def time_from(text: str) -> time:
    """Read what `clock_text` wrote, or any ISO 8601 time."""
    iso, zone, fold = _parts(text)
    moment = time.fromisoformat(iso)
    return moment.replace(tzinfo=zone or _offset(iso, moment.tzinfo), fold=fold)


def date_from(text: str) -> date:
    """Read an ISO 8601 calendar date."""
    return date.fromisoformat(text)


def duration_data(duration: timedelta) -> list[int]:
    """Write a duration as its days, seconds and microseconds: exact, and small numbers each."""
    return [duration.days, duration.seconds, duration.microseconds]


def duration_from(data: list[int]) -> timedelta:
    """Read a duration from its days, seconds and microseconds."""
    days, seconds, microseconds = data
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _parts(text: str) -> tuple[str, ZoneInfo | None, int]:
    match = _SUFFIX.fullmatch(text)
    if match is None:
        raise SerializationError(f"expected an ISO 8601 date or time, got {describe(text)}")
    zone = match["zone"]
    return match["iso"], None if zone is None else _zone(zone), 1 if match["fold"] else 0


def _offset(iso: str, parsed: tzinfo | None) -> tzinfo | None:
    # CPython reads an offset of less than a second as UTC.
    match = _TINY_OFFSET.fullmatch(iso)
    if match is None:
        return parsed
    microseconds = int(match["microseconds"])
    return timezone(timedelta(microseconds=-microseconds if match["sign"] == "-" else microseconds))


def _zone(key: str) -> ZoneInfo:
    # Only names of the installed database are looked up: a stored name never becomes a path or an import.
    if key not in _zone_keys():
        raise SerializationError(f"expected the name of an installed time zone, got {describe(key)}")
    return ZoneInfo(key)


@cache
def _zone_keys() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone_key(zone: tzinfo) -> str:
    if type(zone) is not ZoneInfo or zone.key not in _zone_keys():
        raise SerializationError(
            f"expected a time zone that is a datetime.timezone or a named ZoneInfo, got {describe(zone)}: "
            "convert the moment with astimezone() first"
        )
    return zone.key
