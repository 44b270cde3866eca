from __future__ import annotations

import pytest

from eliza_serializers import JsonSerializer, SerializationError
from eliza_state.cli.store.formats import Written
from eliza_state.cli.store.values import duration_ms, is_unregistered, shown_duration, shown_value
from eliza_state.cli.terminal import Misuse
from eliza_state.storage.errors import DamagedValue


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5m", 90_000),
        ("12h", 43_200_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("0.1ms", 1),
    ],
)
def test_a_duration_has_a_unit(text: str, expected_ms: int) -> None:
    assert expected_ms == duration_ms(text, option="--ttl")


@pytest.mark.parametrize("text", ["", "30", "s", "-5s", "1e3s", "1h30m", " 1s", "٣s", "infs"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="--ttl takes a duration such as"):
        duration_ms(text, option="--ttl")


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0, "0ms"), (999, "999ms"), (61_000, "1m 1s"), (90_061_001, "1d 1h"), (604_800_000, "1w")],
)
def test_a_duration_is_shown_in_two_units(duration: int, expected: str) -> None:
    assert expected == shown_duration(duration)


def test_a_value_that_cannot_be_parsed_is_damaged() -> None:
    for written in (Written("json", b"{oops"), Written("json", b"\xff"), Written("msgpack", b"\xc1")):
        with pytest.raises(DamagedValue, match="the value of 'a' cannot be read"):
            shown_value(written, key="a", serializer=JsonSerializer(), reveal=False)


def test_a_value_nested_too_deeply_is_damaged() -> None:
    content = b"[" * 100_000 + b"]" * 100_000

    with pytest.raises(DamagedValue):
        shown_value(Written("json", content), key="a", serializer=JsonSerializer(), reveal=False)


def test_a_tag_with_other_data_than_it_has_is_shown_with_the_reason() -> None:
    written = Written("json", b'{"_type":"Set","data":5}')
    value, problem = shown_value(written, key="a", serializer=JsonSerializer(), reveal=False)

    assert bytes(value) == b'{"_type":"Set","data":5}'
    assert problem is not None
    assert not is_unregistered(problem)


def test_a_class_that_is_not_registered_is_no_damage() -> None:
    with pytest.raises(SerializationError) as caught:
        JsonSerializer().decode(b'[{"_type":"Lock","data":5}]')

    assert is_unregistered(caught.value)


def test_an_unregistered_class_in_msgpack_is_shown() -> None:
    content = b"\x82\xa5_type\xa4Lock\xa4data\xc4\x02hi"
    value, problem = shown_value(
        Written("msgpack", content), key="a", serializer=JsonSerializer(), reveal=False
    )

    assert bytes(value) == b'{"_type":"Lock","data":"aGk="}'
    assert problem is not None
