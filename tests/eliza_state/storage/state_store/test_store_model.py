"""The state of an agent does what a dictionary does, whatever is done to it."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from eliza_state.storage.state_store.persistence import StatePersistence
from eliza_state.storage.state_store.store import StateStore
from tests.effort import examples
from tests.eliza_state.storage.state_store.opening import HOUR_MS, KEYS

keys = st.sampled_from(KEYS)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=5,
)


class AgainstDictionary(RuleBasedStateMachine):
    """The store does what a dictionary does, and is the same when it is opened again."""

    kind = "file"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model: dict[str, Any] = {}
        self.open()

    def open(self) -> None:
        place = FilePath(self.folder.name, "state")
        chosen = StatePersistence(enabled=True, type=self.kind, path=place, flush_interval_ms=HOUR_MS)  # type: ignore[arg-type]
        self.state = StateStore.open(chosen, database=f"sqlite:///{place}")

    @rule(key=keys, value=values)
    def set(self, key: str, value: Any) -> None:
        self.state.set(key, value)
        self.model[key] = value

    @rule(key=keys)
    def delete(self, key: str) -> None:
        assert (key in self.model) == self.state.delete(key)
        self.model.pop(key, None)

    @rule(new=st.dictionaries(keys, values, max_size=4))
    def update(self, new: dict[str, Any]) -> None:
        self.state.update(new)
        self.model.update(new)

    @rule(key=keys, value=values)
    def setdefault(self, key: str, value: Any) -> None:
        assert self.model.setdefault(key, value) == self.state.setdefault(key, value)

    @rule(key=keys)
    def pop(self, key: str) -> None:
        assert self.model.pop(key, "default") == self.state.pop(key, "default")

    @rule()
    def clear(self) -> None:
        self.state.clear()
        self.model.clear()

    @rule()
    def flush(self) -> None:
        self.state.flush()
        assert 0 == self.state.pending

    @rule()
    def reopen(self) -> None:
        self.state.close()
        self.open()

    @invariant()
    def is_equal(self) -> None:
        assert self.model == dict(self.state)
        assert () == self.state.problems

    def teardown(self) -> None:
        self.state.close()
        self.folder.cleanup()


class AgainstDictionaryInTable(AgainstDictionary):
    kind = "database"


TestAgainstDictionary = AgainstDictionary.TestCase
TestAgainstDictionaryInTable = AgainstDictionaryInTable.TestCase
for case in (TestAgainstDictionary, TestAgainstDictionaryInTable):
    case.settings = settings(max_examples=examples(25), stateful_step_count=25, deadline=None)
