"""`timeline`, `blame` and `bisect` as somebody types them."""

from __future__ import annotations

import json

import pytest

from tests.eliza_state.cli.command import invoke
from tests.eliza_state.cli.debugging.asking import WEEKEND, refused, shown, told


class TestTimeline:
    def test_the_newest_first_with_what_each_changed(self) -> None:
        result = invoke("timeline", "--limit", 1)

        assert [line.strip() for line in result.stdout.splitlines()[1:]] == [
            '{"at":"2024-05-03T17:16:00Z","user":"ada"}',
            "the root: system",
            "~ metrics.departures: 1 → 2",
            "agent:eliza/room:general: room",
            "- participants: 'ada'",
        ]
        assert result.stderr == "more: the same with --before 55\n"

    def test_pages_in_both_directions(self) -> None:
        def positions(*options: object) -> list[int]:
            lines = shown("timeline", "--json", "--limit", 3, *options).splitlines()
            return [json.loads(line)["position"] for line in lines]

        assert positions() == [55, 54, 53]
        assert positions("--before", 53) == [52, 51, 50]
        assert positions("--oldest-first", "--after", 10) == [11, 12, 13]

    def test_filters(self) -> None:
        lines = shown(
            "timeline", WEEKEND, "--module", "conversation", "--inside", "topic", "--json", "--until",
            "2100-01-01T00:00:00Z", "--since", "2000-01-01T00:00:00Z",
        ).splitlines()  # fmt: skip
        events = {json.loads(line)["event"] for line in lines}

        assert events <= {"topic_updated", "context_switch"}
        assert shown("timeline", "--text", "no such text") == ""
        assert "message_received" in shown("timeline", "--event", "message_received", "--text", "TOMATO")


class TestBlame:
    def test_the_record_that_set_it(self) -> None:
        text = shown("blame", WEEKEND, "conversation", "messages[m7].text")

        assert text.startswith("now: 'Who waters the tomatoes over the long weekend?'\n     22  v1 ")

    def test_its_history(self) -> None:
        found = told("blame", "agent:eliza/room:general", "room", "context", "--history", "--limit", 2)

        assert found["value"] == "long weekend"
        assert all(record["event"] == "context_switch" for record in found["records"])
        assert len(found["records"]) == 2

    def test_nobody(self) -> None:
        text = shown("blame", WEEKEND, "conversation", "ended_at")

        assert text == "now: None\nno record ever set it: it is as in the initial state\n"

    def test_a_malformed_place_is_pointed_at(self) -> None:
        assert refused("blame", WEEKEND, "conversation", "messages[m7.text") == (
            2,
            f"  messages[m7.text\n  {' ' * 16}^\nerror: expected ']', got the end\n",
        )

    def test_a_field_that_is_not_there(self) -> None:
        code, message = refused("blame", WEEKEND, "conversation", "topics")

        assert code == 2
        assert "has no field 'topics' to look into; did you mean 'topic'?" in message


class TestBisect:
    @pytest.mark.parametrize("linear", [(), ("--linear",)])
    def test_the_first_position(self, linear: tuple[str, ...]) -> None:
        found = told("bisect", WEEKEND, "conversation", "--where", "messages >= 3", *linear)

        assert found["position"] == found["record"]["position"] == 24

    def test_from_the_beginning(self) -> None:
        text = shown("bisect", WEEKEND, "conversation", "--where", "messages < 3")

        assert text == "position 0: it held from there on\n"

    def test_never(self) -> None:
        assert refused("bisect", WEEKEND, "conversation", "--where", "messages > 300") == (
            1,
            "'messages > 300' never holds\n",
        )

    def test_a_malformed_comparison_is_pointed_at(self) -> None:
        code, message = refused("bisect", WEEKEND, "conversation", "--where", "topic = 1")

        assert code == 2
        assert message.startswith(f"  topic = 1\n  {' ' * 6}^\nerror: expected one of ==")

    def test_values_that_cannot_be_compared(self) -> None:
        code, message = refused("bisect", WEEKEND, "conversation", "--where", "sentiment > 'x'")

        assert code == 1
        assert "the predicate failed on the state at position 0: " in message
