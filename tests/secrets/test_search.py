"""The search finds what leaks: without this, that nothing is found would say nothing."""

from __future__ import annotations

import base64
import json
import logging
import urllib.parse

import pytest
from backports import zstd

from tests.secrets.search import found_in, made

LEAKED = "1f80d4b7329ae56c0d4f7a2e"  # the workers of a test run must agree on it
SECRETS = {**made(), "run result": LEAKED}


@pytest.mark.parametrize(
    "content",
    [
        LEAKED,
        repr({"result": [LEAKED]}),
        repr(repr(f"'{LEAKED}\"\n")),
        json.dumps({"result": LEAKED}),
        f"result={LEAKED[:16]}…",
        f"…{LEAKED[-15:]}",
        LEAKED.encode().hex(),
        urllib.parse.quote(LEAKED),
        LEAKED.encode("utf-16"),
        zstd.compress(b"x" * 1_000 + LEAKED.encode() * 20),
        b"before" + zstd.compress(LEAKED.encode()) + b"after",
        *(base64.b64encode(b"x" * before + LEAKED.encode() + b"yz") for before in range(3)),
    ],
)
def test_a_leak_is_found_in_every_form(content: str | bytes):
    assert ["run result"] == found_in(content, SECRETS)


@pytest.mark.parametrize(
    "content", ["", "[SECRET]", json.dumps([*SECRETS]), LEAKED[::-1], b"\x28\xb5\x2f\xfd"]
)
def test_nothing_is_found_where_nothing_is(content: str | bytes):
    assert not found_in(content, SECRETS)


def test_what_is_logged_is_looked_through(caplog: pytest.LogCaptureFixture):
    logging.getLogger("eliza_state").warning("a leak: %s", LEAKED)

    assert ["run result"] == found_in(caplog.text, SECRETS)
