"""A process for the tests of the crew: it repeats what it hears, or does what it is told to begin with."""

from __future__ import annotations

import asyncio

from tests.faults.commands import Commands, answer

ECHO = "echo"


async def _echo() -> None:
    commands = Commands()
    answer("ready")
    while (line := await commands.next()) != "close":
        answer(line)


def run(argument: str) -> None:
    """Repeat lines until told to close; with another argument than `ECHO`, end with that text."""
    if argument != ECHO:
        raise SystemExit(argument) if argument else ZeroDivisionError("an error that nobody caught")
    asyncio.run(_echo())
