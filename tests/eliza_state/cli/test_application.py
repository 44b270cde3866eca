"""The commands as somebody types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from eliza_state import __version__
from eliza_state.problems import Problem
from tests.eliza_state.cli.command import TRANSCRIPT, everything, invoke, line, said

WEEKEND = "agent:eliza/room:general/conversation:weekend"


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The transcript as a file in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.jsonl").write_text(TRANSCRIPT, "utf-8")
    return tmp_path / "chat.jsonl"


@pytest.fixture
def store(filled_folder: Path) -> str:
    """A store, in the current folder, that holds the transcript."""
    return f"sqlite:///{filled_folder}/state.db"


def test_help_has_examples() -> None:
    for command in ([], ["demo"], ["ingest"], ["show"], ["log"]):
        result = invoke(*command, "--help")
        assert result.exit_code == 0
        assert "Examples:\n" in result.stdout
        assert "  eliza-state " in result.stdout


def test_the_version_is_told() -> None:
    assert invoke("--version").stdout == f"eliza-state {__version__}\n"


# ingest


def test_ingest_tells_what_became_of_the_lines(chat: Path) -> None:
    result = invoke("ingest", "chat.jsonl")

    assert result.exit_code == 0
    assert result.stdout.startswith("55 lines: 55 stored, 0 already there, 0 refused (")
    assert result.stderr == ""
    assert (chat.parent / "state.db").exists()


def test_a_second_ingest_changes_nothing(store: str) -> None:
    before = everything(store)

    result = invoke("ingest", "chat.jsonl", "--store", store)

    assert result.stdout.startswith("55 lines: 0 stored, 55 already there, 0 refused (")
    assert everything(store) == before


def test_standard_input_is_a_source_like_a_file_of_its_name(store: str) -> None:
    result = invoke("ingest", "-", "--source", "chat.jsonl", text=TRANSCRIPT)

    assert result.stdout.startswith("55 lines: 0 stored, 55 already there, 0 refused (")


def test_refused_lines_are_reported_one_line_each_and_the_exit_code_tells(chat: Path) -> None:
    chat.write_text("\n".join([said("m1"), "{oops", said("m1"), said("m2")]))

    result = invoke("ingest", "chat.jsonl")

    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("chat.jsonl:2: malformed: ")
    assert second.startswith("chat.jsonl:3: message_received at ")
    assert result.stdout.startswith("4 lines: 2 stored, 0 already there, 2 refused (")


def test_strict_stops(chat: Path) -> None:
    chat.write_text("\n".join([said("m1"), "{oops", said("m2")]))

    result = invoke("ingest", "chat.jsonl", "--strict")

    assert result.exit_code == 1
    assert "chat.jsonl:2: malformed" in result.stderr
    assert "stopped" in result.stderr
    assert result.stdout.startswith("2 lines: 1 stored")


def test_retry_judges_anew(chat: Path) -> None:
    chat.write_text("\n".join([line("message_edited", {"id": "m1", "text": "better"}), said("m1")]))
    assert invoke("ingest", "chat.jsonl").exit_code == 1
    assert invoke("ingest", "chat.jsonl").exit_code == 1

    result = invoke("ingest", "chat.jsonl", "--retry")

    assert result.exit_code == 0
    assert result.stdout.startswith("2 lines: 1 stored, 1 already there, 0 refused (")


def test_quiet_leaves_out_the_summary(chat: Path) -> None:
    assert invoke("ingest", "chat.jsonl", "--quiet").output == ""


def test_control_characters_in_a_line_do_not_reach_the_terminal(chat: Path) -> None:
    chat.write_text(json.dumps({"type": "\x1b[31mred\nnew"}))

    result = invoke("ingest", "chat.jsonl")

    assert "\x1b" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["ingest", "none.jsonl"], "cannot read 'none.jsonl'"),
        (["ingest", "-"], "--source NAME"),
        (["ingest", "chat.jsonl", "--modules", "oops"], "package:name"),
        (["show", "--modules", "nowhere_at_all:X"], "No module named"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(chat: Path, arguments: list[str], reason: str) -> None:
    result = invoke(*arguments)

    assert result.exit_code == 2
    (told,) = result.stderr.splitlines()
    assert told.startswith("error: ")
    assert reason in told
    assert not (chat.parent / "state.db").exists()


def test_a_module_of_ones_own_takes_part(chat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (chat.parent / "weather_for_test.py").write_text(
        "import attrs\n"
        "from eliza_state import StateModule, event, reduces\n"
        "@event('rain_fell')\n"
        "class RainFell:\n    litres: int\n"
        "@attrs.frozen\n"
        "class Weather:\n    litres: int = 0\n"
        "class WeatherModule(StateModule[Weather]):\n"
        "    name = 'weather'\n    level = 'room'\n"
        "    @reduces(RainFell)\n"
        "    def rain(self, state, event):\n        return Weather(state.litres + event.litres)\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    chat.write_text(line("rain_fell", {"litres": 3}, conversation=None))
    assert invoke("ingest", "chat.jsonl").exit_code == 1

    assert invoke("ingest", "chat.jsonl", "--modules", "weather_for_test:WeatherModule").exit_code == 0
    shown = invoke(
        "show", "agent:eliza/room:general", "--json", "--modules", "weather_for_test:WeatherModule"
    ).stdout

    assert json.loads(shown)["slices"]["weather"] == {"litres": 3}
    sys.modules.pop("weather_for_test", None)


# show


def test_show_draws_the_tree_with_counts(store: str) -> None:
    result = invoke("show")

    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first.startswith("global  v2  config 1, shared_resources 1, messages 20, ")
    assert any("└── conversation:weekend  v11  messages 7, participants 4  " in row for row in rest)
    assert any("conversation:greenhouse  v16  messages 9, participants 3  ended  " in row for row in rest)
    assert "message:" not in result.stdout


def test_show_draws_no_more_than_it_is_told_to(store: str) -> None:
    result = invoke("show", "--limit", 1, "--depth", 1)

    assert [row.split("  ")[0] for row in result.stdout.splitlines()] == [
        "global",
        "├── agent:eliza",
        "└── … 1 more",
    ]
    assert len(invoke("show", "--depth", 0).stdout.splitlines()) == 1


def test_show_tells_the_slices_of_a_scope(store: str) -> None:
    result = invoke("show", WEEKEND, "--limit", 2)

    assert result.exit_code == 0
    assert "\nconversation\n  messages (7)\n    … 5 before\n    id='m19'" in result.stdout
    assert "  topic: 'watering plan'\n" in result.stdout
    assert f"\nbelow (1)\n  {WEEKEND}/message:m7\n" in result.stdout


def test_show_as_json_tells_one_scope_to_programs(store: str) -> None:
    shown = json.loads(invoke("show", WEEKEND, "--json").stdout)

    assert list(shown) == ["path", "level", "position", "version", "slices", "children"]
    assert shown["path"] == WEEKEND
    assert shown["level"] == "conversation"
    assert shown["position"] == 53
    assert shown["version"] == 11
    assert shown["slices"].keys() == {"conversation", "settings_conversation"}
    assert shown["slices"]["conversation"]["topic"] == "watering plan"
    assert shown["children"] == [f"{WEEKEND}/message:m7"]


def test_show_as_json_without_a_path_tells_the_root(store: str) -> None:
    shown = json.loads(invoke("show", "--json").stdout)

    assert (shown["path"], shown["level"], shown["position"], shown["version"]) == ("", "global", 55, 2)
    assert shown["slices"]["system"]["metrics"]["messages"] == 20
    assert shown["children"] == ["agent:eliza", "agent:weaver"]


@pytest.mark.parametrize("command", ["show", "log"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("agent:elisa", "nothing at 'agent:elisa'; in the store there is 'agent:eliza'"),
        (
            "agent:eliza/room:genral/conversation:weekend",
            "below 'agent:eliza' there is 'agent:eliza/room:general'",
        ),
        (f"{WEEKEND}/message:m7x", f"there is '{WEEKEND}/message:m7'"),
        (f"{WEEKEND}/message:m7/message:x", "leaves the hierarchy"),
        ("eliza", "a path is written level:id/level:id"),
        ("room:general", "a room lies at global → agent → room"),
    ],
)
def test_a_wrong_path_is_told_with_what_lies_near(store: str, command: str, path: str, reason: str) -> None:
    result = invoke(command, path)

    assert result.exit_code == 1
    (told,) = result.stderr.splitlines()
    assert reason in told
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["show", "log"])
def test_a_store_that_is_not_there_is_not_made(chat: Path, command: str) -> None:
    result = invoke(command)

    assert result.exit_code == 1
    assert result.stderr == "error: there is no store at 'state.db'; name one that exists\n"
    assert not (chat.parent / "state.db").exists()


def test_a_file_that_is_no_store_is_told_in_one_line(chat: Path) -> None:
    result = invoke("show", "--store", "sqlite:///chat.jsonl")

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_debug_shows_the_traceback(chat: Path) -> None:
    result = invoke("show", "--debug")

    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1].startswith("error: there is no store")


def test_the_store_may_be_named_by_the_environment(store: str, tmp_path: Path) -> None:
    result = invoke("show", ELIZA_STATE_STORE=f"sqlite:///{tmp_path}/none.db")

    assert result.exit_code == 1
    assert "none.db" in result.stderr


def test_a_bug_is_told_in_one_line_too(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eliza_state.cli.show.find_scope", lambda _manager, _path: 1 / 0)

    result = invoke("show")

    assert result.exit_code == 1
    assert result.stderr == "error: this is a bug, ZeroDivisionError: division by zero; --debug shows where\n"


def test_problems_are_warnings(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from eliza_state.cli import opening, show

    def trouble(manager: opening.SyncStateManager, path: str) -> object:
        manager.problems.report(Problem("reducer", "it\nbroke", error=ValueError("no")))
        return manager.at(path)

    monkeypatch.setattr(show, "find_scope", trouble)

    result = invoke("show")

    assert result.exit_code == 0
    assert result.stderr == "warning: reducer: it broke\n"


# log


def test_log_tells_the_newest_records_first(store: str) -> None:
    result = invoke("log", WEEKEND, "--limit", 2)

    first, second = result.stdout.splitlines()
    assert first.split()[:2] == ["53", "v11"]
    assert 'message_received  .  {"at":"2024-05-03T17:13:00Z","id":"m20",' in first
    assert second.split()[0] == "52"
    assert result.stderr == f"older ones: eliza-state log '{WEEKEND}' --before 52\n"


def test_log_goes_on_where_it_is_told_to(store: str) -> None:
    positions: list[int] = []
    before: list[object] = []
    for _page in range(20):
        rows = invoke("log", "agent:eliza", "--limit", 7, "--json", *before).stdout.splitlines()
        if not rows:
            break
        positions += [json.loads(row)["position"] for row in rows]
        before = ["--before", positions[-1]]

    whole = invoke("log", "agent:eliza", "--limit", 1000, "--json").stdout.splitlines()
    assert positions == [json.loads(row)["position"] for row in whole]
    assert positions == sorted(positions, reverse=True)


def test_log_as_json_has_one_object_a_line(store: str) -> None:
    (row,) = invoke("log", "--json", "--limit", 1).stdout.splitlines()

    found = json.loads(row)

    assert found["event"] == "user_left"
    assert found["path"] == "agent:eliza/room:general"
    assert (found["position"], found["version"], found["schema_version"], found["cause"]) == (55, 9, 1, None)
    assert found["payload"] == {"at": "2024-05-03T17:16:00Z", "user": "ada"}


def test_log_of_an_empty_store_is_empty(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").touch()
    invoke("ingest", tmp_path / "none.jsonl", "--store", f"sqlite:///{tmp_path}/state.db")

    result = invoke("log", "--store", f"sqlite:///{tmp_path}/state.db")

    assert (result.exit_code, result.output) == (0, "")
