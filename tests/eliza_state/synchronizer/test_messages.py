"""The lines that replicas exchange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.ids import encode_id
from eliza_state.path import Path
from eliza_state.synchronizer import NotAReplica
from eliza_state.synchronizer.messages import Entry, RecordLine, Summary, read_line
from eliza_state.synchronizer.stamps import Stamp

WORDS = st.text(min_size=1, max_size=9)
ENTRIES = st.builds(
    Entry,
    st.builds(Stamp, st.integers(0, 2**63 - 1), st.integers(0, 9), WORDS, st.integers(1, 9)),
    st.builds(Path, st.lists(st.tuples(st.just("agent"), WORDS), max_size=3).map(tuple)),
    WORDS.map(encode_id) | st.uuids().map(lambda found: found.bytes),
    WORDS,
    st.integers(1, 9),
    st.sampled_from([b"", b"{}", b'{"text":"\\u2028"}']),
    st.none() | WORDS,
)

LINE = (
    b'{"kind":"record","at":[1,0],"writer":"w","sequence":1,"path":"agent:a","id":"i",'
    b'"event":"said","schema_version":1,"payload":{}}'
)


@given(ENTRIES)
def test_a_record_is_one_line_and_comes_back(entry):
    text = entry.line()
    told = read_line(text)

    assert isinstance(told, RecordLine)
    assert entry == Entry.of(told)
    assert [text[:-1]] == text.splitlines()


@given(st.dictionaries(WORDS, st.tuples(st.integers(1, 9), WORDS)))
def test_a_summary_is_one_line_and_comes_back(writers):
    summary = Summary(writers)

    assert summary == Summary.decode(summary.encode())
    assert {writer: count for writer, (count, _) in writers.items()} == summary.clock.counts()


def test_what_a_record_is_does_not_depend_on_its_content():
    texts = (LINE, LINE.replace(b',"payload":{}', b""), LINE.replace(b"said", b"sad"))
    whole, erased, other = (Entry.of(read_line(text)).tip for text in texts)

    assert whole == erased != other


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"sequence":1', b'"sequence":0'),
        (b'"at":[1,0]', b'"at":[-1,0]'),
        (b'"at":[1,0]', b'"at":[9223372036854775808,0]'),
        (b'"schema_version":1', b'"schema_version":0'),
        (b'"id":"i"', b'"id":""'),
        (b'"path":"agent:a"', b'"path":"agent"'),
        (b'"payload":{}', b'"payload":[]'),
        (b'"payload":{}', b'"payload":{},"repeated":true'),
        (b'"payload":{}', b'"more":1'),
        (b'"kind":"record"', b'"kind":"other"'),
        (b"}}", b"}"),
    ],
)
def test_a_line_that_no_store_could_hold_is_refused(before, after):
    assert before in LINE

    with pytest.raises(NotAReplica):
        Entry.of(read_line(LINE.replace(before, after)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is no replica"),
        (b'{"format": "eliza-state session", "version": 1}', "imported by the debugger"),
        (b'{"kind": "replica", "format": 2, "writers": {}, "more": 1}', "run newer code"),
        (LINE, "it is no replica"),
        (b'{"kind": "replica", "format": 1, "writers": {"w": [0, ""]}}', "from 1 on, got 0 of writer 'w'"),
    ],
)
def test_a_text_that_is_no_summary_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        Summary.decode(text)
