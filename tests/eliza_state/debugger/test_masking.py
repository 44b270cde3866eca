"""Secrets in stored JSON: behind placeholders, in the open, and read again."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_serializers.errors import SecretLocked
from eliza_serializers.sealing import SecretKeys
from eliza_state.codec import PLAIN, Codec
from eliza_state.debugger.masking import (
    PLACEHOLDERS,
    count_secrets,
    holds_sealed,
    masked,
    read_masked,
    revealed,
)
from eliza_state.errors import InvalidEvent
from eliza_state.event import event, event_type

KEYS = SecretKeys({"k": b"1" * 32})


@event("locked")
class Locked:
    text: Secret[str]
    content: Any = None


@event("numbered")
class Numbered:
    id: Secret[uuid.UUID]


def read(payload: bytes) -> Any:
    return PLAIN.decode(event_type(Locked), payload, schema_version=1)


VALUES: list[Any] = ["x", 5, 2.5, True, None, [1], {"a": 1}, b"x", Decimal("1.5"), 2**70]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_placeholder_of_its_kind_stands_in_a_secret(value: Any) -> None:
    payload, count = masked(PLAIN.encode(Locked(text=Secret("hunter2"), content={"deep": [Secret(value)]})))

    found = read(payload)
    assert 2 == count
    assert "[SECRET]" == found.text.reveal()
    assert found.content["deep"][0].reveal() in PLACEHOLDERS


def test_what_is_sealed_is_masked_without_its_key() -> None:
    sealed = Codec(secrets=KEYS).encode(Locked(text=Secret("hunter2")))

    assert holds_sealed(sealed)
    assert not holds_sealed(masked(sealed)[0])
    assert "[SECRET]" == read(masked(sealed)[0]).text.reveal()


def test_what_holds_no_secret_stays_as_it_is() -> None:
    payload = b'{ "text" : "no Secret" }'

    assert (payload, 0) == masked(payload)


def test_an_escaped_tag_is_found() -> None:
    payload = rb'{"text":{"_type":"\u0053ecret","data":"hunter2"}}'

    assert 1 == count_secrets(payload)
    assert b"hunter2" not in masked(payload)[0]


def test_a_users_own_object_of_that_kind_is_none() -> None:
    payload = PLAIN.encode(Locked(text=Secret("x"), content={"_type": "Secret", "data": "kept"}))

    assert 1 == count_secrets(payload)
    assert b"kept" in masked(payload)[0]


def test_a_sealed_secret_is_revealed_with_its_key() -> None:
    event = Locked(text=Secret("hunter2"), content=[Secret(5)])

    assert (PLAIN.encode(event), 2) == revealed(Codec(secrets=KEYS).encode(event), KEYS)


@pytest.mark.parametrize("keys", [None, SecretKeys({"other": b"2" * 32})])
def test_without_its_key_it_is_not(keys: SecretKeys | None) -> None:
    with pytest.raises(SecretLocked):
        revealed(Codec(secrets=KEYS).encode(Locked(text=Secret("hunter2"))), keys)


@event("keyed")
class Keyed:
    name: Secret[str]
    key: Secret[bytes]


def test_where_the_mask_does_not_fit_an_empty_text_stands() -> None:
    payload = masked(PLAIN.encode(Keyed(name=Secret("n"), key=Secret(b"k"))))[0]

    found = read_masked(lambda text: PLAIN.decode(event_type(Keyed), text, schema_version=1), payload)
    assert ("[SECRET]", b"") == (found.name.reveal(), found.key.reveal())


def test_where_nothing_fits_the_first_error_is_told() -> None:
    payload = masked(PLAIN.encode(Numbered(id=Secret(uuid.uuid4()))))[0]

    with pytest.raises(InvalidEvent, match=r"\$\.id"):
        read_masked(lambda text: PLAIN.decode(event_type(Numbered), text, schema_version=1), payload)
