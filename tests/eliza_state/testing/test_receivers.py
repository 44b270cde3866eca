"""A receiver that remembers what it was told."""

from __future__ import annotations

from eliza_state.manager import StateManager
from eliza_state.testing import RecordingReceiver
from tests.eliza_state import chat
from tests.eliza_state.chat import ROOM, Joined


async def test_a_receiver_remembers_what_it_was_told():
    receiver = RecordingReceiver()
    async with StateManager.open(modules=chat.modules()) as manager:
        manager.subscribe(receiver)
        change = await manager.dispatch(Joined(user="ada"), to=ROOM)

    assert [change] == receiver.changes
    assert ([Joined(user="ada")], [1], 1) == (receiver.events, receiver.positions, len(receiver))
    receiver.clear()
    assert receiver.changes == []
