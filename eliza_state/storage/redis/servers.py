"""The servers that one storage talks to: one, wherever it moves, or the nodes of a cluster."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import NoScriptError, ReadOnlyError

from eliza_state.storage.redis.pool import Command, Pool, Unanswered, Unsent
from eliza_state.storage.redis.scripts import Script


class Call(NamedTuple):
    """A script's keys, all of them in one slot, and its arguments."""

    keys: Sequence[bytes]
    arguments: tuple[bytes | str | int, ...]


class Servers(abc.ABC):
    """Ask the servers that keep given names. Answers are those of `Pool.exchange`."""

    @abc.abstractmethod
    async def run(self, names: Sequence[bytes], commands: Sequence[Command], *, until_s: float) -> list[Any]:
        """Send each command once, to the server that keeps the name beside it."""

    @abc.abstractmethod
    async def pools(self, name: bytes | None = None) -> Sequence[Pool]:
        """Return the servers that together keep all names, or the one that keeps all in the slot of a name.

        Raises `StoreError` when nobody tells.
        """

    @abc.abstractmethod
    def groups(self, names: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        """Return the names in groups that one script may change together."""

    def distrust(self) -> None:  # noqa: B027  # a single server is where it is
        """Take into account that a server failed: where names are kept may have changed."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Close the connections."""

    async def ask(self, names: Sequence[bytes], commands: Sequence[Command], *, until_s: float) -> list[Any]:
        """Do what `run` does with commands that change nothing: what got no answer is asked once more."""
        answers = await self.run(names, commands, until_s=until_s)
        again = [at for at, answer in enumerate(answers) if isinstance(answer, Unsent | Unanswered)]
        if again and asyncio.get_running_loop().time() < until_s:
            replaced = await self.run(
                [names[at] for at in again], [commands[at] for at in again], until_s=until_s
            )
            for at, answer in zip(again, replaced, strict=True):
                answers[at] = answer
        return answers

    async def call(self, script: Script, calls: Sequence[Call], *, until_s: float) -> list[Any]:
        """Run a script once for each call; no two calls may have a key in common."""
        names = [call.keys[0] for call in calls]
        commands = [("EVALSHA", script.sha, len(call.keys), *call.keys, *call.arguments) for call in calls]
        answers = await self.run(names, commands, until_s=until_s)
        # A server that does not know the script has done nothing.
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            texts = [("EVAL", script.text, *commands[at][2:]) for at in unknown]
            replaced = await self.run([names[at] for at in unknown], texts, until_s=until_s)
            for at, answer in zip(unknown, replaced, strict=True):
                answers[at] = answer
        return answers


class OneServer(Servers):
    """A single server; with `sentinel`, the primary that the sentinels name."""

    def __init__(self, pool: Pool, *, sentinel: Sentinel | None = None) -> None:
        self._pool = pool
        self._sentinel = sentinel

    async def run(self, names: Sequence[bytes], commands: Sequence[Command], *, until_s: float) -> list[Any]:
        answers = await self._pool.exchange(commands, until_s=until_s)
        if self._sentinel is None:
            return answers
        # It became a replica and did nothing. The next connection goes where the sentinels say.
        again = [at for at, answer in enumerate(answers) if isinstance(answer, ReadOnlyError)]
        if again:
            replaced = await self._pool.exchange([commands[at] for at in again], until_s=until_s)
            for at, answer in zip(again, replaced, strict=True):
                answers[at] = answer
        return answers

    async def pools(self, name: bytes | None = None) -> Sequence[Pool]:
        return (self._pool,)

    def groups(self, names: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        return (names,) if names else ()

    async def close(self) -> None:
        await self._pool.close()
        if self._sentinel is not None:
            for client in self._sentinel.sentinels:
                await client.aclose()
