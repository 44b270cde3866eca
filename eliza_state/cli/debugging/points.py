"""Points in the past as they are typed: `120`, `v3`, `id:…`, a time, `now`."""

from __future__ import annotations

import datetime
import re
from typing import Any, Final

import attrs

from eliza_state.cli.terminal import Misuse

NOW: Final = "now"
_VERSION: Final = re.compile(r"v(\d{1,18})", re.ASCII)
_POSITION: Final = re.compile(r"\d{1,18}", re.ASCII)


@attrs.frozen
class Point:
    """A point in the past by one of its names, as `Debugger.at` takes them; none of them is the present."""

    position: int | None = None
    version: int | None = None
    event_id: str | None = None
    time: datetime.datetime | None = None

    @property
    def is_now(self) -> bool:
        """Tell whether it is the present."""
        return self == Point()

    def name(self) -> dict[str, Any]:
        """Return what to pass to `Debugger.at`."""
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}


def parse_point(text: str) -> Point:
    """Return the point that a text names; `Misuse` for one that names none, or a time without a zone."""
    if text == NOW:
        return Point()
    if _POSITION.fullmatch(text):
        return Point(position=int(text))
    if version := _VERSION.fullmatch(text):
        return Point(version=int(version[1]))
    if text.startswith("id:"):
        return Point(event_id=text.removeprefix("id:"))
    return Point(time=parse_time(text))


def parse_time(text: str) -> datetime.datetime:
    """Return a time in ISO 8601 with a zone; `Misuse` for any other text."""
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(
            "a point is a position such as 120, a version such as v3, id:ID, a time such as"
            f" 2026-01-01T12:00:00Z, or now; got {text!r}"
        ) from None
    if time.tzinfo is None:
        raise Misuse(
            f"a time has a zone, as in 2026-01-01T12:00:00Z or 2026-01-01T13:00:00+01:00; got {text!r}"
        )
    return time
