"""Records lose their content for good and keep their place, in memory and in SQLite alike."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path as FilePath

import msgspec
import pytest

from eliza_state.errors import Busy, StoreError
from eliza_state.event import ERASURE, ScopeErased
from eliza_state.journal import Erasure, Journal, ScopeFacts, Wiped
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import AGENT, OTHER, ROOM, STRANGER, TALK, Drafts, open_sql

OpenSql = Callable[..., SqlJournal]


def told(journal: Journal, path: Path) -> list[ScopeErased]:
    """Return what the journal says of erasures at exactly this path."""
    contents = [
        record.content for record in journal.read(path) if record.path == path and record.event == ERASURE
    ]
    return [
        msgspec.json.decode(content, type=ScopeErased) if isinstance(content, bytes) else content
        for content in contents
    ]


def test_an_erased_record_keeps_everything_but_its_content(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(cause="because"), draft()], after=0)
    before = list(journal.read(TALK))

    journal.erase([1], until=2)

    after = list(journal.read(TALK, until=2))
    assert [before[0]._replace(content=b""), before[1]] == after
    assert [True, False] == [record.is_erased for record in after]
    assert after[0] == journal.find(TALK, before[0].key)


def test_each_scope_that_lost_records_gets_one_that_says_so(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(), draft(OTHER), draft(event="shouted"), draft(ROOM)], after=0)

    wiped = journal.erase([1, 2, 3], until=4)

    assert {TALK, OTHER} == set(wiped.paths)
    assert [ScopeErased(until=4, count=2, events=("said", "shouted"))] == told(journal, TALK)
    assert [ScopeErased(until=4, count=1, events=("said",))] == told(journal, OTHER)
    assert [] == told(journal, ROOM)
    assert 6 == journal.head()


def test_the_record_of_an_erasure_counts_on_in_its_scope(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(), draft(), draft(OTHER)], after=0)

    journal.erase([1, 2], until=3)

    assert [1, 2, 3] == [record.version for record in journal.read(TALK)]
    assert [2, 3] == [journal.facts(TALK, until=until).version for until in (3, 4)]


def test_an_erasure_is_no_scopes_last_event(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(), draft(event="closed")], after=0)
    journal.erase([1], until=2)
    journal.erase([2], until=3)

    facts = journal.facts(TALK, until=9)
    assert (4, 4, "closed") == (facts.version, facts.last_position, facts.last_event)


def test_a_scope_with_nothing_but_an_erasure_has_no_last_event(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(event=ERASURE)], after=0)

    facts = journal.facts(TALK, until=9)
    assert (1, "") == (facts.version, facts.last_event)


def test_what_is_erased_is_not_erased_again(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(), draft()], after=0)
    journal.erase([1], until=2)

    wiped = [journal.erase([1, 2], until=2).records for _ in range(2)]

    assert [1, 0] == wiped
    assert 4 == journal.head()


def test_a_scope_knows_the_last_erasure_at_it_or_below_it(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(), draft(OTHER), draft(STRANGER), draft(AGENT)], after=0)
    before = [journal.erased_at(path) for path in (Path(), TALK)]
    journal.erase([1], until=4)
    journal.erase([2], until=4)

    paths = (Path(), AGENT, ROOM, TALK, OTHER, STRANGER, ROOM.child("conversation", "unheard of"))
    assert [0, 0] == before
    assert [6, 6, 6, 5, 6, 0, 0] == [journal.erased_at(path) for path in paths]


def test_an_erasure_at_the_root_is_known_there(journal: Journal, draft: Drafts) -> None:
    journal.append([draft(Path()), draft()], after=0)

    journal.erase([1], until=2)

    assert [3, 0] == [journal.erased_at(path) for path in (Path(), TALK)]


# In SQLite


def test_the_size_is_that_of_the_content(sql: SqlJournal, draft: Drafts) -> None:
    sql.append([draft(content=b"x" * 1_000), draft(content=b"y" * 500)], after=0)

    assert Wiped(2, 1_500, [TALK]) == sql.erase([1, 2], until=2)


def test_erased_records_are_whole_when_the_journal_is_opened_again(
    open_journal: OpenSql, draft: Drafts
) -> None:
    journal = open_journal()
    journal.append(draft.some(3), after=0)
    journal.erase([2], until=3)
    journal.close()

    records = list(open_journal().read(TALK))
    assert ["said", "said", "said", ERASURE] == [record.event for record in records]
    assert [False, True, False, False] == [record.is_erased for record in records]


def test_a_damaged_record_loses_its_content_and_stays_damaged(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection
) -> None:
    sql.append(draft.some(2), after=0)
    bare.execute("UPDATE record SET payload = 'else' WHERE position = 1")

    sql.erase([1], until=2)

    first, *_ = sql.read(TALK)
    assert ("", True) == (first.event, first.is_erased)
    assert [ScopeErased(until=2, count=1)] == told(sql, TALK)


def test_erasures_are_unsettled_until_that_is_noted(open_journal: OpenSql, draft: Drafts) -> None:
    journal = open_journal()
    journal.append([draft(), draft(OTHER)], after=0)
    journal.erase([1], until=2)
    first = journal.unsettled_erasures()
    journal.erase([2], until=3)
    journal.settle_erasures(first)
    journal.close()

    assert {Erasure(path, 3) for path in (Path(), AGENT, ROOM, TALK)} == set(first)
    left = open_journal().unsettled_erasures()
    assert {Erasure(path, 4) for path in (Path(), AGENT, ROOM, OTHER)} == set(left)


def test_a_journal_from_before_there_were_erasures_learns_of_them(
    open_journal: OpenSql, draft: Drafts, bare: sqlite3.Connection
) -> None:
    journal = open_journal()
    journal.append([draft()], after=0)
    journal.close()
    bare.executescript("DROP TABLE erasure; UPDATE meta SET value = '2' WHERE name = 'schema_version'")

    journal = open_journal()
    journal.erase([1], until=1)

    assert 2 == journal.erased_at(TALK)


@pytest.mark.parametrize("seed", range(3))
def test_no_file_holds_what_was_erased(file: FilePath, draft: Drafts, seed: int) -> None:
    chance = random.Random(seed)
    there: dict[int, bytes] = {}
    gone: set[bytes] = set()
    with contextlib.closing(open_sql(file)) as journal:
        for number in range(60):
            words = [b"WORD%08d!" % chance.randrange(10**8) for _ in range(chance.randint(1, 20))]
            drafts = [
                draft(chance.choice([TALK, OTHER]), content=word * chance.choice([1, 5, 100, 2_000]))
                for word in words
            ]
            landed = journal.append(drafts, after=journal.head())
            there.update(enumerate(words, landed.first_position))
            if number % 10 == 9:
                chosen = chance.sample(sorted(there), len(there) // 2)
                journal.erase(chosen, until=journal.head())
                gone.update(there.pop(position) for position in chosen)
                for path in (TALK, OTHER):
                    draft._versions[path] = journal.facts(path, until=journal.head()).version

        assert journal.expunge()
        held = b"".join(part.read_bytes() for part in file.parent.iterdir())
        assert set(there.values()) == set(re.findall(rb"WORD\d{8}!", held))
        assert gone


def test_the_log_stays_while_somebody_reads_what_was_there_before(
    sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection, file: FilePath
) -> None:
    sql.append([draft(content=b"a planted word")], after=0)
    bare.execute("BEGIN")
    bare.execute("SELECT * FROM record").fetchall()
    sql.erase([1], until=1)

    assert not sql.expunge()
    bare.execute("COMMIT")
    assert sql.expunge()
    assert not any(b"a planted word" in part.read_bytes() for part in file.parent.iterdir())


def test_a_locked_store_erases_nothing(sql: SqlJournal, draft: Drafts, bare: sqlite3.Connection) -> None:
    sql.append([draft()], after=0)
    bare.execute("BEGIN IMMEDIATE")

    with pytest.raises(Busy):
        sql.erase([1], until=1)

    bare.execute("ROLLBACK")
    assert not next(sql.read(TALK)).is_erased
    assert 1 == sql.head()


def test_a_journal_that_is_only_read_erases_nothing(open_journal: OpenSql, draft: Drafts) -> None:
    open_journal().append([draft()], after=0)
    reader = open_journal(read_only=True)

    with pytest.raises(StoreError, match="read only"):
        reader.erase([1], until=1)
    with pytest.raises(StoreError, match="read only"):
        reader.expunge()
    assert [] == reader.unsettled_erasures()
    assert ScopeFacts(1, 1, next(reader.read(TALK)).recorded_at_us, "said") == reader.facts(TALK, until=1)
