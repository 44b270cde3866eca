"""What the agents do with a message: remember, take notes, tell a saying, listen.

A run may be killed at any line and is then run again. What it writes to the workspace's memory is taken back
before that; everything else here carries an id made of the message's, so that a second attempt finds it done.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs

from eliza_modules.approval import Approvals, UnknownApproval
from eliza_modules.settings import SettingsModule
from eliza_modules.workspace_service import WorkspaceRun
from eliza_state import Path, Rejected, StateManager
from eliza_state.inheritance import Inherited
from eliza_state.scope import Scope
from examples.eliza_bot import listening
from examples.eliza_bot.notes import NotesModule, NoteWritten

MAX_ATTEMPTS: Final = 5
"""After so many runs that did not end, a message is answered with an apology."""

SAYINGS: Final = (
    "A watched queue never drains.",
    "Write it down before you say it is done.",
    "The past is read-only.",
    "Whoever asks first deletes best.",
)


@attrs.frozen
class Turn:
    """A message to be answered: the run that has it, and the settings that hold where it was said."""

    manager: StateManager
    run: WorkspaceRun
    settings: Inherited

    @property
    def id(self) -> str:
        """The message's id in its conversation: the same one in every attempt."""
        return self.run.message.source

    @property
    def agent(self) -> Scope:
        return self.manager.at(Path(self.settings.path.steps[:1]))

    @property
    def room(self) -> Scope:
        return self.manager.at(Path(self.settings.path.steps[:2]))


Skill: TypeAlias = Callable[..., Awaitable[str]]
"""Takes the turn and what the pattern has found; returns the answer."""


async def answer(manager: StateManager, run: WorkspaceRun) -> str:
    """Return the agent's answer to the message of a run: that of its first skill whose pattern fits."""
    if run.message.attempts > MAX_ATTEMPTS:
        return "I am sorry, I do not get anywhere with that."
    settings = await manager.at(run.message.chat).inherited(SettingsModule)
    turn = Turn(manager, run, settings)
    await asyncio.sleep(settings.get("pause", 0))
    for pattern, skill in SKILLS[turn.agent.path.steps[0][1]]:
        found = pattern.fullmatch(run.message.text)
        if found is not None:
            try:
                return await in_tone(turn, await skill(turn, *found.groups()))
            except Rejected as refused:
                return f"That cannot be: {refused.reason}."
    raise AssertionError("the last pattern of each agent fits everything")


async def in_tone(turn: Turn, text: str) -> str:
    """Return the answer as the tone asks: a warm agent calls people by the name that it remembers."""
    name = await turn.run.context.memory.get("name")
    if name is None or turn.settings.get("tone", "warm") == "dry" or text[-1] not in ".?":
        return text
    return text if f"{name.value}" in text else f"{text[:-1]}, {name.value}{text[-1]}"


# Memory: by the tools that a language model would call


async def remember(turn: Turn, key: str, value: str) -> str:
    await turn.run.context.call_tool("memory_set", {"key": key.lower(), "value": value})
    return f"Pleased to meet you, {value}." if key.lower() == "name" else f"I shall remember your {key}."


async def recall(turn: Turn, key: str) -> str:
    entry = await turn.run.context.memory.get(key.lower())
    return f"You have not told me your {key}." if entry is None else f"Your {key} is {entry.value}."


async def forget(turn: Turn, key: str) -> str:
    await turn.run.context.call_tool("memory_delete", {"key": key.lower()})
    return f"Your {key}? I know nothing of it."


# Notes: state of the room, changed by events


async def write_note(turn: Turn, text: str) -> str:
    message = turn.run.message
    note = NoteWritten(id=turn.id, text=text, by=turn.run.context.user_id, at=message.at)
    await turn.room.dispatch(note, id=f"note:{turn.id}")
    return "Noted."


async def list_notes(turn: Turn) -> str:
    notes = (await turn.room.state(NotesModule)).notes
    return (
        "\n".join(f"{number}. {note.text}" for number, note in enumerate(notes, 1)) or "There are no notes."
    )


async def ask_to_delete(turn: Turn, number: str) -> str:
    """Ask for a yes; `agents.carry_out` does what was approved, whenever that is."""
    approvals = Approvals(turn.agent, manager=turn.manager)
    try:
        asked = await approvals.get(turn.id)
    except UnknownApproval:
        notes = (await turn.room.state(NotesModule)).notes
        if not 1 <= int(number) <= len(notes):
            return f"There is no note {number}."
        note = notes.at(int(number) - 1)
        subject = {"note": note.id, "text": note.text, "chat": turn.run.message.chat}
        asked = await approvals.request(subject, id=turn.id, by="clerk")
    return f"Delete “{asked.subject['text']}”? That takes your /approve or /deny."


# A plugin: keys of its own, one of them for a while


async def tell_saying(turn: Turn) -> str:
    state, user = turn.manager.plugins["sayings"], turn.run.context.user_id
    if await state.get_or_default(f"told:{user}", turn.id) != turn.id:
        return "One saying at a time. Ask again later."
    cooldown_s = turn.settings.get("cooldown", 30)
    await state.set_with_ttl(f"told:{user}", turn.id, max(1, cooldown_s * 1_000))
    count = await state.update("count", lambda count: count + 1, default=0)
    return SAYINGS[(count - 1) % len(SAYINGS)]


# What is left


async def listen(turn: Turn) -> str:
    return listening.reply(turn.run.message.text, turn=turn.run.token)


async def offer(turn: Turn) -> str:
    return "I can take a note (“note: …”), show the “notes”, “delete 1”, and tell a “saying”."


def _skills(*skills: tuple[str, Skill]) -> list[tuple[re.Pattern[str], Skill]]:
    return [(re.compile(pattern, re.IGNORECASE), skill) for pattern, skill in skills]


MEMORY: Final = (
    (r"(?:remember(?: that)? )?my ([\w -]{1,40}) is ([^?]+?)[.!]?", remember),
    (r"what(?:'s| is) my ([\w -]{1,40})\??", recall),
    (r"forget my ([\w -]{1,40}?)[.!]?", forget),
)

SKILLS: Final = {
    "eliza": _skills(*MEMORY, (r".*", listen)),
    "clerk": _skills(
        *MEMORY,
        (r"note:? (.+)", write_note),
        (r"notes", list_notes),
        (r"/?delete (\d{1,3})", ask_to_delete),
        (r"(?:tell me )?(?:a )?saying", tell_saying),
        (r".*", offer),
    ),
}
"""What each agent can do, by the patterns that it tries in this order."""
