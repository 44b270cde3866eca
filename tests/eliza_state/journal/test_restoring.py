"""What the journal knows of restores: where they are, where they lead, and what a scope last was told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from eliza_state.event import RESTORE
from eliza_state.ids import UuidFactory, decode_id
from eliza_state.journal import Draft, Journal
from eliza_state.journal.contract import Conflict
from eliza_state.journal.lineage import stretches
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import OTHER, ROOM, TALK, Drafts, open_sql

next_id = UuidFactory()


def restoring(draft: Drafts, path: Path, to: Draft | None, **told: Any) -> Draft:
    """A record that leads back to another one."""
    named = {} if to is None else {"record": decode_id(to.key), "below": _below(path, to.path)}
    content = msgspec.json.encode({"position": 1, **named, **told})
    return draft(path, event=RESTORE, content=content)


def _below(path: Path, other: Path) -> str:
    return Path(other.steps[len(path.steps) :]).encode()


def way(journal: Journal, path: Path, until: int) -> list[tuple[int, int]]:
    return [tuple(stretch) for stretch in stretches(journal, path, until=until)]


@pytest.fixture
def filled(journal: Journal, draft: Drafts) -> Journal:
    """Six records, then the talk led back to the second, one more, and the room led back to the third."""
    said = [*draft.some(3), draft(OTHER), *draft.some(2)]
    journal.append(said, after=0)
    journal.append([restoring(draft, TALK, said[1], last_event="said")], after=6)
    journal.append([draft()], after=7)
    journal.append([restoring(draft, ROOM, said[2])], after=8)
    return journal


def test_the_last_one_up_to_a_position_is_found(filled: Journal) -> None:
    found = [filled.restored_at(TALK, until=until) for until in (6, 7, 9)]

    assert [None, (7, 2, "said"), (7, 2, "said")] == found
    assert (9, 3, "") == filled.restored_at(ROOM, until=9)
    assert filled.restored_at(OTHER, until=9) is None
    assert filled.restored_at(ROOM.child("conversation", "none"), until=9) is None


def test_the_records_that_make_a_state_lie_in_stretches(filled: Journal) -> None:
    assert [(7, 9), (0, 2)] == way(filled, TALK, 9)
    assert [(0, 6)] == way(filled, TALK, 6)
    assert [(9, 9), (0, 3)] == way(filled, ROOM, 9)


def test_all_are_listed_in_order(filled: Journal) -> None:
    assert [7, 9] == [record.position for record in filled.restores(after=0, until=9)]
    assert [9] == [record.position for record in filled.restores(after=7, until=9)]
    assert [] == filled.restores(after=7, until=8)


def test_one_may_lead_behind_another(journal: Journal, draft: Drafts) -> None:
    said = draft.some(2)
    journal.append(said, after=0)
    journal.append([restoring(draft, TALK, said[0])], after=2)
    after = draft()
    journal.append([after], after=3)
    journal.append([restoring(draft, TALK, after)], after=4)

    assert [(5, 5), (3, 4), (0, 1)] == way(journal, TALK, 5)


def test_one_to_the_beginning_leads_there(journal: Journal, draft: Drafts) -> None:
    journal.append(draft.some(2), after=0)
    journal.append([restoring(draft, TALK, None)], after=2)

    assert [(3, 3), (0, 0)] == way(journal, TALK, 3)
    assert (3, "") == (journal.facts(TALK, until=3).version, journal.facts(TALK, until=3).last_event)


def test_the_last_event_is_that_of_then(filled: Journal) -> None:
    assert (5 + 1, "said") == (filled.facts(TALK, until=7).version, filled.facts(TALK, until=7).last_event)


def test_one_in_the_same_batch_as_what_it_leads_to(journal: Journal, draft: Drafts) -> None:
    said = draft.some(2)
    journal.append([*said, restoring(draft, TALK, said[0])], after=0)

    assert (3, 1, "") == journal.restored_at(TALK, until=3)


MALFORMED = {
    "no JSON": b"{",
    "no text": b'{"position": 1, "record": 7}',
    "no such record": b'{"position": 1, "record": "none"}',
    "no path": b'{"position": 1, "record": "none", "below": "x"}',
    "erased": b"",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_what_makes_no_sense_is_passed_over(filled: Journal, draft: Drafts, content: bytes) -> None:
    filled.append([draft(TALK, event=RESTORE, content=content)], after=9)

    assert (7, 2, "said") == filled.restored_at(TALK, until=10)
    assert "said" == filled.facts(TALK, until=10).last_event


def test_what_leads_to_itself_or_on_is_passed_over(journal: Journal, draft: Drafts) -> None:
    journal.append(draft.some(1), after=0)
    ahead = draft(TALK)._replace(version=3)
    itself = restoring(draft, TALK, ahead)._replace(version=2)
    journal.append([itself, ahead], after=1)

    assert journal.restored_at(TALK, until=3) is None


def test_one_of_a_newer_schema_version_is_passed_over(journal: Journal, draft: Drafts) -> None:
    journal.append(draft.some(1), after=0)
    journal.append([restoring(draft, TALK, None)._replace(schema_version=2)], after=1)

    assert journal.restored_at(TALK, until=2) is None


def test_a_damaged_one_is_passed_over(open_journal: Any, draft: Drafts) -> None:
    journal = open_journal()
    journal.append(draft.some(2), after=0)
    journal.append([restoring(draft, TALK, None), restoring(draft, TALK, None)], after=2)
    damage(journal)

    assert (3, 0, "") == journal.restored_at(TALK, until=4)


def damage(journal: Any) -> None:
    with journal._database.writing("damage") as connection:
        connection.exec_driver_sql("UPDATE record SET checksum = checksum + 1 WHERE position = 4")


@pytest.fixture
def others(tmp_path: Any, draft: Drafts) -> Iterator[tuple[Journal, Journal]]:
    one, other = open_sql(tmp_path / "state.db"), open_sql(tmp_path / "state.db", writer="there")
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize(
    ("guarded", "is_refused"), [(ROOM, True), (OTHER, True), (TALK, False), (Path(), True), (None, False)]
)
def test_what_others_wrote_below_a_guarded_path_is_a_conflict(
    others: tuple[Journal, Journal], draft: Drafts, guarded: Path | None, is_refused: bool
) -> None:
    one, other = others
    one.append(draft.some(1, ROOM), after=0)
    other.append(draft.some(1, OTHER), after=1)

    try:
        one.append(draft.some(1, ROOM), after=1, guarded=guarded)
    except Conflict as conflict:
        refused = [record.path for record in conflict.missed]
    else:
        refused = []

    assert ([OTHER] if is_refused else []) == refused
    assert (2 if is_refused else 3) == one.head()
