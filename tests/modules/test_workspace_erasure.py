"""A workspace that was reset is erased, and goes on as if it had only been reset."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_modules import ConversationModule, MessageReceived, UserModule, UserUpdated
from eliza_modules.workspace import (
    MemoryStored,
    WorkspaceMessageReceived,
    WorkspaceModule,
    WorkspaceReset,
    WorkspaceRunClaimed,
    WorkspaceRunCompleted,
    WorkspaceRunReleased,
)
from eliza_modules.workspace_claim import RunLost
from eliza_modules.workspace_erasure import erase_workspace, workspace_eraser
from eliza_modules.workspace_follower import workspace_follower
from eliza_modules.workspace_service import Workspace
from eliza_state import StateManager
from eliza_state.errors import Rejected
from eliza_state.followers import Followers
from eliza_state.scope import Scope
from eliza_state.storage import MemoryStorage
from eliza_state.testing import START
from tests.effort import examples


def opened(url: str = "memory://") -> Any:
    return StateManager.open(url, modules=[ConversationModule(), UserModule(), WorkspaceModule()])


@pytest.fixture(params=["memory", "sqlite"])
async def manager(request, tmp_path):
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"
    async with opened(url) as made:
        yield made


@pytest.fixture
def ada(manager):
    return Workspace(manager.agent("eliza").user("ada"), manager=manager, keys=MemoryStorage())


async def texts(user: Scope) -> list[str]:
    """Return what the records of a user still say."""
    return [record.payload.decode() for record in await user.records()]


async def test_a_reset_erases_what_made_the_workspace(manager, ada):
    await ada.receive("a planted word")
    await ada.context().memory.set("city", "a planted word")
    async with ada.run(holder="p1") as run:
        await run.complete("a planted word")

    erased = await ada.reset()

    assert (4, 1) == (erased.records, erased.scopes)
    assert not any("planted" in text for text in await texts(ada.scope))


async def test_what_else_is_known_of_the_user_stays(manager, ada):
    await ada.scope.dispatch(UserUpdated(name="Ada"))
    await ada.receive("hello")

    await ada.reset()

    assert "Ada" == (await ada.scope.state(UserModule)).name


async def test_tokens_go_on_after_it(manager, ada):
    await ada.receive("one")
    lost = await ada.claim(holder="p1")
    await ada.reset()
    await ada.receive("two")

    run = await ada.claim(holder="p2")

    assert lost.token + 1 == run.token
    with pytest.raises(RunLost):
        await lost.complete("late")


async def test_a_message_from_before_it_is_not_taken_again(manager, ada):
    talk = manager.agent("eliza").room("general").conversation("c1")
    await talk.dispatch(MessageReceived(id="m1", user="ada", text="one"))
    await ada.reset()

    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
        await followers.settled()

    assert () == (await ada.state()).queue


async def test_a_second_reset_erases_the_first_ones_record_and_keeps_what_it_kept(manager, ada):
    await ada.receive("one")
    await ada.claim(holder="p1")
    await ada.reset()
    first = await ada.state()

    await ada.reset()

    second = await ada.state()
    assert (1, 1) == (first.last_token, second.last_token)
    assert first.reset_position < second.reset_position


async def test_a_run_that_goes_on_is_stopped(manager, ada):
    await ada.receive("one")

    async def work() -> None:
        async with ada.run(holder="p1"):
            await ada.reset()
            await asyncio.Event().wait()

    with pytest.raises(RunLost):
        await work()


async def test_a_reset_by_a_message_erases_too(manager, ada):
    talk = manager.agent("eliza").room("general").conversation("c1")
    said = [("m1", "a planted word"), ("m2", "/reset"), ("m3", "hello again")]
    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
        for name, text in said[:1]:
            await talk.dispatch(MessageReceived(id=name, user="ada", text=text))
        await followers.settled()
        run = await ada.claim(holder="p1")
        for name, text in said[1:]:
            await talk.dispatch(MessageReceived(id=name, user="ada", text=text))
        await followers.settled()
        before = await ada.state()

        await followers.follow("workspace-erasure", workspace_eraser(manager.at), events=[WorkspaceReset])
        await followers.settled()

    assert not any("planted" in text for text in await texts(ada.scope))
    assert before == await ada.state()
    assert ["hello again"] == [each.text for each in before.queue]
    assert run.token + 1 == (await ada.claim(holder="p2")).token


async def test_a_reset_that_was_cut_off_is_finished_by_the_follower(manager, ada):
    await ada.receive("a planted word")
    position = await manager.position()
    await ada.scope.dispatch(WorkspaceReset(position=position, last_token=0))
    before = await ada.state()

    async with Followers(manager) as followers:
        await followers.follow("workspace-erasure", workspace_eraser(manager.at), events=[WorkspaceReset])
        await followers.settled()

    assert not any("planted" in text for text in await texts(ada.scope))
    assert before == await ada.state()


# Any history

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.sampled_from(["enqueue", "interrupt", "rollback"])),
        st.tuples(st.just("receive"), st.integers(1, 30)),  # that of the message it was made of
        st.tuples(st.sampled_from(["claim", "complete", "release", "remember", "reset"]), st.just(0)),
    ),
    max_size=12,
)


class History:
    """Play steps to a user's workspace; what is refused changes nothing."""

    def __init__(self, user: Scope) -> None:
        self.user = user
        self._number = 0

    async def play(self, steps: list[tuple[str, Any]]) -> None:
        for name, option in steps:
            self._number += 1
            state = await self.user.state(WorkspaceModule)
            with suppress(Rejected):
                await self.user.dispatch(self._event(name, option, state))

    def _event(self, name: str, option: Any, state: Any) -> Any:
        at, text = START + timedelta(seconds=self._number), f"text {self._number}"
        if name == "receive":
            chosen = {"policy": option} if isinstance(option, str) else {"position": option}
            return WorkspaceMessageReceived(id=text, text=text, at=at, **chosen)
        token = state.last_token
        return {
            "claim": WorkspaceRunClaimed(run=text, holder="p", token=token + 1, at=at, lease_ms=2_500),
            "complete": WorkspaceRunCompleted(token=token, at=at, response=text),
            "release": WorkspaceRunReleased(token=token, at=at),
            "remember": MemoryStored(key="k", value=text, at=at, token=token if self._number % 2 else None),
            "reset": WorkspaceReset(position=self._number),
        }[name]


