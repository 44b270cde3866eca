"""The agents at work: a store, what follows its journal, and a worker for each agent.

The way of a message: the terminal dispatches it to a conversation; the follower `workspaces` queues it in its
author's workspace; the agent's worker runs it there; the follower `answers` says in the conversation what the
run has answered. Each step is on the journal before the next one begins, so it can be killed anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from eliza_modules import ConversationModule, MessageReceived, SentimentUpdated
from eliza_modules.approval import ApprovalDenied, ApprovalGranted, ApprovalModule
from eliza_modules.settings import settings
from eliza_modules.workspace import WorkspaceMessageReceived, WorkspaceModule, WorkspaceRunCompleted
from eliza_modules.workspace_follower import workspace_follower
from eliza_modules.workspace_service import Workspace, waiting_users
from eliza_state import Path, StateManager, StateModule
from eliza_state.change import Change
from eliza_state.effects import EffectContext
from eliza_state.followers import RecordedEvent, Write
from eliza_state.scope import Scope
from examples.eliza_bot import listening
from examples.eliza_bot.notes import NoteDeleted, NotesModule
from examples.eliza_bot.skills import answer

ROOMS: Final = {"parlour": "eliza", "office": "clerk"}
"""The rooms there are, and the agent that each belongs to."""

MODULES: Final[tuple[StateModule[Any], ...]] = (
    ConversationModule(),
    WorkspaceModule(),
    ApprovalModule(),
    NotesModule(),
    *settings("global", "agent", "room"),
)

LEASE_MS: Final = 1_000
"""How long the workspace waits for a run that was killed. A run that lives renews its lease."""


@asynccontextmanager
async def agents_at_work(url: str) -> AsyncGenerator[StateManager]:
    """Open the store, made if need be, and have the agents answer in it until the block ends."""
    async with StateManager.open(url, modules=MODULES) as manager:
        await manager.follow("workspaces", workspace_follower(), events=[MessageReceived])
        await manager.follow("answers", partial(say_answer, manager), events=[WorkspaceRunCompleted])
        approvals = [ApprovalGranted, ApprovalDenied]
        await manager.follow("approvals", partial(carry_out, manager), events=approvals)
        manager.on(MessageReceived, judge_mood, policy="latest", debounce_ms=100)
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(manager, manager.agent(name))) for name in ROOMS.values()]
            yield manager
            for worker in workers:
                worker.cancel()


async def work(manager: StateManager, agent: Scope) -> None:
    """Answer what waits for an agent, and what comes, one message of a user at a time."""
    received = asyncio.Event()
    with manager.subscribe(lambda _: received.set(), below=agent, event=WorkspaceMessageReceived):
        while True:
            received.clear()
            for user in await waiting_users(agent):
                await workspace_of(manager, user).drain(
                    partial(answer, manager), holder="terminal", lease_ms=LEASE_MS
                )
            with suppress(TimeoutError):  # nobody tells when the lease of a killed run is over
                await asyncio.wait_for(received.wait(), LEASE_MS / 1_000)


def workspace_of(manager: StateManager, user: Scope) -> Workspace:
    """Return the workspace that an agent keeps for a user."""
    agent = user.path.steps[0][1]
    return Workspace(user, manager=manager, keys=manager.plugins[agent])


async def say_answer(manager: StateManager, told: RecordedEvent, write: Write) -> None:
    """Say in the conversation what a run has answered: a follower, so it is said, and said once."""
    before = await manager.at(told.path).state(WorkspaceModule, at=told.position - 1)
    if before.active_run is None or told.event.response is None:
        return
    message = before.active_run.message
    said = MessageReceived(
        id=f"re-{message.source}",
        user=told.path.steps[0][1],
        text=told.event.response,
        at=told.event.at,
        reply_to=message.source,
    )
    write(said, to=message.chat)


async def carry_out(manager: StateManager, told: RecordedEvent, write: Write) -> None:
    """Delete the note that was asked about, if that was approved of, and say what became of it."""
    approval = (await manager.at(told.path).state(ApprovalModule)).history.get(told.event.id)
    if approval is None:
        return
    subject = approval.subject
    talk = manager.at(subject["chat"]).path
    room = Path(talk.steps[:2])
    outcome = "stays"
    if approval.status == "approved":
        outcome = "is gone"
        if subject["note"] in (await manager.at(room).state(NotesModule)).notes:
            write(NoteDeleted(id=subject["note"]), to=room)
    said = MessageReceived(
        id=f"did-{approval.id}",
        user=told.path.steps[0][1],
        text=f"“{subject['text']}” {outcome}.",
        at=told.event.at,
    )
    write(said, to=talk)


async def judge_mood(change: Change, context: EffectContext) -> None:
    """Note how a conversation feels, once it is quiet: an effect, for nobody misses a mood that was lost."""
    conversation = await context.state(ConversationModule)
    texts = [each.text for each in conversation.messages.last(6) if each.user not in ROOMS.values()]
    mood = listening.mood(texts)
    if mood != conversation.sentiment:
        await context.dispatch(SentimentUpdated(sentiment=mood))
