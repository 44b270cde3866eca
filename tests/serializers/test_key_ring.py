"""A ring of keys: what is sealed opens for the purpose and in the place that it was sealed for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_serializers.key_ring import KeyRing, Unsealable

OLD, NEW = b"o" * 32, b"n" * 32


def ring(purpose: str = "test", *, current: str | None = None) -> KeyRing:
    return KeyRing({"old": OLD, "new": NEW}, current=current, purpose=purpose)


@given(st.binary(max_size=100), st.text(max_size=10))
def test_what_is_sealed_opens(content: bytes, place: str):
    assert content == ring().unseal(ring(current="old").seal(content, place=place), place=place)


def test_it_says_with_which_key():
    assert ("old", "new") == ring().ids
    assert ring().seal(b"a").startswith(b"new:")
    assert ring().is_current(ring().seal(b"a"))
    assert not ring().is_current(ring(current="old").seal(b"a"))


@pytest.mark.parametrize(("purpose", "place"), [("other", ""), ("test", "there")])
def test_another_purpose_or_place_does_not_open_it(purpose: str, place: str):
    sealed = ring(purpose).seal(b"a", place=place)
    with pytest.raises(Unsealable, match="moved") as caught:
        ring().unseal(sealed)

    assert "new" == caught.value.key_id


@pytest.mark.parametrize("damaged", [b"", b"new", b"new:", b"new:short", b"N:" + bytes(40), b":" + bytes(40)])
def test_what_is_damaged_names_no_key(damaged: bytes):
    with pytest.raises(Unsealable, match="damaged") as caught:
        ring().unseal(damaged)

    assert caught.value.key_id is None


def test_a_key_that_is_not_given_is_named():
    with pytest.raises(Unsealable, match="'new', which was not given"):
        KeyRing({"old": OLD}, current=None, purpose="test").unseal(ring().seal(b"a"))
