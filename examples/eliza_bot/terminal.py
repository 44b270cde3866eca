"""A bot in a terminal: two agents that remember, ask before they delete, and survive being killed.

Without a terminal, lines are taken from standard input and printed as if they had been typed.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import io
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import attrs

from eliza_modules import MessageReceived
from eliza_state import Path, Rejected, StateError
from eliza_state.change import Change
from examples.eliza_bot.agents import ROOMS, agents_at_work
from examples.eliza_bot.commands import COMMANDS
from examples.eliza_bot.visit import Visit

STORE: Final = "sqlite:///eliza-bot.db"
MAX_LINE: Final = 2_000
SHOWN: Final = 6
"""How many messages of the past are shown at the start."""


@attrs.frozen
class Terminal:
    """Take a user's lines and show what is said to them."""

    visit: Visit
    is_typed: bool
    """Whether somebody types: then the lines are on the screen already."""

    async def run(self) -> None:
        """Take up the talk where it was left, and go on until the end of the input or `/quit`."""
        with self.visit.manager.subscribe(self.show, event=MessageReceived):
            await self.visit.resume()
            print(f"You are in the {self.visit.room} with {self.visit.host}. /help shows what you can do.")
            for message in await self.visit.heard(SHOWN):
                print(f"  | {message.user}: {message.text}")
            for agent in ROOMS.values():
                await self.visit.answered(agent)  # what a killed process has left undone
            for approval in await self.visit.approvals.pending():
                print(f"/approve or /deny: the deletion of “{approval.subject['text']}”")
            while (line := await self.read(f"{self.visit.user}> ")) not in (None, "/quit"):
                await self.take(line or "")

    def show(self, change: Change) -> None:
        """Print what an agent says to the user, as soon as it is on the journal."""
        if change.path.id == self.visit.user != change.event.user:
            print(f"{change.event.user}: {change.event.text}", flush=True)

    async def take(self, line: str) -> None:
        """Carry out a command, or say the line."""
        name, _, argument = line.partition(" ")
        command = COMMANDS.get(name)
        if len(line) > MAX_LINE:
            print(f"That is too long: a line has at most {MAX_LINE:,} characters.")
        elif name.startswith("/") and command is None:
            print(f"There is no {name}. /help shows what there is.")
        elif command is not None and command.run is not None:
            if name == "/secret":
                argument = f"{argument.strip()}\n{await self.read('(not shown) ', is_hidden=True) or ''}"
            try:
                shown = await command.run(self.visit, argument.strip())
            except Rejected as refused:
                shown = f"That cannot be: {refused.reason}."
            if shown:
                print(shown)
        elif line:
            await self.visit.say(line)

    async def read(self, prompt: str, *, is_hidden: bool = False) -> str | None:
        """Return the next line, `None` at the end; what cannot be printed is a blank."""
        ask = getpass.getpass if is_hidden else input
        try:
            line = await in_thread(lambda: ask(prompt) if self.is_typed else input())
        except EOFError:
            return None
        line = "".join(character if character.isprintable() else " " for character in line).strip()
        if not self.is_typed:
            print(f"{prompt}{'' if is_hidden else line}", flush=True)
        return line


async def in_thread(read: Callable[[], str]) -> str:
    """Wait for a function in a thread of its own, which the end of the program does not wait for."""
    line: Future[str] = Future()

    def wait() -> None:
        line.set_running_or_notify_cancel()
        try:
            line.set_result(read())
        except Exception as error:  # noqa: BLE001  # it is for whoever awaits
            line.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    return await asyncio.wrap_future(line)


async def talk(url: str, user: str) -> None:
    """Open the store, have the agents work in it, and let the user talk to them."""
    async with agents_at_work(url) as manager:
        await Terminal(Visit(manager, user), is_typed=sys.stdin.isatty()).run()


def user_name(text: str) -> str:
    """Return a name that a user may have here; for the option parser."""
    if text in ROOMS.values() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name for a user here; choose another")
    Path().child("user", text)
    return text


def main() -> None:
    """Read the options and talk; exit with 1 if the store cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m examples.eliza_bot", description=__doc__)
    parser.add_argument("--store", default=STORE, metavar="URL", help="default: %(default)s")
    parser.add_argument("--user", default="you", type=user_name, help="who you are (default: %(default)s)")
    options = parser.parse_args()
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a byte that is no text shall end nothing
    outcome: str | None = None
    try:
        asyncio.run(talk(options.store, options.user))
    except* KeyboardInterrupt:
        sys.stdout.flush()
        os._exit(130)  # the store is closed, and the thread that waits for a line would not let go
    except* StateError as errors:  # a worker's come in a group
        outcome = f"error: {errors.exceptions[0]}"
    sys.exit(outcome)
