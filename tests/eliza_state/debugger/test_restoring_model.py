"""Restores among the records: a state is the fold of what they lead to, at every position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state import snapshotter
from eliza_state.debugger import Debugger
from eliza_state.errors import ScopeArchived
from eliza_state.lifecycle import Phase
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.recovery import recover
from tests.effort import examples
from tests.eliza_state import chat
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Closed, Drawn, Joined, Noted, PeopleModule, Said

PATHS = [Path(), AGENT, ROOM, TALK, OTHER]


class VisitorsModule(PeopleModule):
    """Know who ever came; no restore takes that back."""

    name = "visitors"
    restorable = False


def modules() -> list[Any]:
    return [*chat.modules(), VisitorsModule()]


@attrs.frozen
class Restoring:
    """What the model keeps of a restore."""

    to: int


def story(log: list[tuple[Any, Path]], path: Path, until: int) -> Iterator[Any]:
    """Yield the events that the state of a scope at a position is made of."""
    first = 0
    for position in range(until, 0, -1):
        event, to = log[position - 1]
        if to == path and isinstance(event, Restoring):
            yield from story(log, path, event.to)
            first = position
            break
    for event, to in log[first:until]:
        if (to == path or to.is_below(path)) and not isinstance(event, Restoring):
            yield event, to


def folded(log: list[tuple[Any, Path]], path: Path, until: int) -> dict[str, Any]:
    """Fold the events of a scope's story."""
    level = path.level or "global"
    states = {each.name: each.initial_state() for each in modules() if each.level == level}
    for module in modules():
        if module.level == level and not module.volatile:
            for event, to in story(log, path, until) if module.restorable else log[:until]:
                is_reached = to == path or to.is_below(path)
                if is_reached and not isinstance(event, Restoring):
                    states[module.name] = module.reduce(states[module.name], event)
    return states


def has_ended(log: list[tuple[Any, Path]], path: Path) -> bool:
    own = [event for event, to in story(log, path, len(log)) if to == path]
    return bool(own) and isinstance(own[-1], Closed)


EVENTS = st.one_of(
    st.tuples(st.builds(Joined, user=st.sampled_from("ab")), st.just(ROOM)),
    st.tuples(
        st.builds(Said, user=st.sampled_from("ab"), text=st.sampled_from("xyz")),
        st.sampled_from([TALK, OTHER]),
    ),
    st.tuples(st.builds(Drawn, amount=st.integers(0, 1)), st.just(AGENT)),
    st.tuples(st.builds(Noted, text=st.just("n")), st.sampled_from([ROOM, TALK])),
    st.tuples(st.just(Closed()), st.sampled_from([TALK, OTHER])),
)
RESTORES = st.tuples(st.floats(0, 1), st.sampled_from(PATHS), st.booleans())
STEPS = st.lists(EVENTS | RESTORES, max_size=14)


async def take(manager: StateManager, log: list[tuple[Any, Path]], step: Any) -> None:
    """Do a step of a history, and note what it did."""
    if isinstance(step[0], float):
        part, path, below = step
        if not manager.journal.knows(path):
            return
        to = round(part * len(log))
        restored = await Debugger(manager).restore(to, path, below=below)
        log += [(Restoring(to), scope) for scope in restored.scopes]
        return
    try:
        await manager.dispatch(step[0], to=step[1])
    except ScopeArchived:
        assert has_ended(log, step[1])
    else:
        log.append(step)


async def check(manager: StateManager, log: list[tuple[Any, Path]]) -> None:
    """Compare every scope, at every position, with the model; and each way to a state with the others."""
    debugger = Debugger(manager)
    assert len(log) == await manager.position()
    for path in PATHS:
        wanted = [folded(log, path, until) for until in range(len(log) + 1)]
        assert wanted[-1] == await manager.at(path).state()
        if manager.journal.knows(path):
            assert has_ended(log, path) == (await manager.at(path).phase() is Phase.ARCHIVED)
        for until in (*range(len(log) + 1), *range(len(log), -1, -1)):
            past = await debugger.at(until)
            found = recover(manager.tree, manager.journal, path, until=until, snapshots=None, report=_fail)
            assert (wanted[until], wanted[until]) == (await past.state(path), found.slices)


