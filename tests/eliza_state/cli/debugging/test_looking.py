"""`snapshot`, `rewind` and `diff` as somebody types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eliza_state.debugger import JsonPatch
from tests.eliza_state.cli.command import invoke
from tests.eliza_state.cli.debugging.asking import WEEKEND, refused, shown, told


class TestSnapshot:
    def test_the_tree_at_a_point(self) -> None:
        lines = shown("snapshot", "--at", 5).splitlines()

        assert lines[0].startswith("position 5, ")
        assert lines[-2:] == ["├── agent:eliza  v2  traits 2", "└── agent:weaver  v2"]

    def test_json(self) -> None:
        found = told("snapshot", WEEKEND)

        assert (found["position"], next(iter(found["scopes"]))) == (55, WEEKEND)
        messages = found["scopes"][WEEKEND]["slices"]["conversation"]["messages"]
        assert messages["m7"]["user"] == "kim"

    def test_depth(self) -> None:
        assert list(told("snapshot", "--depth", 0)["scopes"]) == [""]


class TestRewind:
    def test_to_a_version(self) -> None:
        text = shown("rewind", "v2", WEEKEND)

        assert "position 23, " in text
        assert "\nconversation:weekend  v2  messages 2, participants 2\n" in text
        assert "  messages (2)\n" in text

    def test_to_a_time(self) -> None:
        assert "the beginning" in shown("rewind", "2000-01-01T00:00:00Z", WEEKEND)
        assert told("rewind", "2100-01-01T00:00:00Z", WEEKEND)["position"] == 55

    def test_to_an_id(self) -> None:
        record = told("log", WEEKEND, "--limit", 1)

        assert told("rewind", f"id:{record['id']}", WEEKEND)["position"] == record["position"]

    @pytest.mark.parametrize(
        ("point", "code", "message"),
        [
            ("soon", 2, "error: a point is a position such as 120, a version such as v3, id:ID, a time"),
            ("2026-01-01", 2, "error: a time has a zone"),
            ("999", 1, "error: positions go from 0 to 55, got 999; the nearest: 55"),
            ("v99", 1, "has versions from 0 to 11, got 99"),
            ("id:none", 1, "has no record of the id 'none'; the nearest: "),
        ],
    )
    def test_to_what_is_not_there(self, point: str, code: int, message: str) -> None:
        result = refused("rewind", point, WEEKEND)

        assert result[0] == code
        assert message in result[1]

    def test_a_scope_that_is_not_there(self) -> None:
        assert refused("rewind", "5", "agent:elisa") == (
            1,
            "error: nothing at 'agent:elisa'; in the store there is 'agent:eliza', 'agent:weaver'\n",
        )


class TestDiff:
    def test_two_points(self) -> None:
        assert shown("diff", "v1", "v2", "--path", WEEKEND).splitlines()[0] == f"{WEEKEND}: conversation"

    def test_nothing(self) -> None:
        assert shown("diff", 55) == "nothing differs\n"

    def test_json(self) -> None:
        found = told("diff", 54, 55)

        assert (found["before"], found["after"]) == (54, 55)
        assert found["slices"][-1]["differences"] == [
            {"at": "participants{ada}", "kind": "removed", "before": "ada"}
        ]

    @pytest.mark.parametrize("after", ["now", "50"])
    def test_a_patch_leads_from_file_to_file(self, after: str) -> None:
        Path("before.json").write_text(shown("snapshot", "--at", 20, "--json"), "utf-8")
        before, wanted = told("snapshot", "--at", 20), told("snapshot", "--at", after)
        from_file = JsonPatch.read(shown("diff", "before.json", after, "--patch"))
        from_store = JsonPatch.read(shown("diff", 20, after, "--patch"))

        assert from_file.apply(before) == wanted
        assert from_store.apply(before) == wanted
        assert from_file.inverse().apply(wanted) == before

    def test_a_file_is_compared_place_by_place(self) -> None:
        Path("before.json").write_text(shown("snapshot", "--at", 54, "--json"), "utf-8")

        assert "- ['participants']['ada']: True\n" in shown("diff", "before.json")

    def test_two_stores(self) -> None:
        invoke("ingest", "chat.jsonl", "--store", "sqlite:///copy.db")

        assert shown("diff", "sqlite:///state.db", "sqlite:///copy.db") == "nothing differs\n"

    def test_a_file_that_is_no_snapshot(self) -> None:
        code, message = refused("diff", "chat.jsonl")

        assert code == 2
        assert "error: 'chat.jsonl' is no snapshot" in message
