"""Messages of conversations on their way to workspaces."""

from __future__ import annotations

import pytest

from eliza_modules import AgentModule, ConversationModule, MessageModule, MessageReceived, UserModule
from eliza_modules.workspace import WorkspaceModule, WorkspaceReset
from eliza_modules.workspace_follower import workspace_follower
from eliza_modules.workspace_service import Workspace
from eliza_state import StateManager
from eliza_state.errors import RegistrationError
from eliza_state.followers import Followers
from eliza_state.storage import MemoryStorage

MODULES = (AgentModule, ConversationModule, MessageModule, UserModule, WorkspaceModule)


def opened(url="memory://"):
    return StateManager.open(url, modules=[module() for module in MODULES])


@pytest.fixture
async def manager():
    async with opened() as made:
        yield made


@pytest.fixture
def eliza(manager):
    return manager.agent("eliza")


@pytest.fixture
async def following(manager):
    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
        yield followers


def talk(agent, name="c1"):
    return agent.room("general").conversation(name)


def message(name, text="hello", user="ada", **fields):
    return MessageReceived(id=name, user=user, text=text, **fields)


async def queue(agent, user="ada"):
    return [(each.source, each.text) for each in (await agent.user(user).state(WorkspaceModule)).queue]


async def test_a_message_reaches_its_authors_workspace(eliza, following):
    await talk(eliza).dispatch(message("m1", metadata={"platform": "web"}))
    await following.settled()
    state = await eliza.user("ada").state(WorkspaceModule)

    assert (state.user, state.platform, state.chat) == ("ada", "web", talk(eliza).path.encode())
    assert [("m1", "hello", state.chat)] == [(each.source, each.text, each.chat) for each in state.queue]


async def test_messages_of_several_conversations_and_users_keep_apart(eliza, following):
    await talk(eliza, "c1").dispatch(message("m1", "one"))
    await talk(eliza, "c2").dispatch(message("m1", "two"))
    await talk(eliza, "c1").dispatch(message("m2", "three", user="bo"))
    await following.settled()

    assert [("m1", "one"), ("m1", "two")] == await queue(eliza)
    assert [("m2", "three")] == await queue(eliza, "bo")


async def test_agents_have_workspaces_of_their_own(manager, eliza, following):
    await talk(manager.agent("alan")).dispatch(message("m1"))
    await following.settled()

    assert ([], [("m1", "hello")]) == (await queue(eliza), await queue(manager.agent("alan")))


async def test_what_else_is_the_agents_own_can_be_told(manager, eliza):
    def is_own(told):
        return told.event.metadata.get("role") == "assistant"

    async with Followers(manager) as followers:
        handler = workspace_follower(is_own=is_own)
        await followers.follow("workspaces", handler, events=[MessageReceived])
        await talk(eliza).dispatch(message("m1", metadata={"role": "assistant"}))
        await talk(eliza).dispatch(message("m2", user="eliza"))
        await followers.settled()

    assert [] == await queue(eliza)
    assert [("m2", "hello")] == await queue(eliza, "eliza")


async def test_what_the_agent_says_itself_is_no_message_for_it(eliza, following):
    await talk(eliza).dispatch(message("m1", user="eliza"))
    await following.settled()

    assert [] == await queue(eliza, "eliza")


async def test_an_author_who_cannot_be_a_scope_stops_nobody(eliza, following):
    await talk(eliza).dispatch(message("m1", user="x" * 600))
    await talk(eliza).dispatch(message("m2", metadata={"platform": 7}))
    await following.settled()

    assert [("m2", "hello")] == await queue(eliza)


async def test_a_policy_goes_with_the_messages(manager, eliza):
    ada = Workspace(eliza.user("ada"), manager=manager, keys=MemoryStorage())
    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(policy="interrupt"), events=[MessageReceived])
        await talk(eliza).dispatch(message("m1", "one"))
        await followers.settled()
        run = await ada.claim(holder="p1")
        await talk(eliza).dispatch(message("m2", "two"))
        await followers.settled()

    assert not (await ada.state()).is_held(run.token)
    assert [("m2", "two")] == await queue(eliza)


def test_a_policy_is_a_known_one():
    with pytest.raises(RegistrationError, match="got 'lose'"):
        workspace_follower(policy="lose")


async def test_the_reset_command_forgets_what_was_said_before_it(eliza, following):
    for name, text in (("m1", "one"), ("m2", " /reset\n"), ("m3", "three")):
        await talk(eliza).dispatch(message(name, text))
    await following.settled()

    assert [("m3", "three")] == await queue(eliza)


async def test_another_command_may_reset_or_none(manager, eliza):
    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(reset_command=None), events=[MessageReceived])
        await talk(eliza).dispatch(message("m1", "/reset"))
        await followers.settled()

    assert [("m1", "/reset")] == await queue(eliza)


async def test_a_message_that_arrives_after_a_reset_that_came_later_is_forgotten(manager, eliza):
    """It was said before the reset; that the follower was late does not bring it back."""
    await talk(eliza).dispatch(message("m1", "before"))
    await Workspace(eliza.user("ada"), manager=manager, keys=MemoryStorage()).reset()
    await talk(eliza).dispatch(message("m2", "after"))
    async with Followers(manager) as followers:
        await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
        await followers.settled()

    assert [("m2", "after")] == await queue(eliza)


async def test_a_follower_that_begins_anew_derives_nothing_twice(eliza, manager, following):
    await talk(eliza).dispatch(message("m1"))
    await following.settled()
    await eliza.user("ada").dispatch(WorkspaceReset(position=0))
    async with Followers(manager) as others:
        await others.follow("again", workspace_follower(), events=[MessageReceived])
        await others.settled()
    once = await queue(eliza)
    async with Followers(manager) as others:
        await others.follow("once-more", workspace_follower(), events=[MessageReceived])
        await others.settled()

    assert [("m1", "hello")] == once == await queue(eliza)


async def test_after_a_restart_the_follower_goes_on_where_it_was(tmp_path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    for number in range(3):
        async with opened(url) as manager, Followers(manager) as followers:
            await followers.follow("workspaces", workspace_follower(), events=[MessageReceived])
            await talk(manager.agent("eliza")).dispatch(message(f"m{number}"))
            if number != 1:
                await followers.settled()

    async with opened(url) as manager:
        assert ["m0", "m1", "m2"] == [source for source, _ in await queue(manager.agent("eliza"))]
