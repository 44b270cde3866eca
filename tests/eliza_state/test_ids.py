"""Record ids: made in order, and packed without two sharing a form."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eliza_state import ids
from eliza_state.ids import UuidFactory, decode_id, encode_id

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.uuids().map(str)
UUID = "0190b5a0-7e3d-7cc0-98c4-dc0c0c07398f"


def test_an_id_is_a_uuid_of_version_7():
    made = uuid.UUID(bytes=UuidFactory()())

    assert (7, uuid.RFC_4122) == (made.version, made.variant)


def test_an_id_carries_the_time_in_milliseconds():
    before = time.time_ns() // 1_000_000
    made = UuidFactory()()[:6]
    after = time.time_ns() // 1_000_000

    assert before <= int.from_bytes(made, "big") <= after


def test_ids_of_one_factory_ascend():
    factory = UuidFactory()
    made = [factory() for _ in range(20_000)]

    assert sorted(set(made)) == made


@pytest.mark.parametrize("step_ns", [0, -1, -5_000_000_000])
def test_ids_ascend_when_the_clock_stands_still_or_steps_back(monkeypatch, step_ns):
    now = time.time_ns()
    times = (now + step_ns * count for count in range(1_000_000))
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(times))
    factory = UuidFactory()
    made = [factory() for _ in range(1_000)]

    assert sorted(set(made)) == made
    assert {7} == {uuid.UUID(bytes=key).version for key in made}


def test_ids_of_two_factories_differ():
    one, other = UuidFactory(), UuidFactory()

    assert len({one() for _ in range(1_000)} | {other() for _ in range(1_000)}) == 2_000


@given(TEXTS)
@example(UUID)
@example("a" * 15)
@example("a" * 16)
@example("a" * 14)
@example("\xff")
def test_a_text_comes_back(text):
    assert text == decode_id(encode_id(text))


@given(TEXTS, TEXTS)
def test_two_texts_never_share_a_form(one, other):
    assert (one == other) is (encode_id(one) == encode_id(other))


def test_a_canonical_uuid_takes_16_bytes():
    assert uuid.UUID(UUID).bytes == encode_id(UUID)


@pytest.mark.parametrize("text", [UUID.upper(), f"{{{UUID[1:-1]}}}", UUID.replace("-", "_")])
def test_other_spellings_of_a_uuid_are_texts_of_their_own(text):
    assert len(encode_id(text)) > 16
    assert text == decode_id(encode_id(text))
