"""The demonstration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import TRANSCRIPT, invoke


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo_shows_a_tree_a_diff_and_a_rewind(folder: Path) -> None:
    result = invoke("demo")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("55 events taken in, 0 were there, in ")
    assert "└── conversation:weekend  v11  messages 7, participants 4\n" in result.stdout
    assert "  ~ metrics.messages: 20 → 21\n" in result.stdout
    assert "  + participants: 'bo'\n" in result.stdout
    assert "  + messages['m21']: Message(" in result.stdout
    assert "at position 19" in result.stdout
    assert list(folder.iterdir()) == []


def test_the_demo_fits_80_columns_and_has_no_colours_off_a_terminal() -> None:
    result = invoke("demo")

    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b" not in result.stdout


def test_a_store_that_is_kept_can_be_looked_into_and_used_again() -> None:
    first = invoke("demo", "--store", "sqlite:///demo.db")
    again = invoke("demo", "--store", "sqlite:///demo.db")

    assert first.exit_code == again.exit_code == 0
    assert again.stdout.startswith("0 events taken in, 55 were there, in ")
    assert "The store had it already" in again.stdout
    assert (
        first.stdout.split("A conversation as it was")[1] == again.stdout.split("A conversation as it was")[1]
    )
    shown = invoke("show", "--json", "--store", "sqlite:///demo.db")
    assert json.loads(shown.stdout)["position"] == 56


def test_the_commands_that_the_demo_proposes_work() -> None:
    proposed = invoke("demo").stdout.split("Go on from here")[1].splitlines()
    commands = [row.split("  (")[0].split() for row in proposed if row.strip()]

    assert len(commands) == 4
    for program, *arguments in commands:
        assert program == "eliza-state"
        assert invoke(*arguments).exit_code == 0


def test_the_transcript_is_lines_of_json_of_two_agents() -> None:
    lines = [json.loads(text) for text in TRANSCRIPT.splitlines()]

    assert {line["agent"] for line in lines} == {"eliza", "weaver", None}
    assert len({line["type"] for line in lines}) > 15
