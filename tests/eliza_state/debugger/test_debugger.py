"""The debugger as a whole: modules that come later, its bound, tasks that give up."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.debugger import Debugger
from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, reduces
from tests.eliza_state.chat import TALK, Said, Talk


class TopicModule(StateModule[Talk]):
    name = "topic"
    level = "conversation"

    @reduces(Said)
    def say(self, state: Talk, event: Said) -> Talk:
        return Talk(texts=state.texts.append(event.user))


async def test_modules_registered_later_are_in_the_past_too(
    debugger: Debugger, manager: StateManager
) -> None:
    await (await debugger.at(8)).tree()
    await manager.register_module(TopicModule())

    assert (await (await debugger.at(7)).state(TALK, "topic")).texts == ("ada", "bo", "ada")


def test_at_least_one_state_is_remembered(manager: StateManager) -> None:
    with pytest.raises(StateError, match="at least one state is remembered, got 0"):
        Debugger(manager, max_remembered=0)


async def test_a_caller_that_gives_up_spoils_nothing(debugger: Debugger, manager: StateManager) -> None:
    await manager.dispatch_all([(Said(user="ada", text=str(number)), TALK) for number in range(2_000)])
    past = await debugger.at(1_500)
    given_up = [asyncio.create_task(past.state(TALK, "talk")) for _ in range(3)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)

    assert len((await past.state(TALK, "talk")).texts) == 1_500 - 8 + 3
