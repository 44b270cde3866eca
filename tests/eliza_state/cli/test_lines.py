"""Lines of JSON as dispatches."""

from __future__ import annotations

import io
import uuid

import pytest

from eliza_modules import ConversationModule, RoomModule, SystemModule
from eliza_state.cli import lines
from eliza_state.cli.lines import Line, read_blocks, record_id, to_dispatch
from eliza_state.errors import InvalidEvent, InvalidPath
from eliza_state.path import Path
from eliza_state.tree import Tree

TREE = Tree([ConversationModule(), RoomModule(), SystemModule()])
TEA = Path().child("agent", "eliza").child("room", "general").child("conversation", "tea")


def dispatch_of(text: str) -> object:
    return to_dispatch(Line(1, text.encode()), source="chat.jsonl", tree=TREE)


def read(data: bytes) -> list[Line]:
    return [line for block in read_blocks(io.BytesIO(data)) for line in block.lines]


def test_a_line_goes_to_the_deepest_level_it_names() -> None:
    line = Line(
        1,
        b'{"type": "message_received", "agent": "eliza", "room": "general", "conversation": "tea",'
        b' "payload": {"id": "m1", "user": "ada", "text": "hi"}}',
    )

    found = to_dispatch(line, source="chat.jsonl", tree=TREE)

    assert found.to == TEA
    assert found.event == "message_received"
    assert found.payload == {"id": "m1", "user": "ada", "text": "hi"}


@pytest.mark.parametrize(
    ("levels", "path"),
    [
        ('"agent": null, "room": null, "conversation": null', ""),
        ('"agent": "e"', "agent:e"),
        ('"agent": "e", "user": "ada"', "agent:e/user:ada"),
        ('"agent": "e", "room": "r", "conversation": null', "agent:e/room:r"),
        (
            '"conversation": "c", "message": "m", "room": "a/b", "agent": "e"',
            "agent:e/room:a%2Fb/conversation:c/message:m",
        ),
    ],
)
def test_null_counts_as_not_named_and_the_order_of_keys_does_not_count(levels: str, path: str) -> None:
    line = Line(1, f'{{"type": "noted", {levels}}}'.encode())

    found = to_dispatch(line, source="chat.jsonl", tree=TREE)

    assert path == found.to.encode()
    assert found.payload == {}


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("user_joined", '{"user": "ada"}', {"user": "ada", "at": "2024-05-01"}),
        ("user_joined", '{"user": "ada", "at": "now"}', {"user": "ada", "at": "now"}),
        ("topic_updated", '{"topic": "tea"}', {"topic": "tea"}),
        ("unheard_of", "{}", {}),
    ],
)
def test_the_time_of_a_line_goes_where_the_event_has_a_field_for_it(
    kind: str, payload: str, expected: dict[str, str]
) -> None:
    line = Line(1, f'{{"type": "{kind}", "at": "2024-05-01", "payload": {payload}}}'.encode())

    assert expected == to_dispatch(line, source="chat.jsonl", tree=TREE).payload


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("NaN", "no JSON"),
        ("[1]", "expected an object, got \\[1\\]"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "'type' is the name of an event, got None"),
        ('{"type": 7}', "'type' is the name of an event, got 7"),
        ('{"type": "noted", "payload": []}', "'payload' is an object, got \\[\\]"),
        ('{"type": "noted", "romm": "general"}', "unknown key 'romm'; a line has type, agent, room"),
        ('{"type": "noted", "global": "x"}', "unknown key 'global'"),
    ],
)
def test_a_line_that_is_no_such_object_is_malformed(text: str, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=f"^malformed: .*{reason}"):
        dispatch_of(text)


def test_a_line_of_invalid_utf_8_is_malformed() -> None:
    with pytest.raises(InvalidEvent, match="malformed"):
        to_dispatch(Line(1, b'{"type": "\xff"}'), source="chat.jsonl", tree=TREE)


def test_a_line_that_is_too_long_is_malformed_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 30)

    first, second = read(b'{"type": "' + b"x" * 1_000 + b'"}\n{}')

    assert len(first.text) <= 131
    assert second == Line(2, b"{}")
    with pytest.raises(InvalidEvent, match="longer than 100 bytes"):
        to_dispatch(first, source="chat.jsonl", tree=TREE)


@pytest.mark.parametrize("keys", ['"room": "general"', '"agent": 7', '"agent": ""', '"agent": {}'])
def test_a_line_that_leads_nowhere_is_refused(keys: str) -> None:
    with pytest.raises(InvalidPath):
        dispatch_of(f'{{"type": "noted", {keys}}}')


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n \n", []),
        (b"a\nb", [Line(1, b"a"), Line(2, b"b")]),
        (b"a\r\n\r\n b \n", [Line(1, b"a"), Line(3, b"b")]),
        (b"\xef\xbb\xbfa\n", [Line(1, b"a")]),
        ("a\u2028b\x0c\n".encode(), [Line(1, "a\u2028b".encode())]),
    ],
)
def test_lines_are_numbered_from_one_and_bare(data: bytes, expected: list[Line]) -> None:
    assert expected == read(data)


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1_000])
def test_lines_do_not_depend_on_how_they_come(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_BLOCK_BYTES", block_bytes)

    assert [Line(1, b"one"), Line(3, b"three"), Line(4, b"four")] == read(b"one\n\nthree\nfour")


def test_the_id_of_a_line_is_always_the_same_uuid() -> None:
    first = record_id(Line(1, b"{}"), source="chat.jsonl")

    assert first == record_id(Line(1, b"{}"), source="chat.jsonl")
    assert uuid.UUID(first).version == 8
    assert uuid.UUID(first).variant == uuid.RFC_4122


def test_the_id_of_a_line_depends_on_source_number_and_text() -> None:
    ids = {
        record_id(line, source=source)
        for line in (Line(1, b"{}"), Line(2, b"{}"), Line(1, b"[]"), Line(11, b""))
        for source in ("a", "b", "a:1")
    }

    assert len(ids) == 12
