"""Refusing is the addressed scope's right."""

from __future__ import annotations

import pytest

from eliza_modules.refusal import is_addressed, refuse
from eliza_modules.room import RoomModule, RoomState
from eliza_state.errors import Rejected
from eliza_state.path import Path

ROOM = Path().child("agent", "eliza").child("room", "general")


@pytest.mark.parametrize("path", [ROOM, Path()])
def test_the_addressed_scope_and_a_bare_reduce_may_refuse(path):
    with pytest.raises(Rejected) as refusal:
        refuse(RoomModule(), RoomState(), path, "not here")

    assert refusal.value.reason == "not here"


def test_a_scope_above_keeps_its_state():
    state = RoomState()

    assert refuse(RoomModule(), state, ROOM.child("conversation", "c"), "not here") is state


def test_an_address_below_is_not_the_modules_own():
    assert not is_addressed(RoomModule(), ROOM.child("conversation", "c"))
