"""The states of many scopes at once: the same as each by itself, whatever there is in its records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state import StateManager
from eliza_state.debugger import Debugger
from eliza_state.module import reduces
from eliza_state.path import Path
from eliza_state.query import states as states_of
from eliza_state.query.states import States
from tests.effort import examples
from tests.eliza_state.query.forum import (
    Forum,
    ForumClosed,
    ForumModule,
    PostRemoved,
    TopicChosen,
    post,
    talk,
)

TALKS = [talk(f"c{number}") for number in range(4)]
MESSAGES = [path.child("message", "m") for path in TALKS]

FACTS = st.tuples(
    st.sampled_from([post("m1"), post("m2", author="bo"), PostRemoved(id="m1"), TopicChosen(topic="tea")]),
    st.sampled_from([*TALKS, *MESSAGES]),
)


class FailingModule(ForumModule):
    """Stumble over one topic."""

    @reduces(TopicChosen)
    def choose(self, state: Forum, event: TopicChosen) -> Forum:
        if event.topic == "boom":
            raise ZeroDivisionError("a bug")
        return super().choose(state, event)


def states(manager: StateManager, *, until: int) -> States:
    tracked = manager.queries._query("forum", of="posts").tracked
    return States(
        manager.tree,
        manager.journal,
        manager.root.access.reading,
        layout=tracked.layout,
        until=until,
        report=manager.problems.report,
    )


async def assert_same(manager: StateManager, *paths: Path) -> None:
    for until in (0, await manager.position() // 2, await manager.position()):
        alone = {path: states(manager, until=until).of(path) for path in paths}

        assert alone == dict(states(manager, until=until).of_each(paths))


@settings(max_examples=examples(15), deadline=None)
@given(facts=st.lists(FACTS, max_size=30), most=st.sampled_from([1, 4, 64]))
async def test_they_are_those_of_each_scope(
    tmp_path_factory: pytest.TempPathFactory, facts: Any, most: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    async with StateManager.open(f"sqlite:///{folder}/state.db", modules=[ForumModule()]) as manager:
        await manager.dispatch_all(facts)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(states_of, "_MOST_RECORDS", most)

            await assert_same(manager, *TALKS, talk("nobody's"))


async def test_of_scopes_that_were_restored_and_erased(open_forum: Any) -> None:
    manager = await open_forum()
    for path in TALKS:
        for number in range(3):
            await manager.dispatch(post(f"m{number}"), to=path)
    await Debugger(manager).restore(2, TALKS[0])
    await manager.erase(TALKS[1], until=5)
    await manager.dispatch(ForumClosed(), to=TALKS[2])

    await assert_same(manager, *TALKS)


async def test_a_reducer_that_fails_leaves_the_state_as_it_was(open_forum: Any) -> None:
    manager = await open_forum(ForumModule())
    for topic in ("tea", "boom"):
        await manager.dispatch(TopicChosen(topic=topic), to=TALKS[0])
    await manager.close()
    again = await open_forum(FailingModule(), snapshots=False)

    assert {TALKS[0]: "tea"} == {
        path: state.topic for path, state in states(again, until=2).of_each(TALKS[:1])
    }
    assert {"reducer"} == {problem.kind for problem in again.problems}


async def test_a_module_sees_no_records_before_its_time(open_forum: Any) -> None:
    class LateModule(ForumModule):
        since_position = 1

    manager = await open_forum(LateModule())
    await manager.dispatch_all([(post("m1"), TALKS[0]), (post("m2"), TALKS[0])])

    await assert_same(manager, *TALKS)
