"""What the journal in memory does otherwise than the others."""

from __future__ import annotations

from eliza_state.journal import MemoryJournal
from eliza_state.path import Path
from tests.eliza_state.journal.conftest import Clock, Drafts


def test_it_is_not_durable_and_each_has_its_own_epoch(clock: Clock) -> None:
    one, another = MemoryJournal(writer="here", clock=clock), MemoryJournal(writer="here", clock=clock)

    assert not one.durable
    assert one.epoch != another.epoch


def test_it_keeps_the_content_as_it_is(clock: Clock, draft: Drafts) -> None:
    journal, content = MemoryJournal(writer="here", clock=clock), object()

    journal.append([draft(content=content)], after=0)

    assert content is next(journal.read(Path())).content


def test_its_records_stay_readable_after_closing(clock: Clock, draft: Drafts) -> None:
    journal = MemoryJournal(writer="here", clock=clock)
    journal.append([draft()], after=0)

    journal.close()

    assert 1 == len(list(journal.read(Path())))