@given(STEPS, STEPS)
@settings(max_examples=examples(60), deadline=None)
async def test_to_erase_what_was_reset_changes_no_state(before, after):
    async with opened() as manager:
        user = manager.agent("eliza").user("ada")
        history = History(user)
        await history.play(before)
        state = await user.state(WorkspaceModule)
        reset = WorkspaceReset(
            position=max(await manager.position(), state.reset_position), last_token=state.last_token
        )
        change = await user.dispatch(reset)
        await history.play(after)
        whole = await user.state(WorkspaceModule)

        await erase_workspace(user, until=change.position - 1)

        assert whole == await user.state(WorkspaceModule)


@given(STEPS, STEPS)
@settings(max_examples=examples(60), deadline=None)
async def test_nor_does_it_when_a_message_reset_it(before, after):
    async with opened() as manager:
        user = manager.agent("eliza").user("ada")
        history = History(user)
        await history.play([step for step in before if step[0] != "reset"])
        await user.dispatch(WorkspaceReset(position=await manager.position()))
        await history.play(after)
        whole = await user.state(WorkspaceModule)

        async with Followers(manager) as followers:
            await followers.follow("workspace-erasure", workspace_eraser(manager.at), events=[WorkspaceReset])
            await followers.settled()

        assert whole == await user.state(WorkspaceModule)
