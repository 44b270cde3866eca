"""Which times to live there are."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from eliza_state.storage.expiry import MAX_TTL_MS, check_ttl


@pytest.mark.parametrize(
    ("ttl_ms", "checked"),
    [
        (None, None),
        (1, 1),
        (0.001, 1),
        (5e-324, 1),
        (1.0, 1),
        (1.5, 2),
        (86_400_000, 86_400_000),
        (MAX_TTL_MS, MAX_TTL_MS),
        (float(MAX_TTL_MS), MAX_TTL_MS),
    ],
)
def test_a_time_to_live_is_in_whole_milliseconds_rounded_up(ttl_ms, checked):
    found = check_ttl(ttl_ms)

    assert (type(checked), checked) == (type(found), found)


@pytest.mark.parametrize(
    "ttl_ms", [0, 0.0, -0.0, -1, -1e300, math.nan, math.inf, -math.inf, MAX_TTL_MS + 1, 1e300, 10**400]
)
def test_an_absurd_time_to_live_is_refused(ttl_ms):
    with pytest.raises(ValueError, match="a time to live is more than 0 and at most"):
        check_ttl(ttl_ms)


@pytest.mark.parametrize("ttl_ms", [True, False, "1000", b"1", [1], Decimal(5), Fraction(1, 2), 1j, object()])
def test_what_is_no_number_is_refused(ttl_ms):
    with pytest.raises(TypeError, match="a time to live is a number of milliseconds"):
        check_ttl(ttl_ms)
