"""What a scope inherits, of modules registered at several levels."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from eliza_state.errors import RegistrationError, StateError, StoreError
from eliza_state.event import event
from eliza_state.limits import Limits
from eliza_state.module import StateModule, compose, reduces
from eliza_state.path import Path
from eliza_state.portal import SyncStateManager
from tests.eliza_state.chat import AGENT, ROOM, TALK, BudgetModule

ROOT = Path()


@event("styled")
class Styled:
    """A scope was given a style, for those below it too."""

    tone: str | None = None
    size: int = 1


@attrs.frozen
class Style:
    """How a scope speaks."""

    tone: str | None = None
    size: int = 1


class StyleModule(StateModule[Style]):
    """Keep the style that was addressed to the scope."""

    name = "style"
    level = "global"

    @reduces(Styled)
    def restyle(self, state: Style, event: Styled, path: Path) -> Style:
        return Style(event.tone, event.size) if self.level == (path.level or "global") else state


LEVELS = ("global", "agent", "conversation")


def styles(*levels: str) -> list[StyleModule]:
    return [StyleModule().at(level) for level in levels]


@pytest.fixture
async def manager(opened, url):
    """A store of each kind with styles at three of the four levels down to a conversation."""
    return await opened(url, modules=styles(*LEVELS))


def at_once(coroutine):
    """Return the result of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


async def test_a_scope_inherits_what_those_above_it_set(manager):
    await manager.dispatch(Styled(tone="dry", size=2), to=ROOT)
    await manager.dispatch(Styled(size=3), to=AGENT)
    view = await manager.at(TALK).inherited(StyleModule)

    assert view == {"tone": "dry", "size": 3}
    assert (view.origin("tone"), view.origin("size")) == (ROOT, AGENT)
    assert [ROOT, AGENT, TALK] == list(view.layers)


async def test_scopes_below_and_beside_have_no_say(manager):
    await manager.dispatch(Styled(tone="dry"), to=TALK)
    for scope in (ROOT, AGENT, ROOM, ROOM.child("conversation", "c2")):
        assert await manager.at(scope).inherited(StyleModule) == {}


async def test_a_level_without_the_module_inherits_all_the_same(manager):
    await manager.dispatch(Styled(tone="dry"), to=AGENT)
    view = await manager.at(TALK.child("message", "m1")).inherited(StyleModule)

    assert view == {"tone": "dry"}
    assert view.path == TALK.child("message", "m1")


async def test_the_past_is_read_at_a_position(manager):
    await manager.dispatch(Styled(tone="dry"), to=AGENT)
    await manager.dispatch(Styled(tone="wry"), to=TALK)
    await manager.dispatch(Styled(tone="sly"), to=AGENT)
    views = [await manager.at(TALK).inherited(StyleModule, at=at) for at in range(4)]

    assert [{}, {"tone": "dry"}, {"tone": "wry"}, {"tone": "wry"}] == views
    assert [0, 1, 2, 3] == [view.position for view in views]
    assert views[3].layers == (await manager.at(TALK).inherited(StyleModule)).layers


async def test_a_view_stays_at_its_position(manager):
    await manager.dispatch(Styled(tone="dry"), to=AGENT)
    view = await manager.at(TALK).inherited(StyleModule)
    await manager.dispatch(Styled(tone="wry"), to=AGENT)

    assert (view["tone"], view.position) == ("dry", 1)


@pytest.mark.parametrize("at", [-1, 2])
async def test_a_position_that_is_not_there_is_refused(manager, at):
    await manager.dispatch(Styled(), to=AGENT)

    with pytest.raises(StateError, match="a position from 0 to 1"):
        await manager.at(TALK).inherited(StyleModule, at=at)


async def test_a_loaded_chain_is_read_without_waiting(manager):
    await manager.dispatch(Styled(tone="dry"), to=TALK)

    assert {"tone": "dry"} == at_once(manager.at(TALK).inherited(StyleModule))


async def test_a_view_after_a_restart(opened, sqlite_url):
    async with await opened(sqlite_url, modules=styles(*LEVELS)) as manager:
        await manager.dispatch(Styled(tone="dry"), to=ROOT)
        await manager.dispatch(Styled(size=5), to=TALK)
    manager = await opened(sqlite_url, modules=styles(*LEVELS))

    assert await manager.at(TALK).inherited(StyleModule) == {"tone": "dry", "size": 5}


async def test_all_levels_are_read_at_one_position(opened, sqlite_url):
    """While a writer changes three scopes together and another crowds them out, a reader sees no mixture."""
    limits = Limits(max_scopes=2)
    manager = await opened(sqlite_url, modules=styles(*LEVELS), limits=limits)
    seen = []

    async def write():
        for size in range(2, 40):
            await manager.dispatch_all([(Styled(size=size), path) for path in (ROOT, AGENT, TALK)])
            await manager.dispatch(Styled(size=size), to=Path().child("agent", f"a{size}"))

    writing = asyncio.create_task(write())
    while not writing.done():
        view = await manager.at(TALK).inherited(StyleModule)
        seen.append([dict(values) for values in view.layers.values()])
        await asyncio.sleep(0)
    await writing

    assert len({str(layers) for layers in seen}) > 2
    assert all(layers == [layers[0]] * 3 for layers in seen)


async def test_members_of_a_composition_are_found(opened):
    manager = await opened(modules=[compose("looks", StyleModule().at("agent"))])
    await manager.dispatch(Styled(tone="dry"), to=AGENT)

    assert await manager.at(ROOM).inherited(StyleModule) == {"tone": "dry"}


async def test_derived_classes_belong_to_it(opened):
    class RoomStyle(StyleModule):
        name = "room_style"
        level = "room"

    manager = await opened(modules=[StyleModule(), RoomStyle()])
    await manager.dispatch(Styled(tone="dry"), to=ROOM)

    assert await manager.at(ROOM).inherited(StyleModule) == {"tone": "dry"}
    assert [ROOM] == list((await manager.at(ROOM).inherited(RoomStyle)).layers)


async def test_a_module_that_comes_later_is_seen(manager):
    await manager.dispatch(Styled(tone="dry"), to=ROOM)
    before = await manager.at(ROOM).inherited(StyleModule)
    await manager.register_module(StyleModule().at("room"))

    assert (before, await manager.at(ROOM).inherited(StyleModule)) == ({}, {"tone": "dry"})


@pytest.mark.parametrize("module", [BudgetModule, "style", StyleModule(), None])
async def test_what_is_no_registered_class_is_refused(manager, module):
    with pytest.raises(RegistrationError, match=r"no module BudgetModule at any|goes by a module's class"):
        await manager.at(TALK).inherited(module)


async def test_a_class_of_other_levels_is_refused(opened):
    manager = await opened(modules=styles("conversation"))

    with pytest.raises(RegistrationError, match="no module StyleModule at any of the levels global, agent;"):
        await manager.at(AGENT).inherited(StyleModule)


async def test_a_closed_store_is_told(opened, sqlite_url):
    manager = await opened(sqlite_url, modules=styles(*LEVELS))
    await manager.close()

    with pytest.raises(StoreError, match="closed"):
        await manager.at(TALK).inherited(StyleModule)


def test_the_synchronous_face_gives_the_same(url):
    with SyncStateManager.open(url, modules=styles(*LEVELS)) as manager:
        manager.dispatch(Styled(tone="dry"), to=AGENT)

        assert manager.at(TALK).inherited(StyleModule) == {"tone": "dry"}
        assert manager.at(TALK).inherited(StyleModule, at=0) == {}
