"""Tests written from records among which scopes were restored: what they got back is given."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest

from eliza_serializers import Secret
from eliza_state.debugger import Debugger
from eliza_state.manager import StateManager
from tests.eliza_state.chat import OTHER, ROOM, TALK, Said
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.written_tests.shop import OrdersModule, ordered
from tests.eliza_state.debugger.written_tests.test_writing import passes


async def test_the_state_that_a_scope_got_back_is_given(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath
) -> None:
    await debugger.restore(2, TALK)
    await manager.dispatch(Said(user="bo", text="again"), to=TALK)

    text = await debugger.make_test(TALK, first=7)

    assert (
        "    # when\n"
        '    driver.send(CONVERSATION, Said(user="ada", text="bye"))\n'
        "    # scope_restored at position 9 gives back the state of position 2\n"
        "    driver.given(\n"
        '        TalkModule, Talk(texts=Log(["hello"]), counts=Map({"ada": 1})), of=CONVERSATION\n'
        "    )\n"
        '    driver.send(CONVERSATION, Said(user="bo", text="again"))\n'
    ) in text
    assert passes(text, tmp_path)


async def test_it_fails_once_what_follows_a_restore_leads_elsewhere(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath
) -> None:
    await debugger.restore(2, TALK)
    await manager.dispatch(Said(user="bo", text="again"), to=TALK)

    text = await debugger.make_test(TALK, first=7)

    assert not passes(text.replace('Said(user="bo", text="again")', 'Said(user="bo", text="x")'), tmp_path)


@pytest.mark.parametrize(("path", "first"), [(ROOM, 1), (ROOM, 8), (None, 1), (TALK, 1)])
async def test_all_scopes_that_were_restored_together_are_told(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath, path: object, first: int
) -> None:
    await debugger.restore(5, ROOM)
    for scope in (TALK, OTHER):
        await manager.dispatch(Said(user="cy", text="and on"), to=scope)

    text = await debugger.make_test(path or "", first=first)  # type: ignore[arg-type]

    assert "scope_restored" in text
    assert passes(text, tmp_path)


async def test_a_scope_that_ended_goes_on_after_it(debugger: Debugger, manager: StateManager) -> None:
    await debugger.restore(5, OTHER)
    await manager.dispatch(Said(user="ada", text="back"), to=OTHER)

    text = await debugger.make_test(OTHER)

    assert text.index("Closed()") < text.index("scope_restored") < text.index('text="back"')
    assert "left out" not in text


async def test_secrets_that_come_back_are_placeholders(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened(modules=[OrdersModule()])
    await manager.dispatch(ordered("a", card=Secret("4111")), to=ROOM)
    await manager.dispatch(ordered("b"), to=ROOM)
    debugger = Debugger(manager)
    await debugger.restore(1, ROOM)
    await manager.dispatch(ordered("c"), to=ROOM)

    text = await debugger.make_test(first=2)

    assert "4111" not in text
    assert passes(text, tmp_path)


async def test_a_restore_of_what_no_event_of_the_range_reaches_is_not_told(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath
) -> None:
    await debugger.restore(2, TALK)
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)

    text = await debugger.make_test(ROOM, first=9, module="people")

    assert "scope_restored" not in text
    assert passes(text, tmp_path)
