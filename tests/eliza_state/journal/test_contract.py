"""What every journal promises, in memory and in SQLite alike."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.change import Record
from eliza_state.ids import decode_id, encode_id
from eliza_state.journal import Appended, Draft, Journal, MemoryJournal, ScopeFacts, sql
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.journal.conftest import (
    AGENT,
    OTHER,
    ROOM,
    STRANGER,
    TALK,
    Clock,
    Drafts,
    open_sql,
)


def positions(records: Iterator[Record]) -> list[int]:
    return [record.position for record in records]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_PAGE_ROWS", 3)


# Appending


def test_positions_follow_one_another_from_1(journal: Journal, draft: Drafts) -> None:
    first = journal.append([draft(), draft(OTHER)], after=0)
    second = journal.append([draft()], after=2)

    assert (1, 3, 3) == (first.first_position, second.first_position, journal.head())
    assert [1, 2, 3] == positions(journal.read(Path()))


def test_an_empty_journal_has_nothing(journal: Journal) -> None:
    assert 0 == journal.head()
    assert [] == list(journal.read(Path()))
    assert [] == list(journal.read(TALK))
    assert [] == journal.children(Path())
    assert 0 == journal.position_at(10**15)
    assert ScopeFacts() == journal.facts(Path(), until=9)
    assert not journal.knows(Path())
    assert not journal.knows(TALK)


def test_a_record_comes_back_as_it_was_drafted(journal: Journal, draft: Drafts, clock: Clock) -> None:
    wanted = draft(event="shouted", schema_version=7, content=b'{"text":"hey"}', cause="because")

    journal.append([wanted], after=0)

    expected = Record(1, wanted.key, TALK, 1, "shouted", 7, wanted.content, clock.now_us, "here", "because")
    assert [expected] == list(journal.read(Path()))
    assert expected == journal.find(TALK, wanted.key)


def test_one_name_in_two_schema_versions_stays_two(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(schema_version=1), draft(schema_version=2)], after=0)

    assert [1, 2] == [record.schema_version for record in journal.read(TALK)]


@pytest.mark.parametrize("cause", [None, "", "ä €\0🙂", "x" * 5_000])
def test_a_cause_may_be_any_text_or_none(journal: Journal, draft: Drafts, cause: str | None) -> None:
    journal.append([draft(cause=cause)], after=0)

    assert [cause] == [record.cause for record in journal.read(TALK)]


def test_a_payload_may_be_large(journal: Journal, draft: Drafts) -> None:
    large = bytes(range(256)) * 20_000

    journal.append([draft(content=large), draft(content=b"")], after=0)

    assert [large, b""] == [record.content for record in journal.read(TALK)]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120), min_size=1, max_size=6
    )
)
@settings(max_examples=examples(40))
def test_ids_names_and_texts_may_be_any_unicode(texts: list[str]) -> None:
    path = Path(tuple(("room", text) for text in texts))
    for journal in fresh_journals():
        wanted = Draft(encode_id(texts[0]), path, 1, texts[-1], 1, texts[0].encode(), texts[0])

        journal.append([wanted], after=0)

        found = journal.find(path, wanted.key)
        assert found is not None
        assert (texts[0], path, texts[-1], texts[0]) == (found.id, found.path, found.event, found.cause)


@pytest.mark.parametrize("length", [1, 14, 15, 16, 17, 36, 500])
def test_an_id_of_any_length_finds_its_record(journal: Journal, draft: Drafts, length: int) -> None:
    keys = [encode_id("a" * length), encode_id("a" * (length - 1) + "b")]
    journal.append([draft(key=keys[0]), draft(), draft(key=keys[1])], after=0)

    found = [journal.find(TALK, key) for key in keys]

    assert [1, 3] == [record.position for record in found if record is not None]
    assert ["a" * length, "a" * (length - 1) + "b"] == [decode_id(key) for key in keys]


def test_an_id_belongs_to_exactly_one_path(journal: Journal, draft: Drafts) -> None:
    key = encode_id("same")
    journal.append([draft(TALK, key=key), draft(OTHER, key=key), draft(key=encode_id("another"))], after=0)

    paths = (TALK, OTHER, ROOM, STRANGER, Path())
    found = [journal.find(path, key) for path in paths]

    assert [1, 2, None, None, None] == [record and record.position for record in found]
    assert found == journal.find_all([(path, key) for path in paths])
    assert journal.find(TALK, encode_id("unheard of")) is None


# Time


def test_recorded_at_never_decreases_when_the_clock_jumps_back(
    journal: Journal, draft: Drafts, clock: Clock
) -> None:
    clock.now_us = 500
    journal.append([draft()], after=0)
    clock.now_us = 300
    held = journal.append([draft()], after=1)
    clock.now_us = 600
    journal.append([draft()], after=2)

    assert 500 == held.recorded_at_us
    assert [500, 500, 600] == [record.recorded_at_us for record in journal.read(Path())]


def test_a_draft_may_bring_its_time_but_not_an_earlier_one(
    journal: Journal, draft: Drafts, clock: Clock
) -> None:
    clock.now_us = 900
    journal.append([draft(recorded_at_us=500), draft(recorded_at_us=400)], after=0)
    landed = journal.append([draft(recorded_at_us=450), draft(recorded_at_us=700)], after=2)

    assert 700 == landed.recorded_at_us
    assert [500, 500, 500, 700] == [record.recorded_at_us for record in journal.read(Path())]


@pytest.mark.parametrize(
    ("at_us", "position"), [(0, 0), (99, 0), (100, 2), (199, 2), (200, 5), (201, 5), (10**17, 5)]
)
def test_position_at_finds_the_last_record_of_a_time(
    journal: Journal, draft: Drafts, clock: Clock, at_us: int, position: int
) -> None:
    clock.now_us = 100
    journal.append([draft(), draft()], after=0)
    clock.now_us = 200
    journal.append([draft(), draft()], after=2)
    clock.now_us = 150
    journal.append([draft()], after=4)

    assert position == journal.position_at(at_us)


# Reading


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("path", [Path(), AGENT, ROOM, TALK])
def test_reading_takes_a_part_in_either_direction(journal: Journal, draft: Drafts, path: Path) -> None:
    journal.append(draft.some(10), after=0)

    assert [4, 5, 6, 7] == positions(journal.read(path, after=3, until=7))
    assert [7, 6, 5, 4] == positions(journal.read(path, after=3, until=7, newest_first=True))
    assert [10, 9] == positions(journal.read(path, newest_first=True, limit=2))
    assert [3, 4, 5, 6, 7] == positions(journal.read(path, after=2, limit=5))
    assert [] == positions(journal.read(path, limit=0))
    assert [] == positions(journal.read(path, after=10))
    assert [] == positions(journal.read(path, after=7, until=3))
    assert [9, 10] == positions(journal.read(path, after=8, until=99))


@pytest.mark.parametrize("count", [999, 1_000, 1_001, 2_000])
def test_reading_crosses_the_borders_of_pages(journal: Journal, draft: Drafts, count: int) -> None:
    journal.append([draft(path) for path in itertools.islice(itertools.cycle((TALK, OTHER)), count)], after=0)

    expected = list(range(1, count + 1))
    assert expected == positions(journal.read(Path()))
    assert expected == positions(journal.read(ROOM))
    assert expected[::-1] == positions(journal.read(ROOM, newest_first=True))
    assert expected[::2] == positions(journal.read(TALK))


def test_a_scope_sees_its_own_records_and_those_below_it(journal: Journal, draft: Drafts) -> None:
    addressed = (Path(), AGENT, TALK, STRANGER, OTHER, ROOM, TALK, AGENT, Path())
    journal.append([draft(path) for path in addressed], after=0)

    assert [1, 2, 3, 4, 5, 6, 7, 8, 9] == positions(journal.read(Path()))
    assert [2, 3, 5, 6, 7, 8] == positions(journal.read(AGENT))
    assert [3, 5, 6, 7] == positions(journal.read(ROOM))
    assert [3, 7] == positions(journal.read(TALK))
    assert [4] == positions(journal.read(STRANGER))
    assert [] == positions(journal.read(TALK.child("message", "m")))


def test_a_path_is_not_above_one_whose_text_it_begins(journal: Journal, draft: Drafts) -> None:
    one, ten = ROOM.child("conversation", "1"), ROOM.child("conversation", "10")
    slashed = ROOM.child("conversation", "1/message:m")
    journal.append([draft(ten), draft(slashed), draft(one.child("message", "m"))], after=0)

    assert [3] == positions(journal.read(one))
    assert [1] == positions(journal.read(ten))
    assert not journal.knows(ROOM.child("conversation", "1/message"))


def test_levels_may_be_any_and_paths_deep(journal: Journal, draft: Drafts) -> None:
    deep = Path(tuple((f"level_{depth}", str(depth)) for depth in range(40)))
    journal.append([draft(deep), draft(Path(deep.steps[:20]))], after=0)

    assert [1, 2] == positions(journal.read(Path(deep.steps[:20])))
    assert [1] == positions(journal.read(Path(deep.steps[:21])))
    assert [deep] == [record.path for record in journal.read(deep)]


def test_a_path_is_known_when_it_or_one_below_has_records(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(TALK)], after=0)

    known = [path for path in (Path(), AGENT, ROOM, TALK, OTHER, STRANGER) if journal.knows(path)]
    assert [Path(), AGENT, ROOM, TALK] == known


def test_children_come_oldest_first(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(OTHER), draft(STRANGER)], after=0)
    journal.append([draft(TALK), draft(OTHER)], after=2)

    assert [AGENT, STRANGER] == journal.children(Path())
    assert [OTHER, TALK] == journal.children(ROOM)
    assert [] == journal.children(TALK)
    assert [] == journal.children(TALK.child("message", "m"))


def test_facts_are_those_of_the_position_asked_for(journal: Journal, draft: Drafts, clock: Clock) -> None:
    clock.now_us = 10
    journal.append([draft(ROOM, event="opened"), draft(TALK)], after=0)
    clock.now_us = 20
    journal.append([draft(ROOM, event="closed"), draft(STRANGER)], after=2)

    assert ScopeFacts() == journal.facts(ROOM, until=0)
    assert ScopeFacts(1, 1, 10, "opened") == journal.facts(ROOM, until=1)
    assert ScopeFacts(1, 2, 10, "opened") == journal.facts(ROOM, until=2)
    assert ScopeFacts(2, 3, 20, "closed") == journal.facts(ROOM, until=3)
    assert ScopeFacts(2, 3, 20, "closed") == journal.facts(ROOM, until=99)
    assert ScopeFacts(0, 3, 20, "") == journal.facts(AGENT, until=4)
    assert ScopeFacts(0, 4, 20, "") == journal.facts(Path(), until=4)
    assert ScopeFacts() == journal.facts(OTHER, until=4)


def test_what_is_read_later_does_not_disturb_what_is_being_read(journal: Journal, draft: Drafts) -> None:
    journal.append(draft.some(3), after=0)
    under_way = journal.read(TALK, until=3)
    first = next(under_way)

    journal.append(draft.some(3), after=3)

    assert [1, 2, 3] == [first.position, *positions(under_way)]


def test_maintaining_an_idle_journal_changes_nothing(journal: Journal, draft: Drafts) -> None:
    journal.append(draft.some(3), after=0)

    journal.maintain()

    assert not journal.wants_maintenance
    assert [1, 2, 3] == positions(journal.read(Path()))


def test_closing_twice_does_nothing(journal: Journal) -> None:
    journal.close()
    journal.close()


# Against a plain list


@attrs.define
class Model:
    """A journal that is nothing but a list of records."""

    records: list[Record] = attrs.field(factory=list[Record])

    def read(
        self,
        path: Path,
        *,
        after: int = 0,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Record]:
        last = len(self.records) if until is None else until
        found = [record for record in self.records if after < record.position <= last]
        found = [record for record in found if record.path == path or record.path.is_below(path)]
        return (found[::-1] if newest_first else found)[:limit]

    def facts(self, path: Path, *, until: int) -> ScopeFacts:
        known = self.read(path, until=until)
        if not known:
            return ScopeFacts()
        own = [record for record in known if record.path == path]
        version, event = (own[-1].version, own[-1].event) if own else (0, "")
        return ScopeFacts(version, known[-1].position, known[-1].recorded_at_us, event)

    def children(self, path: Path) -> list[Path]:
        depth = len(path.steps)
        below = [record.path for record in self.read(path) if record.path != path]
        return list(dict.fromkeys(Path(found.steps[: depth + 1]) for found in below))

    def position_at(self, at_us: int) -> int:
        return sum(record.recorded_at_us <= at_us for record in self.records)


PATHS = [
    Path(),
    AGENT,
    STRANGER,
    ROOM,
    TALK,
    OTHER,
    TALK.child("message", "1"),
    TALK.child("message", "10"),
    AGENT.child("user", "1/2:3%"),
    Path((("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "x"), ("f", "x"))),
    Path((("a", "x"), ("b", "x"))),
]

batches = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.lists(
            st.tuples(st.sampled_from(PATHS), st.sampled_from(["said", "done"]), st.integers(0, 40)),
            min_size=1,
            max_size=8,
        ),
    ),
    max_size=12,
)
queries = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(PATHS),
            "after": st.integers(0, 60),
            "until": st.none() | st.integers(0, 60),
            "newest_first": st.booleans(),
            "limit": st.none() | st.integers(0, 20),
        }
    ),
    min_size=1,
    max_size=12,
)


def fresh_journals(clock: Clock | None = None) -> Iterator[Journal]:
    """Empty journals of each kind, for tests that need new ones for each example."""
    clock = clock or Clock()
    yield MemoryJournal(writer="here", clock=clock)
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(open_sql(FilePath(folder) / "state.db", clock=clock)) as opened,
    ):
        yield opened


def fill(journal: Journal, clock: Clock, script: Sequence[tuple[int, Sequence[Any]]]) -> Model:
    """Write a script of batches into a journal and return what it should hold."""
    model, draft, recorded_at_us = Model(), Drafts(), 0
    for now_us, entries in script:
        clock.now_us = now_us
        drafts = [draft(path, event=event, recorded_at_us=at_us) for path, event, at_us in entries]
        head = len(model.records)
        for position, made in enumerate(drafts, head + 1):
            recorded_at_us = max(recorded_at_us, made.recorded_at_us or now_us)
            fields = (made.version, made.event, made.schema_version, made.content)
            model.records.append(Record(position, made.key, made.path, *fields, recorded_at_us, "here", None))

        assert Appended(head + 1, recorded_at_us) == journal.append(drafts, after=head)
    return model


@given(script=batches, asked=queries)
@settings(max_examples=examples(60))
@pytest.mark.usefixtures("small_pages")
def test_every_way_of_reading_agrees_with_a_plain_list(script: Any, asked: list[dict[str, Any]]) -> None:
    clock = Clock()
    for journal in fresh_journals(clock):
        model = fill(journal, clock, script)

        assert len(model.records) == journal.head()
        for query in asked:
            assert model.read(**query) == list(journal.read(**query))
            path, until = query["path"], query["after"]
            assert model.facts(path, until=until) == journal.facts(path, until=until)
            assert model.children(path) == journal.children(path)
            assert bool(model.read(path)) == journal.knows(path)
            assert model.position_at(until) == journal.position_at(until)
        for record in model.records:
            assert record == journal.find(record.path, record.key)
