"""Envelopes: what is one, what only looks like one, and whose deadline counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.wrappers.envelope import Envelope, opened, sealed


@pytest.mark.parametrize(
    ("raw", "envelope"),
    [
        ({"__v": 0, "data": 1}, Envelope(0, 1)),
        ({"__v": 2, "data": None}, Envelope(2, None)),
        ({"__v": 2, "__exp": 1_700_000_000_000, "data": 1}, Envelope(2, 1, 1_700_000_000_000)),
        ({"__v": 2, "__exp": 1.5, "data": 1}, Envelope(2, 1, 2)),
        ({"__v": 1, "data": {"__v": 2, "data": 3}}, Envelope(1, {"__v": 2, "data": 3})),
    ],
)
def test_an_envelope_is_opened(raw: Any, envelope: Envelope) -> None:
    assert envelope == opened(raw)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        0,
        [],
        {},
        "__v",
        {"__v": 1},
        {"data": 1},
        {"__exp": 1, "data": 1},
        {"__v": 1, "data": 2, "more": 3},
        {"__v": "1", "data": 2},
        {"__v": True, "data": 2},
        {"__v": -1, "data": 2},
        {"__v": 1.0, "data": 2},
        {"__v": 1, "__exp": None, "data": 2},
        {"__v": 1, "__exp": "soon", "data": 2},
        {"__v": 1, "__exp": True, "data": 2},
        {"__v": 1, "__exp": float("inf"), "data": 2},
    ],
)
def test_what_is_not_exactly_an_envelope_is_a_value_without_one(raw: Any) -> None:
    assert Envelope(0, raw) == opened(raw)


PARTS = st.sampled_from(["__v", "__exp", "data", "a", 0, 1, 2])
VALUES = st.recursive(
    PARTS | st.none() | st.integers(), lambda inner: st.dictionaries(PARTS, inner) | st.lists(inner)
)


@given(st.integers(0, 9), VALUES, st.none() | st.integers(0))
def test_whatever_is_sealed_is_opened_the_same(version: int, data: Any, deadline_ms: int | None) -> None:
    envelope = Envelope(version, data, deadline_ms)

    assert envelope == opened(sealed(envelope))
