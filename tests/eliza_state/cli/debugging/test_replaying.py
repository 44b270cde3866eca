"""`replay` and `make-test` as somebody types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import environment, invoke
from tests.eliza_state.cli.debugging.asking import WEEKEND, refused, shown, told

MODULE = """
from eliza_modules.conversation import ConversationModule, MessageReceived
from eliza_state.evolve import evolve
from eliza_state.module import reduces

class Loud(ConversationModule):
    @reduces(MessageReceived)
    def receive_message(self, state, event, path):
        return super().receive_message(state, evolve(event, text=event.text.upper()), path)
"""


class TestReplay:
    def test_a_record_left_out(self) -> None:
        lines = shown("replay", WEEKEND, "--skip", 24).splitlines()

        assert "32 records from position 24 to 55: 1 skipped" == lines[0] or lines[0].endswith(": 1 skipped")
        assert lines[1].startswith("first divergence at position 24, ")
        assert any("messages['m9']" in line for line in lines)

    def test_by_id(self) -> None:
        (record,) = [told("log", WEEKEND, "--limit", 1)]

        assert record["position"] == told("replay", WEEKEND, "--skip", f"id:{record['id']}")["first"]

    def test_a_field_changed(self) -> None:
        found = told("replay", WEEKEND, "--edit", '22={"text": "ho"}')

        (change,) = found["diff"]
        assert ("messages[m7].text", "ho") == (
            change["differences"][0]["at"],
            change["differences"][0]["after"],
        )

    def test_an_event_left_out(self) -> None:
        assert 1 == told("replay", WEEKEND, "--edit", "24=null")["skipped"]

    def test_another_order(self) -> None:
        found = told("replay", WEEKEND, "--order", "23,22")

        assert 2 == found["moved"]
        assert not found["is_same"]

    def test_another_module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "louder.py").write_text(MODULE, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        text = shown("replay", WEEKEND, "--first", 1, "--last", 22, "--with", "louder:Loud")

        assert "'WHO WATERS THE TOMATOES OVER THE LONG WEEKEND?'" in text

    def test_nothing_differs(self) -> None:
        assert told("replay")["is_same"]
        assert "nothing differs, at no position" in shown("replay")

    def test_it_changes_nothing(self) -> None:
        before = shown("show", "--json")

        shown("replay", "--skip", 3)

        assert before == shown("show", "--json")

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (["--skip", "first"], 2, "a record is a position such as 12, or id:ID, got 'first'"),
            (["--skip", "99"], 1, "no record at position 99"),
            (["--skip", "id:nobody"], 1, "no record of the id 'nobody'"),
            (["--edit", "12"], 2, "--edit takes a record and an object of fields"),
            (["--edit", "12={text}"], 2, "--edit takes a record and an object of fields"),
            (["--edit", '22={"txt": "x"}'], 1, "txt"),
            (["--order", "22,22"], 1, "names each record once"),
            (["--last", "99"], 1, "positions go from 0 to 55, got 99"),
            (["--with", "nowhere:Module"], 2, "--modules nowhere:Module"),
        ],
    )
    def test_what_makes_no_sense(self, options: list[str], code: int, message: str) -> None:
        found, text = refused("replay", *options)

        assert code == found
        assert message in text

    def test_a_scope_that_is_not_there(self) -> None:
        assert (1, True) == ((found := refused("replay", "agent:nobody"))[0], "nothing at" in found[1])


class TestMakeTest:
    def test_it_is_a_test_that_passes(self, tmp_path: Path) -> None:
        assert "" == shown("make-test", WEEKEND, "--first", 30, "-o", "test_weekend.py")

        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_weekend.py"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert 0 == done.returncode, done.stdout

    def test_it_goes_to_standard_output(self) -> None:
        text = shown("make-test", WEEKEND, "--last", 22, "--module", "conversation")

        assert "def test_conversation_from_position_1_to_22():" in text

    def test_a_module_that_is_not_there(self) -> None:
        code, text = refused("make-test", WEEKEND, "--module", "nobody")

        assert 1 == code
        assert "no module 'nobody'" in text


@pytest.mark.parametrize("command", ["replay", "export", "import", "fork", "make-test"])
def test_help_has_examples(command: str) -> None:
    text = shown(command, "--help")

    assert "Examples:\n" in text
    assert f"  eliza-state {command}" in text


def test_json_is_one_line() -> None:
    assert isinstance(json.loads(invoke("replay", "--json").stdout), dict)
