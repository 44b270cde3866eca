"""What a record's payload shows, and what is found in it."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.change import Record
from eliza_state.debugger.payloads import holds_text, masked_payload
from eliza_state.path import Path

PAYLOAD = (
    b'{"name": "Ada \\"the first\\"", "n": 42, "none": null, "tags": {"_type": "Set", "data": ["Red"]},'
    b' "token": {"_type": "Secret", "data": "hunter2"},'
    b' "sealed": [{"_type": "Secret", "sealed": true, "data": "v1.abc"}]}'
)


def record(content: Any) -> Record:
    return Record(1, b"x" * 16, Path(), 1, "named", 1, content, 0, "")


def test_it_is_shown_without_its_secrets() -> None:
    assert masked_payload(record(PAYLOAD)) == {
        "name": 'Ada "the first"',
        "n": 42,
        "none": None,
        "tags": {"_type": "Set", "data": ["Red"]},
        "token": "[SECRET]",
        "sealed": ["[SECRET]"],
    }


@pytest.mark.parametrize("text", ["ada", 'ADA "THE', "42", "red", "name", "tag"])
def test_what_is_found(text: str) -> None:
    assert holds_text(record(PAYLOAD), text)


@pytest.mark.parametrize("text", ["hunter2", "secret", "v1.abc", "_type", "null", "bo", "Set"])
def test_what_is_not_found(text: str) -> None:
    assert not holds_text(record(PAYLOAD), text)


@pytest.mark.parametrize(
    ("content", "shown"), [(b"", None), (b"{", {"unreadable": "Input data was truncated"})]
)
def test_erased_and_damaged_ones(content: bytes, shown: Any) -> None:
    assert masked_payload(record(content)) == shown
    assert not holds_text(record(content), "data")
