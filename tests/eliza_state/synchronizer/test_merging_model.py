"""Any replicas, any order, any repetition: they end equal, and nothing is lost or there twice."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.errors import InvalidEvent
from tests.effort import examples
from tests.eliza_state.chat import OTHER, TALK
from tests.eliza_state.synchronizer.replicas import Replica, bring, meet, run

REPLICAS = 4

replica_numbers = st.integers(0, REPLICAS - 1)
paths = st.sampled_from([TALK, OTHER])
ids = st.sampled_from([None, None, "a", "b"])
texts = st.sampled_from(["x", "y", "z"])
turns = st.sampled_from([0, 0, 1, 30, -10])

actions = st.one_of(
    st.tuples(st.just("say"), replica_numbers, texts, paths, ids, turns),
    st.tuples(st.just("say"), replica_numbers, texts, paths, ids, turns),
    st.tuples(st.just("bring"), replica_numbers, replica_numbers),
    st.tuples(st.just("bring"), replica_numbers, replica_numbers),
    st.tuples(st.just("meet"), replica_numbers, replica_numbers),
    st.tuples(st.just("erase"), replica_numbers, paths),
    st.tuples(st.just("go back"), replica_numbers, paths, st.integers(0, 5)),
    st.tuples(st.just("back up"), replica_numbers),
    st.tuples(st.just("restore"), replica_numbers),
)


class World:
    """Some replicas, and what was done to them."""

    def __init__(self, folder: FilePath) -> None:
        self.replicas = [Replica(folder / f"{number}.db") for number in range(REPLICAS)]
        self.backups = [Replica(folder / f"{number}.backup") for number in range(REPLICAS)]

    def take(self, kind: str, number: int, *rest: Any) -> None:
        replica = self.replicas[number]
        if kind == "say":
            self.say(replica, *rest)
        elif kind in ("bring", "meet"):
            other = self.replicas[rest[0]]
            if other is not replica:
                (bring if kind == "bring" else meet)(replica, other, max_drift_ms=3_600_000)
        elif kind == "erase":
            run(replica.erase(*rest))
        elif kind == "go back":
            run(replica.go_back(*rest))
        elif kind == "back up":
            replica.copy_to(self.backups[number].file)
        elif self.backups[number].file.exists():
            self.backups[number].copy_to(replica.file)

    def say(self, replica: Replica, text: str, path: Any, given_id: str | None, turn: float) -> None:
        replica.clock.turn(turn)
        with contextlib.suppress(InvalidEvent):  # the id is known here, with another text
            run(replica.say(text, to=path, id=given_id))

    def meet_all(self) -> None:
        first, *others = self.replicas
        for replica in [*others, *others[:-1]]:
            meet(first, replica, max_drift_ms=3_600_000)


def held(replica: Replica) -> set[tuple[str, str]]:
    """The path and id of each record."""
    return {(record.path.encode(), record.id) for record in run(replica.records())}


@settings(max_examples=examples(12), deadline=None)
@given(st.lists(actions, max_size=14))
def test_all_replicas_end_equal_whatever_came_before(done: Sequence[tuple[Any, ...]]):
    with tempfile.TemporaryDirectory() as folder:
        world = World(FilePath(folder))
        for action in done:
            world.take(*action)
        before = set[tuple[str, str]]().union(*map(held, world.replicas))

        world.meet_all()
        first = world.replicas[0]
        records = run(first.records())
        states, _ = run(first.states(snapshots=False))

        assert before == {(record.path.encode(), record.id) for record in records} & before
        for replica in world.replicas:
            assert () == run(replica.damages())
            assert records == run(replica.records())
            assert states == run(replica.states())[0]
