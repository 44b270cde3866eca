"""What every side of the comparison does: open a new store with conversations in it, and append messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from benchmarks.talk import TEXT

Append: TypeAlias = Callable[[int, int], Awaitable[Any]]
"""Append the message of a number to the conversation of a number, and return when it is durable."""

START_S: Final = 1_767_225_600
"""The time of message 0, 2026-01-01 in UTC, in seconds since 1970; each further one comes a second later."""


@attrs.frozen
class Store:
    """Where a side keeps its store and what is in it before anything is measured.

    `folder` takes the files of SQLite, `url` names the PostgreSQL database where that is the store. Each of
    so many `talks` (conversations) has `history` messages; `tasks` append to them at once.
    """

    folder: Path
    talks: int
    history: int
    tasks: int = 1
    url: str = ""

    def blocking(self, append: Callable[[int, int], object]) -> Append:
        """Return the append of a function that blocks: called by one task as it is, by several in threads."""

        async def append_here(talk: int, number: int) -> None:
            append(talk, number)

        async def append_there(talk: int, number: int) -> None:
            await asyncio.to_thread(append, talk, number)

        return append_here if self.tasks == 1 else append_there


Opened: TypeAlias = Callable[[Store], AbstractAsyncContextManager[Append]]
"""Open a store, made and filled, and yield what appends to it."""


@attrs.frozen
class Side:
    """One way to keep conversations; `note` says how durable it is, and what is not as on our side."""

    name: str
    opened: Opened
    note: str = ""


def user_of(number: int) -> str:
    """Return who wrote a message."""
    return f"user{number % 50}"


def fields_of(number: int) -> dict[str, Any]:
    """Return a message as plain data: the fields that every side stores."""
    return {"id": f"m{number}", "user": user_of(number), "text": TEXT, "at": START_S + number}
