"""`restore` as somebody types it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import invoke, run_on_terminal
from tests.eliza_state.cli.debugging.asking import WEEKEND, refused, shown, told


def test_a_scope_is_as_it_was() -> None:
    wanted = told("rewind", "v2", WEEKEND)["scopes"][WEEKEND]["slices"]

    text = shown("restore", WEEKEND, "--at", "v2", "--yes")

    assert "2 scopes restored to position 23; the scopes above keep what they counted\n" == text
    assert wanted == told("rewind", "now", WEEKEND)["scopes"][WEEKEND]["slices"]


def test_a_dry_run_shows_what_would_change_and_stores_nothing() -> None:
    before = told("snapshot")
    text = shown("restore", WEEKEND, "--at", "v2", "--dry-run")

    assert f"{WEEKEND}: conversation\n" in text
    assert "- messages['m9']: " in text
    assert text.endswith("2 scopes would change\n")
    assert before == told("snapshot")


def test_where_nothing_would_change_it_says_so() -> None:
    assert "nothing would change\n" == shown("restore", WEEKEND, "--at", "now", "--dry-run")


def test_json() -> None:
    dry = told("restore", WEEKEND, "--at", 23, "--dry-run")
    done = told("restore", WEEKEND, "--at", 23, "--yes")

    assert (True, 23, "conversation") == (dry["dry_run"], dry["to"], dry["slices"][0]["module"])
    assert (False, 23, WEEKEND) == (done["dry_run"], done["to"], done["scopes"][0])
    assert ["", "agent:eliza", "agent:eliza/room:general"] == done["above"]
    assert (56, 57) == (done["position"], told("log", "--limit", 1)["position"])


def test_only_the_scope_itself() -> None:
    assert ["agent:eliza"] == told("restore", "agent:eliza", "--at", 0, "--only", "--yes")["scopes"]
    assert 1 < len(told("restore", "agent:eliza", "--at", 0, "--yes")["scopes"])


def test_without_a_terminal_and_without_yes_nothing_is_restored() -> None:
    code, message = refused("restore", WEEKEND, "--at", "v2")

    assert (2, True) == (code, "say --yes" in message)
    assert 55 == told("log", "--limit", 1)["position"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([WEEKEND, "--at", "999"], 1, "positions go from 0 to 55, got 999"),
        ([WEEKEND, "--at", "soon"], 2, "a point is a position"),
        ([WEEKEND, "--at", "2026-01-01"], 2, "a time has a zone"),
        (["agent:nobody", "--at", "3"], 1, "nothing at 'agent:nobody'"),
        ([WEEKEND, "--at", "3", "--store", "sqlite:///none.db"], 1, "none.db"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], code: int, message: str) -> None:
    found = refused("restore", *arguments, "--yes")

    assert (code, True) == (found[0], message in found[1])
    assert not Path("none.db").exists()
    assert 55 == told("log", "--limit", 1)["position"]


def test_a_point_has_to_be_named() -> None:
    assert 2 == invoke("restore", WEEKEND).exit_code


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("answer", "code", "position"), [("n", 1, 55), ("y", 0, 57)])
def test_on_a_terminal_it_asks(answer: str, code: int, position: int) -> None:
    done = run_on_terminal("restore", WEEKEND, "--at", "v2", typed=answer)

    assert code == done.returncode
    assert f"restore '{WEEKEND}' to position 23, which changes 2 scopes? [y/N]" in done.stderr
    assert ("restored" in done.stdout) == (answer == "y")
    assert position == told("log", "--limit", 1)["position"]
