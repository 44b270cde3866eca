"""Records and changes as a dispatch yields them."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.change import Change, Record, to_datetime, to_microseconds
from eliza_state.ids import encode_id
from tests.eliza_state.chat import AGENT, ROOM, TALK, Said

RECORD = Record(7, encode_id("r1"), TALK, 3, "said", 1, b'{"user":"ada","text":"x"}', 1_500_000, "w")


@given(st.integers(-(10**15), 10**16))
def test_microseconds_survive_as_a_datetime(at_us):
    assert at_us == to_microseconds(to_datetime(at_us))


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_a_datetime_survives_as_microseconds(at):
    assert at == to_datetime(to_microseconds(at))


def test_a_record_shows_its_id_and_time():
    assert ("r1", datetime.datetime(1970, 1, 1, 0, 0, 1, 500_000, datetime.UTC)) == (
        RECORD.id,
        RECORD.recorded_at,
    )


def test_the_payload_is_text_even_where_the_event_is_kept():
    kept = RECORD._replace(content=Said(user="ada", text="x"))

    assert json.loads(RECORD.payload) == json.loads(kept.payload)


@pytest.mark.parametrize(
    "damage",
    [
        {"position": 8},
        {"key": encode_id("r2")},
        {"path": ROOM},
        {"version": 4},
        {"event": "sang"},
        {"schema_version": 2},
        {"content": b'{"user":"bob","text":"x"}'},
        {"recorded_at_us": 1_500_001},
    ],
)
def test_the_checksum_tells_damage_in_any_field(damage):
    assert RECORD.checksum != RECORD._replace(**damage).checksum


def test_a_change_names_its_slices_with_their_scopes():
    change = Change(RECORD, None, ((1, "budget", 10, 9), (3, "talk", "a", "b")))

    assert [(AGENT, "budget", 10, 9), (TALK, "talk", "a", "b")] == [tuple(each) for each in change.slices]


def test_before_and_after_are_those_of_the_addressed_scope():
    change = Change(RECORD, None, ((1, "budget", 10, 9), (3, "talk", "a", "b")))

    assert ({"talk": "a"}, {"talk": "b"}) == (change.before, change.after)
    assert (TALK, 7, 3) == (change.path, change.position, change.version)