def _fail(problem: Any) -> None:
    raise AssertionError(problem)


@settings(max_examples=examples(60), deadline=None)
@given(STEPS)
async def test_a_state_is_the_fold_of_what_restores_lead_to(steps: Any) -> None:
    log: list[tuple[Any, Path]] = []
    async with StateManager.open(modules=modules()) as manager:
        for step in steps:
            await take(manager, log, step)
        await check(manager, log)


@settings(max_examples=examples(15), deadline=None)
@given(STEPS, STEPS)
async def test_two_managers_end_equal(tmp_path_factory: Any, before: Any, after: Any) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('two')}/state.db?synchronous=NORMAL"
    log: list[tuple[Any, Path]] = []
    async with (
        StateManager.open(url, modules=modules()) as one,
        StateManager.open(url, modules=modules()) as other,
    ):
        for path in PATHS:
            await other.at(path).state()
        for number, step in enumerate((*before, *after)):
            writer = one if number < len(before) or number % 2 else other
            await writer.refresh()
            await take(writer, log, step)
        for manager in (one, other):
            await manager.refresh()
            await check(manager, log)
        told = {path: (await one.at(path).version(), await one.at(path).phase()) for path in PATHS}
        assert told == {
            path: (await other.at(path).version(), await other.at(path).phase()) for path in PATHS
        }


@settings(max_examples=examples(12), deadline=None)
@given(st.lists(STEPS, min_size=2, max_size=4))
async def test_whatever_snapshots_there_are(tmp_path_factory: Any, histories: Any) -> None:
    """A store is closed and opened again and again; snapshots are taken at every occasion."""
    url = f"sqlite:///{tmp_path_factory.mktemp('again')}/state.db?synchronous=NORMAL"
    log: list[tuple[Any, Path]] = []
    with pytest.MonkeyPatch.context() as patching:
        for name in ("MIN_TAIL", "MIN_CLOSING_TAIL"):
            patching.setattr(snapshotter, name, 1)
        for steps in histories:
            async with StateManager.open(url, modules=modules()) as manager:
                for step in steps:
                    await take(manager, log, step)
        async with StateManager.open(url, modules=modules()) as manager:
            await check(manager, log)
            for path in PATHS:
                for until in range(len(log) + 1):
                    found = manager.root.access.reading.recover_here(path, until)
                    assert folded(log, path, until) == found.slices
            assert {"journal"} >= {problem.kind for problem in manager.problems}


@settings(max_examples=examples(25), deadline=None)
@given(STEPS)
async def test_a_timeline_tells_the_way_from_state_to_state(steps: Any) -> None:
    log: list[tuple[Any, Path]] = []
    async with StateManager.open(modules=modules()) as manager:
        for step in steps:
            await take(manager, log, step)
        for newest_first in (False, True):
            walk = Debugger(manager).timeline(newest_first=newest_first)
            entries = {entry.position: entry async for entry in walk}
            for until in range(1, len(log) + 1):
                changed = {(change.path, change.module) for change in entries[until].changes}
                differ = {
                    (path, name)
                    for path in PATHS
                    for name, state in folded(log, path, until).items()
                    if state != folded(log, path, until - 1)[name]
                }
                assert differ == changed


@settings(max_examples=examples(25), deadline=None)
@given(STEPS, st.data())
async def test_a_replay_that_changes_nothing_comes_to_the_same(steps: Any, data: Any) -> None:
    log: list[tuple[Any, Path]] = []
    async with StateManager.open(modules=modules()) as manager:
        for step in steps:
            await take(manager, log, step)
        if not log:
            return
        first = data.draw(st.integers(1, len(log)))
        replay = await Debugger(manager).replay(first=first)

        assert replay.is_same
        for path, scope in replay.would_be.scopes.items():
            assert folded(log, path, len(log)) == dict(scope.slices)
