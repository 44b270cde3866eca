"""A large corpus that lies beside the checkout, where it does: real names, real gaps, real volume."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from tests.eliza_state.cli.command import ROOT, everything, invoke

FILES = sorted((ROOT.parent / "shared" / "data" / "irc").glob("*.jsonl"))


@pytest.mark.skipif(not FILES, reason="the corpus is not here")
def test_the_corpus_is_counted_as_one_counts_it_by_hand(tmp_path: object) -> None:
    store = f"sqlite:///{tmp_path}/state.db"
    messages: dict[str, int] = defaultdict(int)
    present: dict[str, set[str]] = defaultdict(set)
    for file in FILES:
        for row in map(json.loads, file.read_text("utf-8").splitlines()):
            payload, room = row["payload"], f"{row['agent']}/{row['room']}"
            if row["type"] in ("user_left", "user_renamed"):
                present[room].discard(payload["user"])
            if row["type"] != "user_left":
                present[room].add(payload.get("name", payload["user"]))
            if row["type"] == "message_received":
                messages[f"{room}/{row['conversation']}"] += 1

    result = invoke("ingest", *FILES, "--store", store)

    assert result.exit_code == 0, result.output
    counted: dict[str, int] = {}
    participants: dict[str, set[str]] = {}
    for shown in everything(store).values():
        place = "/".join(step.partition(":")[2] for step in shown["path"].split("/"))
        if shown["level"] == "conversation":
            counted[place] = len(shown["slices"]["conversation"]["messages"]["data"]["items"])
        if shown["level"] == "room":
            participants[place] = set(shown["slices"]["room"]["participants"]["data"])
    assert counted == messages
    assert participants == present
