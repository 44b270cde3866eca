"""A journal with an archive answers as one without, whatever was archived, restored and erased when."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections import Counter
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eliza_state.event import RESTORE
from eliza_state.ids import decode_id
from eliza_state.journal import Draft
from eliza_state.journal.archive import blocks, merging, storing
from eliza_state.journal.contract import InArchive
from eliza_state.journal.sql import SqlJournal
from eliza_state.path import Path
from tests.effort import examples
from tests.eliza_state.journal.archive.moving import open_with_archive, restore, store
from tests.eliza_state.journal.conftest import AGENT, OTHER, ROOM, STRANGER, TALK, Clock

MESSAGE = TALK.child("message", "m1")
PATHS = [Path(), AGENT, ROOM, TALK, OTHER, MESSAGE, STRANGER]
SCOPES = [AGENT, ROOM, TALK, OTHER, MESSAGE, STRANGER]


class Twins(RuleBasedStateMachine):
    """Two journals that take the same records; one of them archives."""

    @initialize()
    def open(self) -> None:
        self.stack = contextlib.ExitStack()
        folder = FilePath(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.clock = Clock()
        self.ours = open_with_archive(folder / "ours.db", clock=self.clock)
        self.twin = open_with_archive(folder / "twin.db", clock=self.clock)
        for journal in (self.ours, self.twin):
            self.stack.callback(journal.close)
            numbers = itertools.count(1)
            journal._next_id = lambda numbers=numbers: next(numbers).to_bytes(16, "big")
        self.versions: Counter[Path] = Counter()
        self.ids: list[tuple[Path, bytes]] = []

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    @property
    def both(self) -> tuple[SqlJournal, SqlJournal]:
        return self.ours, self.twin

    @rule(paths=st.lists(st.sampled_from(PATHS), min_size=1, max_size=5), pause_us=st.integers(0, 2))
    def append(self, paths: list[Path], pause_us: int) -> None:
        self.clock.now_us += pause_us
        versions = self.versions.copy()
        drafts = [self._draft(path, versions) for path in paths]
        if any(self.ours.archived_scope(path) for path in paths):
            with pytest.raises(InArchive):
                self.ours.append(drafts, after=self.ours.head())
            return
        appended = [journal.append(drafts, after=journal.head()) for journal in self.both]
        assert appended[0] == appended[1]
        self.versions = versions
        self.ids += [(draft.path, draft.key) for draft in drafts]

    def _draft(self, path: Path, versions: Counter[Path]) -> Draft:
        versions[path] += 1
        content = b'{"number":%d}' % versions[path]
        return Draft(f"{path}-{versions[path]}".encode(), path, versions[path], "said", 1, content)

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def restore_to_the_past(self, data: st.DataObject) -> None:
        path, key = data.draw(st.sampled_from(self.ids))
        if self.ours.archived_scope(path) is not None:
            return
        told = b'{"position":1,"record":"%b","last_event":"then"}' % decode_id(key).encode()
        draft = self._draft(path, self.versions)._replace(event=RESTORE, content=told)
        for journal in self.both:
            journal.append([draft], after=journal.head())

    @rule(paths=st.lists(st.sampled_from(SCOPES), min_size=1, max_size=3), clear=st.booleans())
    def archive(self, paths: list[Path], clear: bool) -> None:
        highest = [path for path in dict.fromkeys(paths) if not any(map(path.is_below, paths))]
        assert [] == store(self.ours, *highest, clear=clear)

    @rule(path=st.sampled_from(PATHS))
    def bring_back(self, path: Path) -> None:
        restore(self.ours, path)
        if path.steps:
            assert self.ours.archived_scope(path) is None

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        head = self.twin.head()
        positions = data.draw(st.lists(st.integers(1, head), max_size=4, unique=True))
        wanted = [p for p in positions if self._is_erasable(p)]
        told = [journal.erase(wanted, until=head) for journal in self.both]
        assert told[0][:2] == told[1][:2]
        assert set(told[0].paths) == set(told[1].paths)
        self.versions.update(told[1].paths)

    def _is_erasable(self, position: int) -> bool:
        (record,) = self.twin.read(Path(), after=position - 1, until=position)
        return record.event == "said"

    @rule()
    def expunge(self) -> None:
        assert self.ours.expunge()

    @rule(path=st.sampled_from(PATHS), data=st.data(), newest_first=st.booleans())
    def read_a_part(self, path: Path, data: st.DataObject, newest_first: bool) -> None:
        places = st.integers(0, self.twin.head())
        options = {
            "after": data.draw(places),
            "until": data.draw(places),
            "newest_first": newest_first,
            "limit": data.draw(st.none() | st.integers(0, 5)),
        }
        ours, twin = (list(journal.read(path, **options)) for journal in self.both)
        assert twin == ours

    @rule(path=st.sampled_from(PATHS), data=st.data())
    def ask(self, path: Path, data: st.DataObject) -> None:
        until = data.draw(st.integers(0, self.twin.head()))
        at_us = data.draw(st.integers(self.clock.now_us - 30, self.clock.now_us + 1))
        for question in (
            lambda journal: journal.facts(path, until=until),
            lambda journal: journal.restored_at(path, until=until),
            lambda journal: journal.restores(after=0, until=until),
            lambda journal: journal.position_at(at_us),
            lambda journal: journal.knows(path),
        ):
            assert question(self.twin) == question(self.ours)

    @invariant()
    def answers_are_the_same(self) -> None:
        if not hasattr(self, "ours"):
            return
        assert answers(self.twin, self.ids) == answers(self.ours, self.ids)


def answers(journal: SqlJournal, ids: list[tuple[Path, bytes]]) -> Any:
    head = journal.head()
    return (
        head,
        list(journal.read(Path())),
        [(journal.facts(path, until=head), journal.erased_at(path)) for path in PATHS],
        [set(journal.children(path)) for path in PATHS],
        journal.find_all([*ids, (TALK, b"unheard of")]),
    )


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and steps of a few records: what takes thousands elsewhere happens here."""
    monkeypatch.setattr(storing, "BLOCK_RECORDS", 3)
    monkeypatch.setattr(storing, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(merging, "_FIRST_SPAN", 2)
    monkeypatch.setattr(merging, "KEPT_RECORDS", 4)
    monkeypatch.setattr(blocks, "KEPT_RECORDS", 4)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=examples(10), stateful_step_count=15)
