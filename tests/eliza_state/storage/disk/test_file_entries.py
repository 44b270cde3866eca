"""The JSON file of a `FileStorage`, written and read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry
from eliza_state.storage.disk.file_entries import document_of, read_document, slot_of

NOW_US = 1_704_067_200_000_000


def written(entries: dict[str, Entry[bytes]]) -> bytes:
    return document_of(slot_of(key, entry).line for key, entry in entries.items())


def read(document: bytes | str) -> dict[str, Entry[bytes]]:
    content = document if isinstance(document, bytes) else document.encode()
    return {key: slot.entry for key, slot in read_document(content, now_us=NOW_US).items()}


def test_values_in_json_stand_there_as_they_are() -> None:
    document = written({"a": Entry(b"json:7", 1), "b": Entry(b'json:{"x":[]}', 2, 30, 20)})

    assert {
        "version": 1,
        "entries": [
            ["a", 7, {"version": 1}],
            ["b", {"x": []}, {"version": 2, "deadline_ms": 30, "ttl_ms": 20}],
        ],
    } == json.loads(document)


def test_each_entry_is_a_line() -> None:
    document = written({"a": Entry(b"json:1", 1), "b": Entry(b"json:2", 2)})

    assert [
        '{"version":1,"entries":[',
        '["a",1,{"version":1}],',
        '["b",2,{"version":2}]',
        "]}",
    ] == document.decode().splitlines()


@pytest.mark.parametrize("content", [b"zstd:abc", b"", b"json:", b"json:1,2", b"json:1],[2", b'json:"\xff"'])
def test_what_is_no_json_stands_there_in_base64(content: bytes) -> None:
    document = written({"a": Entry(content, 1)})

    (entry,) = json.loads(document)["entries"]
    assert ("a", None, {"version", "content"}) == (*entry[:2], set(entry[2]))
    assert {"a": Entry(content, 1)} == read(document)


def test_a_tombstone_is_told_from_a_stored_null() -> None:
    entries = {"gone": Entry[bytes](GONE, 1, 30, 20), "null": Entry(b"json:null", 2)}

    assert entries == read(written(entries))


def test_no_entries_are_a_document_too() -> None:
    assert {} == read(written({}))


VALUES = st.one_of(
    st.binary(max_size=30),
    st.binary(max_size=8).map(b"json:".__add__),
    st.text('[]{},:"1 \\\n\té', max_size=8).map(lambda text: f"json:{text}".encode()),
    st.recursive(st.none() | st.text() | st.floats(allow_nan=False), st.lists).map(
        lambda value: b"json:" + json.dumps(value).encode()
    ),
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), VALUES, max_size=4))
def test_any_bytes_are_read_as_they_were_written(values: dict[str, bytes]) -> None:
    entries = {key: Entry(value, 1) for key, value in values.items()}
    document = written(entries)

    assert entries == read(document)
    assert len(entries) == len(json.loads(document)["entries"])


@pytest.mark.parametrize("depth", [100, 700, 5_000])
def test_deep_json_does_not_make_the_file_unreadable(depth: int) -> None:
    entries = {"a": Entry(b"json:" + b"[" * depth + b"]" * depth, 1)}

    assert entries == read(written(entries))


def test_keys_and_values_alone_are_names_and_versions_of_now() -> None:
    entries: list[Any] = [["run:index", ["r/1"]], ["a/b", None], ["100%", {"n": 1.5}]]

    assert {
        "run:index": Entry(b'json:["r/1"]', NOW_US),
        "a%2Fb": Entry(b"json:null", NOW_US),
        "100%25": Entry(b'json:{"n":1.5}', NOW_US),
    } == read(json.dumps({"version": 1, "saved_by": "x", "entries": entries}, separators=(",", ":")))


def test_of_several_entries_of_one_key_the_last_one_counts() -> None:
    assert {"a": Entry(b"json:2", NOW_US)} == read('{"version":1,"entries":[["a",1],["a",2]]}')


WRONG = {
    "empty": "",
    "torn": '{"version":1,"entries":[["a",1],["b",',
    "zeros": "\0" * 50,
    "no JSON": "hello",
    "no UTF-8": b'{"version":1,"entries":[["\xff\xfe",1]]}',
    "no object": "[]",
    "no version": '{"entries":[]}',
    "no entries": '{"version":1}',
    "an older version": '{"version":0,"entries":[]}',
    "a version that is no number": '{"version":"1","entries":[]}',
    "entries in an object": '{"version":1,"entries":{"a":1}}',
    "an entry of one": '{"version":1,"entries":[["a"]]}',
    "an entry of four": '{"version":1,"entries":[["a",1,{"version":1},2]]}',
    "a key that is none": '{"version":1,"entries":[[7,1]]}',
    "an empty key": '{"version":1,"entries":[["",1]]}',
    "details without a version": '{"version":1,"entries":[["a",1,{}]]}',
    "details unheard of": '{"version":1,"entries":[["a",1,{"version":1,"sealed":true}]]}',
    "content that is no base64": '{"version":1,"entries":[["a",1,{"version":1,"content":"*"}]]}',
    "two documents": '{"version":1,"entries":[]}{"version":1,"entries":[]}',
}


@pytest.mark.parametrize("document", WRONG.values(), ids=WRONG)
def test_what_is_no_such_file_is_refused(document: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(document)


def test_a_later_version_is_refused_in_another_way() -> None:
    with pytest.raises(StoreError, match="version 2, later than 1"):
        read('{"version":2,"values":{"a":1}}')
