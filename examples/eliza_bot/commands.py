"""What a user can do besides talking: functions that return what to show, and the table of them.

What is said to an agent goes through the conversation; these read the state, or change it, at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from eliza_modules.settings import SettingChanged, SettingsModule
from eliza_modules.workspace_memory import debug_view, memory_text
from eliza_state import Path
from eliza_state.change import Record
from eliza_state.diff import Difference, Field, Key, diff, render
from eliza_state.scope import Scope
from examples.eliza_bot.agents import ROOMS
from examples.eliza_bot.visit import Visit

SECONDS: Final = r"\d{1,4}(\.\d+)?"
SETTINGS: Final = {"tone": "warm|dry", "pause": SECONDS, "cooldown": SECONDS}
"""What can be set, and what its value looks like."""

HISTORY: Final = 50
RECORDS: Final = 1_000
"""How many records at or below a scope `/why` looks at, the last ones."""


async def enter(visit: Visit, room: str) -> str:
    if room not in ROOMS:
        return f"There are the rooms {' and '.join(ROOMS)}."
    await visit.enter(room)
    return f"You are in the {room} with {visit.host}."


async def approve(visit: Visit, reason: str) -> str:
    """Say yes to the oldest question; the follower `approvals` does the rest."""
    return await _decide(visit, visit.approvals.approve, reason)


async def deny(visit: Visit, reason: str) -> str:
    return await _decide(visit, visit.approvals.deny, reason)


async def _decide(visit: Visit, decide: Callable[..., Awaitable[object]], reason: str) -> str:
    pending = await visit.approvals.pending()
    if not pending:
        return f"{visit.host} has asked nothing."
    await decide(pending[0].id, by=visit.user, reason=reason or None)
    await visit.manager.followers.settled()
    return ""


async def keep_secret(visit: Visit, argument: str) -> str:
    """Remember what no conversation, and so no record of one, shall hold in the open."""
    key, _, value = argument.partition("\n")
    if not value:
        return "A secret takes a key, and then a value: /secret pin"
    await visit.workspace.context().memory.set(key.lower(), value, secret=True)
    return f"{visit.host} remembers your {key}, and shows it to nobody."


async def memory(visit: Visit, _: str) -> str:
    return memory_text(await visit.workspace.state()) or "Nothing is remembered."


async def history(visit: Visit, _: str) -> str:
    return "\n".join(f"  | {each.user}: {each.text}" for each in await visit.heard(HISTORY))


async def debug(visit: Visit, _: str) -> str:
    return json.dumps(debug_view(await visit.workspace.state()), indent=2, ensure_ascii=False)


async def change_setting(visit: Visit, argument: str) -> str:
    """Set something for this room, for all of its agent's, or for all agents; show what holds here then."""
    words = argument.split()
    if words:
        key, value, place = [*words, "", ""][:3]
        scopes = {"": visit.talk.path.parent, "agent": visit.agent.path, "all": Path()}
        scope = scopes.get(place)
        if scope is None or len(words) > 3 or not re.fullmatch(SETTINGS.get(key, "(?!)"), value):
            return "As in: /set tone dry, /set pause 2.5 agent, /set cooldown 60 all"
        known = value if key == "tone" else float(value)
        await visit.manager.dispatch(SettingChanged(key=key, value=known), to=scope)
    view = await visit.talk.inherited(SettingsModule)
    return "\n".join(f"{key} = {view[key]}, set at {view.origin(key).encode() or 'the root'}" for key in view)


async def why(visit: Visit, word: str) -> str:
    """Show which records changed what stands under a key or in a field, and how."""
    lines: list[str] = []
    paths = {*visit.talk.path.chain(), visit.workspace.scope.path}
    for scope in map(visit.manager.at, sorted(paths, key=lambda path: len(path.steps))):
        newest = await scope.records(newest_first=True, limit=RECORDS)
        for record, differences in await _changes_of(word, scope, newest[::-1]):
            lines += [f"{record!r}", *(f"    {line}" for line in render(differences).splitlines())]
    return "\n".join(lines) or f"Nothing here under {word!r} is other than it was at first."


async def _changes_of(
    word: str, scope: Scope, records: Sequence[Record]
) -> list[tuple[Record, list[Difference]]]:
    """Find the records behind a value by halving; what changed and changed back meanwhile is passed over."""
    if not records:
        return []
    before = await scope.state(at=records[0].position - 1)
    after = await scope.state(at=records[-1].position)
    # What a run began with stands in `active_run`, to be put back: that is no change.
    found = [
        each
        for each in diff(before, after)
        if {Key(word), Field(word)} & {*each.path} and Field("active_run") not in each.path
    ]
    if not found or len(records) == 1:
        return [(records[0], found)] if found else []
    half = len(records) // 2
    return [
        *await _changes_of(word, scope, records[:half]),
        *await _changes_of(word, scope, records[half:]),
    ]


async def reset(visit: Visit, _: str) -> str:
    await visit.workspace.reset()
    return f"{visit.host} has forgotten you."


async def show_help(_: Visit, __: str) -> str:
    return "\n".join(f"  {name} {each.usage:<24} {each.meaning}" for name, each in COMMANDS.items())


@attrs.frozen
class Command:
    """A command: what it does, what it takes, what it is for; `run` is None for what an agent answers."""

    run: Callable[[Visit, str], Awaitable[str]] | None
    usage: str
    meaning: str


COMMANDS: Final = {
    "/room": Command(enter, "|".join(ROOMS), "go to eliza, who listens, or to the clerk, who does things"),
    "/delete": Command(None, "NUMBER", "have the clerk delete a note, once somebody has said yes"),
    "/approve": Command(approve, "[REASON]", "say yes"),
    "/deny": Command(deny, "[REASON]", "say no"),
    "/secret": Command(keep_secret, "KEY", "have something remembered that is never shown"),
    "/memory": Command(memory, "", "what the agent here remembers of you"),
    "/history": Command(history, "", "what was said here"),
    "/set": Command(change_setting, "KEY VALUE [agent|all]", "tone warm|dry; pause, cooldown: seconds"),
    "/why": Command(why, "WORD", "how a memory, a setting or a field came to be: name, tone, sentiment"),
    "/debug": Command(debug, "", "the workspace that the agent here keeps for you"),
    "/reset": Command(reset, "", "have the agent here forget you"),
    "/help": Command(show_help, "", "this"),
    "/quit": Command(None, "", "leave; the end of the input does it too, and so does killing"),
}
