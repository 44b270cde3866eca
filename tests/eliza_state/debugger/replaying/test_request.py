"""What a replay refuses: records that are not there, orders that are none, functions that fail."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.change import Record
from eliza_state.debugger import Debugger, NoSuchPoint
from eliza_state.errors import InvalidEvent, InvalidPath, StateError, UnknownTransition
from eliza_state.event import event
from eliza_state.manager import StateManager
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Said, modules
from tests.eliza_state.debugger.conftest import HISTORY

HEAD = len(HISTORY)


@event("unhandled")
class Unhandled:
    """No module handles it."""


@pytest.mark.parametrize("otherwise", [{"skip": 4}, {"edit": {4: None}}, {"order": [2, 4]}])
async def test_a_position_without_a_record_of_the_scope_is_refused(
    debugger: Debugger, otherwise: Any
) -> None:
    with pytest.raises(NoSuchPoint, match="no record at position 4") as raised:
        await debugger.replay(TALK, **otherwise)

    assert (3, 6) == raised.value.nearest


async def test_a_position_outside_the_range_is_refused(debugger: Debugger) -> None:
    with pytest.raises(NoSuchPoint, match="from position 5 to 8 has no record at position 2"):
        await debugger.replay(first=5, skip=2)


async def test_an_id_that_is_not_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(NoSuchPoint, match="no record of the id 'nobody'"):
        await debugger.replay(skip="nobody")


@pytest.mark.parametrize("bounds", [{"first": 0}, {"first": HEAD + 1}, {"last": HEAD + 1}])
async def test_positions_beyond_the_journal_are_refused(debugger: Debugger, bounds: Any) -> None:
    with pytest.raises(NoSuchPoint):
        await debugger.replay(**bounds)


async def test_an_empty_range_is_refused(debugger: Debugger) -> None:
    with pytest.raises(StateError, match="from position 5 to 4 is empty"):
        await debugger.replay(first=5, last=4)


async def test_a_scope_without_records_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(StateError, match=r"no records at or below .* from position 1 to 4"):
        await debugger.replay(OTHER, last=4)


async def test_a_journal_without_records_is_refused() -> None:
    async with StateManager.open(modules=modules()) as manager:
        with pytest.raises(StateError, match="holds no records yet"):
            await Debugger(manager).replay()


async def test_an_order_names_each_record_once(debugger: Debugger) -> None:
    with pytest.raises(StateError, match="each record once, got the one at position 2 twice"):
        await debugger.replay(order=[2, 3, 2])


async def test_an_id_of_several_records_has_no_place_in_an_order(manager: StateManager) -> None:
    for path in (TALK, ROOM):
        await manager.dispatch(Said(user="ada", text="x"), to=path, id="same")

    with pytest.raises(StateError, match="belongs to several records"):
        await Debugger(manager).replay(order=["same", 1])


async def test_an_id_of_several_records_is_skipped_in_all_of_them(manager: StateManager) -> None:
    for path in (TALK, ROOM):
        await manager.dispatch(Said(user="ada", text="x"), to=path, id="same")

    assert 2 == (await Debugger(manager).replay(skip="same")).skipped


async def test_a_path_that_leaves_the_hierarchy_is_refused(debugger: Debugger) -> None:
    with pytest.raises(InvalidPath):
        await debugger.replay("room:general")


async def test_an_edit_that_does_not_fit_is_refused(debugger: Debugger) -> None:
    with pytest.raises(InvalidEvent, match=r"the record at position 4: .*amount"):
        await debugger.replay(edit={4: {"amount": "many"}})


async def test_an_edit_of_a_field_that_is_not_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(InvalidEvent, match="sum"):
        await debugger.replay(edit={4: {"sum": 1}})


async def test_an_event_that_nobody_handles_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(UnknownTransition):
        await debugger.replay(edit={1: Unhandled()})


async def test_a_function_that_fails_is_named_with_the_position(debugger: Debugger) -> None:
    def broken(_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(StateError, match="`edit` failed on the record at position 1"):
        await debugger.replay(edit=broken)
    with pytest.raises(StateError, match="`skip` failed on the record at position 1"):
        await debugger.replay(skip=broken)


async def test_what_a_function_never_does_is_warned_of(debugger: Debugger) -> None:
    def nothing(_: Record) -> bool:
        return False

    replay = await debugger.replay(skip=nothing, edit=lambda event: event)

    assert ("`skip` picked no record", "`edit` changed no event") == replay.warnings


async def test_there_is_nothing_to_change_in_what_was_erased(
    debugger: Debugger, manager: StateManager
) -> None:
    await manager.erase(AGENT, until=2)

    with pytest.raises(StateError, match="position 2 cannot be read"):
        await debugger.replay(edit={2: {"text": "back"}})


async def test_another_event_may_stand_where_one_was_erased(
    debugger: Debugger, manager: StateManager
) -> None:
    await manager.erase(AGENT, until=2)
    replay = await debugger.replay(edit={2: Said(user="bo", text="again")})

    assert "again" == replay.would_be.state(TALK, "talk").texts[0]
