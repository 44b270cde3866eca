"""One worker among those who share a follower: how many partitions are its own, and which."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Self, TypeVar

from eliza_state.errors import StateError, StoreError
from eliza_state.followers.follower import Follower
from eliza_state.followers.positions import member_claim
from eliza_state.followers.sharing import Division
from eliza_state.journal.claims import Claims
from eliza_state.problems import Problem, Problems

T = TypeVar("T")


class FollowerGroup:
    """A worker of a shared follower; made by `Followers.join`.

    Every worker claims a seat, which tells the others how many there are, and as many partitions as are its
    due. Whatever ends it, its claims end with it, and the others take the partitions over.
    """

    def __init__(
        self,
        name: str,
        *,
        division: Division,
        claims: Claims,
        begin: Callable[[int], Awaitable[Follower]],
        problems: Problems,
        look_s: float,
    ) -> None:
        self.name = name
        self._places = division.places(name)
        self._seats = [member_claim(name, number) for number in range(division.count)]
        self._claims = claims
        self._begin = begin
        self._problems = problems
        self._look_s = look_s
        self._seat: str | None = None
        self._own: dict[int, Follower] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False

    @property
    def partitions(self) -> Mapping[int, Follower]:
        """The followers of the partitions that are this worker's just now, by their numbers.

        One that has stopped at a record that it could not handle stays here, in front of that record.
        """
        return MappingProxyType(self._own)

    @property
    def is_open(self) -> bool:
        """Whether it works, or may get something to work on."""
        return self._task is not None and not self._task.done()

    async def open(self) -> None:
        """Take what is free of this worker's due, and look from time to time from now on."""
        await self._balance()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def settled(self) -> None:
        """Wait until this worker's partitions have done with every record that the manager has taken in.

        Raises `StateError` if one of them has stopped before that.
        """
        done: list[Follower] = []
        while done != (own := list(self._own.values())):
            for follower in own:
                try:
                    await follower.settled()
                except StateError:
                    if follower.error is not None:
                        raise  # else the partition has gone to another worker meanwhile
            done = own

    def check_caller(self) -> None:
        """Raise `StateError` in a handler of the group, whose end `close` would wait for."""
        for follower in self._own.values():
            follower.check_caller()

    async def close(self) -> None:
        """Leave the group: cancel what is at hand, save the positions and give the claims back.

        Twice does nothing. Raises `StateError` when a handler of the group calls it.
        """
        self.check_caller()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        for number, follower in tuple(self._own.items()):
            await follower.close()
            await self._let_go(number)
        if self._seat is not None:
            await asyncio.to_thread(self._claims.release, self._seat)
            self._seat = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Sharing out

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self._balance()
            except StoreError as error:
                if not self._is_failing:
                    self._report(f"cannot tell who works on what: {error}", error)
                self._is_failing = True
            except StateError as error:
                self._report(f"shares no more: {error}", error)
                return
            else:
                self._is_failing = False

    def _report(self, message: str, error: Exception) -> None:
        self._problems.report(Problem("follower", f"follower {self.name!r} {message}", None, error))

    async def _balance(self) -> None:
        """Give up what is no longer this worker's, or more than its due, and take what is free."""
        taken = await asyncio.to_thread(self._claims.taken, [*self._seats, *self._places])
        await self._drop_lost()
        taken |= await self._sit_down(taken)
        due = self._due(taken)
        for number in sorted(self._own)[due:]:
            await self._own[number].finish()
            await self._let_go(number)
        for number, place in enumerate(self._places):
            if len(self._own) >= due:
                return
            if place not in taken and await asyncio.to_thread(self._claims.take, place):
                self._own[number] = await self._begin(number)

    async def _drop_lost(self) -> None:
        """Stop what is followed here without a claim: the connection that held it was lost."""
        held = self._claims.held
        if self._seat not in held:
            self._seat = None
        for number in [number for number in self._own if self._places[number] not in held]:
            await self._own.pop(number).close()

    async def _sit_down(self, taken: Iterable[str]) -> set[str]:
        """Take a seat, if there is none yet, and return it."""
        free = [seat for seat in self._seats if seat not in taken] if self._seat is None else []
        for seat in free:
            if await asyncio.to_thread(self._claims.take, seat):
                self._seat = seat
                return {seat}
        return set()

    def _due(self, taken: Iterable[str]) -> int:
        """Return how many partitions are this worker's due: as many as each other's, or one more."""
        seats: Sequence[str] = [seat for seat in self._seats if seat in taken]
        if self._seat is None:
            return 0
        each, left = divmod(len(self._places), len(seats))
        return each + (seats.index(self._seat) < left)

    async def _let_go(self, number: int) -> None:
        del self._own[number]
        await asyncio.to_thread(self._claims.release, self._places[number])
