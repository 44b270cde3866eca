"""What a report says, as text and as plain data."""

from __future__ import annotations

import datetime
import json

from eliza_state.cleanup import CleanupReport, Failed, HeldBack, Outcome

NOON = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
GOOD = Outcome(
    policy="idle scopes",
    unit="scopes",
    done=12,
    size_bytes=34_567,
    seconds=0.25,
    held_back=1,
    held=(HeldBack("agent:eliza", "a run is active"),),
)
BAD = Outcome(
    policy="expired keys",
    unit="entries",
    done=0,
    size_bytes=0,
    seconds=0.0,
    failed=1,
    failures=(Failed("the plugins' storage", "no connection"),),
)


def test_text_has_a_line_for_each_policy_and_each_that_is_named() -> None:
    text = str(CleanupReport(moment=NOON, dry_run=False, outcomes=(GOOD, BAD)))

    assert text.splitlines() == [
        "what went, by the time 2024-05-01 12:00:00 UTC",
        "idle scopes: 12 scopes, 34,567 bytes, 0.2 s; 1 held back",
        "  held back: agent:eliza: a run is active",
        "expired keys: 0 entries, 0.0 s; 1 failed",
        "  failed: the plugins' storage: no connection",
    ]


def test_plain_data_is_good_for_json() -> None:
    report = CleanupReport(moment=NOON, dry_run=True, outcomes=(GOOD,))
    plain = json.loads(json.dumps(report.to_dict()))

    assert plain["moment"] == "2024-05-01T12:00:00+00:00"
    assert plain["dry_run"] is True
    assert plain["outcomes"][0]["held"] == [{"what": "agent:eliza", "reason": "a run is active"}]


def test_what_is_held_back_is_no_failure() -> None:
    assert CleanupReport(moment=NOON, dry_run=False, outcomes=(GOOD,)).is_good
    assert not CleanupReport(moment=NOON, dry_run=False, outcomes=(GOOD, BAD)).is_good
