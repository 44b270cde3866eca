"""What others have written is taken in; what has to be read for that is read off the event loop."""

from __future__ import annotations

import threading

import pytest

from eliza_state.errors import StoreError
from tests.eliza_state.chat import OTHER, TALK, Said, TalkModule


@pytest.fixture
async def managers(opened, sqlite_url):
    """Two that have a store open and hear of each other when they write or refresh; both have read TALK."""
    here, there = [await opened(sqlite_url, modules=[TalkModule()], feed=False) for _ in range(2)]
    await say(there, "erased")
    await say(there, "other", to=OTHER)
    await here.refresh()
    await texts(here)
    await here.at(OTHER).state()
    return here, there


async def say(manager, text: str, *, to=TALK) -> None:
    await manager.dispatch(Said(user="ada", text=text), to=to)


async def texts(manager) -> tuple[str, ...]:
    return tuple((await manager.at(TALK).state("talk")).texts)


@pytest.fixture
def readers(managers, monkeypatch) -> list[str]:
    """The names of the threads in which scopes are read from now on."""
    here, _ = managers
    names: list[str] = []
    read = here.core.reading.recover_here

    def note(*place):
        names.append(threading.current_thread().name)
        return read(*place)

    monkeypatch.setattr(here.core.reading, "recover_here", note)
    return names


@pytest.mark.parametrize(("to", "known"), [(TALK, ("kept",)), (OTHER, ())], ids=["overtaken", "behind"])
async def test_a_scope_that_others_have_erased_is_read_off_the_event_loop(managers, readers, to, known):
    here, there = managers
    await there.at(TALK).erase()
    await say(here, "kept", to=to)

    assert known == await texts(here)
    assert readers
    assert threading.main_thread().name not in readers


async def test_it_is_when_it_is_heard_of_as_well(managers, readers):
    here, there = managers
    await there.at(TALK).erase()
    await here.refresh()

    assert () == await texts(here)
    assert threading.main_thread().name not in readers


async def test_one_that_cannot_be_read_just_then_is_read_before_it_is_used(managers, monkeypatch):
    here, there = managers
    await there.at(TALK).erase()

    def fail(*_place):
        raise StoreError("the server is away")

    with monkeypatch.context() as away:
        away.setattr(here.core.reading, "recover_here", fail)
        await say(here, "kept", to=OTHER)

    assert () == await texts(here)
    assert any("the server is away" in problem.message for problem in here.problems)
