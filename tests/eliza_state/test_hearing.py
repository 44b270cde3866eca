"""What others write to scopes that nobody here has asked for is told with its states, to who wants it."""

from __future__ import annotations

import pytest

from eliza_state.testing import RecordingReceiver
from tests.eliza_state.chat import OTHER, TALK, Closed, Said, TalkModule


@pytest.fixture
async def managers(opened, sqlite_url):
    """Two that have a store open, with the module of conversations alone, and hear by `refresh` alone."""
    return [await opened(sqlite_url, modules=[TalkModule()], feed=False) for _ in range(2)]


async def say(manager, *texts: str, to=TALK) -> None:
    for text in texts:
        await manager.dispatch(Said(user="ada", text=text), to=to)


def told(receiver) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
    return [
        (change.position, tuple(change.before["talk"].texts), tuple(change.after["talk"].texts))
        for change in receiver.changes
    ]


async def test_the_states_before_and_after_are_true(managers):
    here, there = managers
    receiver = RecordingReceiver()
    await say(there, "a")
    await here.refresh()
    here.subscribe(receiver)
    await say(there, "b", "c")
    await here.refresh()

    assert [(2, ("a",), ("a", "b")), (3, ("a", "b"), ("a", "b", "c"))] == told(receiver)


async def test_they_are_when_one_writes_oneself_as_well(managers):
    here, there = managers
    receiver = RecordingReceiver()
    here.subscribe(receiver)
    await say(there, "a")
    await say(there, "b", to=OTHER)
    await say(here, "c")

    assert [(1, (), ("a",)), (2, (), ("b",)), (3, ("a",), ("a", "c"))] == told(receiver)


@pytest.mark.parametrize(
    ("options", "loaded"),
    [({}, 2), ({"below": TALK}, 1), ({"event": Closed}, 0), ({"origin": "local"}, 0), (None, 0)],
)
async def test_only_what_somebody_wants_is_loaded(managers, options, loaded):
    here, there = managers
    if options is not None:
        here.subscribe(RecordingReceiver(), **options)
    await say(there, "a")
    await say(there, "b", to=OTHER)
    await here.refresh()

    assert loaded == sum(path in {TALK, OTHER} for path in (scope.path for scope in here.core.scopes))


async def test_nobody_wants_it_any_more_once_all_have_left(managers):
    here, there = managers
    here.subscribe(RecordingReceiver()).cancel()
    here.changes().close()
    await say(there, "a")
    await here.refresh()

    assert here.core.scopes.find(TALK) is None


async def test_local_changes_alone_are_told_to_who_wants_those(managers):
    here, there = managers
    receiver = RecordingReceiver()
    here.subscribe(receiver, origin="local")
    await say(there, "a")
    await say(here, "b")

    assert [2] == [change.position for change in receiver.changes]
