from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from eliza_serializers import SerializationError
from eliza_serializers.moments import clock_text, datetime_from, time_from

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime.fromisoformat("2024-01-02T03:04:05"), "2024-01-02T03:04:05"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (datetime(2024, 7, 2, 12, tzinfo=BERLIN), "2024-07-02T12:00:00+02:00[Europe/Berlin]"),
        (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN), "2024-10-27T02:30:00+02:00[Europe/Berlin]"),
        (
            datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
            "2024-10-27T02:30:00+01:00[Europe/Berlin][fold=1]",
        ),
        (datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN), "2024-03-31T02:30:00+01:00[Europe/Berlin]"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(seconds=-3661, microseconds=7))), None),
        (datetime.fromisoformat("9999-12-31T23:59").replace(fold=1), "9999-12-31T23:59:00[fold=1]"),
        (
            datetime(1, 1, 1, tzinfo=timezone(timedelta(microseconds=-7))),
            "0001-01-01T00:00:00-00:00:00.000007",
        ),
    ],
)
def test_a_datetime_keeps_zone_and_fold(moment: datetime, text: str | None):
    written = clock_text(moment)
    read = datetime_from(written)

    assert text in (written, None)
    assert (moment, moment.fold, moment.utcoffset()) == (read, read.fold, read.utcoffset())
    assert str(moment.tzinfo) == str(read.tzinfo)


def test_a_time_keeps_its_zone():
    assert time_from("01:02:03[Europe/Berlin]") == time(1, 2, 3, tzinfo=BERLIN)
    assert time_from(clock_text(time(1, fold=1))).fold == 1


def test_when_the_rules_of_a_zone_have_changed_the_instant_stands():
    read = datetime_from("2024-07-02T12:00:00+05:00[Europe/Berlin]")

    assert read == datetime(2024, 7, 2, 7, tzinfo=UTC)
    assert read.tzinfo is BERLIN


class Elsewhere(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "elsewhere"


def test_a_zone_without_a_name_is_refused():
    with pytest.raises(SerializationError, match="time zone"):
        clock_text(datetime(2024, 1, 1, tzinfo=Elsewhere()))


@pytest.mark.parametrize("key", ["Europe", "../etc/passwd", "/etc/passwd", "No/Where", "europe.__init__"])
def test_only_installed_zones_are_looked_up(key: str):
    with pytest.raises(SerializationError, match="time zone"):
        datetime_from(f"2024-01-01T00:00:00+00:00[{key}]")
