"""`eliza-state query`: entries and scopes, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import invoke, line, said

TEA = "agent:eliza/room:general/conversation:tea"
BOOT = "agent:eliza/room:general/conversation:boot"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store in the current folder: three messages in two conversations, one of them over."""
    monkeypatch.chdir(tmp_path)
    lines = [
        said("m1", "hello", at="2026-01-01T09:00:00+00:00"),
        said("m2", "a cup of tea?", at="2026-01-01T10:00:00+00:00"),
        line("topic_updated", {"topic": "tea"}),
        line("message_received", {"id": "m3", "user": "bob", "text": "no\x1b[31m"}, conversation="boot"),
        line("conversation_ended", {}, conversation="boot"),
    ]
    assert invoke("ingest", "-", "--source", "chat", text="\n".join(lines)).exit_code == 0
    return tmp_path


def shown(*arguments: object) -> list[str]:
    result = invoke("query", *arguments)
    assert (0, "") == (result.exit_code, result.stderr), result.stderr
    return [row for row in result.stdout.splitlines() if row]


def test_it_shows_what_it_finds():
    assert shown("--where", 'user == "ada" and topic == "tea" and text contains "cup"') == [
        f"{TEA}  'm2'  id='m2' user='ada' text='a cup of tea?' at=2026-01-01T10:00:00+00:00"
    ]


def test_it_asks_below_a_path_in_an_order():
    rows = shown("--below", TEA, "--order", "-at")

    assert [row.split()[1] for row in rows] == ["'m2'", "'m1'"]


def test_more_than_the_limit_is_said():
    result = invoke("query", "--limit", 1)

    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == "there are more: see --limit\n"


def test_it_prints_json():
    (row,) = shown("--where", 'hour == "2026-01-01T10:00"', "--json")
    found = json.loads(row)

    assert (found["path"], found["key"], found["entry"]["user"]) == (TEA, "m2", "ada")


def test_it_counts():
    assert shown("--count", "--where", 'user == "ada"') == ["2"]
    assert shown("--group-by", "user") == ["       2  'ada'", "       1  'bob'"]
    assert [json.loads(row) for row in shown("--group-by", "user", "--json")] == [
        {"value": "ada", "count": 2},
        {"value": "bob", "count": 1},
    ]


def test_it_explains():
    rows = shown("--explain", "--where", 'user == "ada" and text contains "cup"')

    assert rows[0] == "position 5"
    assert 'no index for: text contains "cup"' in rows


def test_it_only_reads_the_store_unless_it_is_to_make_the_index(store):
    shown("--where", 'user == "ada"')
    assert not (store / "state.db-indexes").exists()
    shown("--where", 'user == "ada"', "--index")

    assert (store / "state.db-indexes").exists()
    assert shown("--explain", "--where", 'user == "bob"')[1] == "elsewhere: index file: user"


def test_it_finds_scopes():
    (row,) = shown("--scopes", "--where", 'phase == "archived"')

    assert row.startswith(f"{BOOT}  v2  ")
    assert row.endswith("ended")
    assert shown("--scopes", "--where", 'level == "conversation"', "--count") == ["2"]
    (found,) = shown("--scopes", "--where", 'id == "tea"', "--json")
    assert json.loads(found)["version"] == 3


def test_other_modules_and_collections_are_named():
    assert not shown("--module", "conversation", "--of", "active_goals")
    assert invoke("query", "--module", "nobody").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--where", 'user = "ada"'],
            'error: expected a field, a value or a sign:\n  user = "ada"\n       ^\n',
        ),
        (["--where", 'usr == "ada"'], "error: there is no field 'usr'; did you mean 'user'?\n"),
        (["--order", "-usr"], "error: there is no field 'usr'; did you mean 'user'?\n"),
        (
            ["--scopes", "--explain"],
            "error: --scopes goes with --where, --below, --order, --limit and --count\n",
        ),
    ],
)
def test_a_mistake_is_shown_in_its_place(arguments, message):
    result = invoke("query", *arguments)

    assert (2, "", message) == (result.exit_code, result.stdout, result.stderr)


def test_nothing_can_steer_the_terminal():
    (row,) = shown("--where", 'user == "bob"')

    assert "\x1b" not in row
