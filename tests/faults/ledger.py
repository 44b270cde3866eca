"""What the processes dispatch: amounts posted to accounts, and tallies whose value depends on the order.

A tally chains the checksum of every posting that it has seen, so two processes agree on it only if both have
folded the same records in the same order. An account refuses to be overdrawn, which is decided on a state
that others change at the same time.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from typing import Any, Final

import attrs

from eliza_state.collections import Log
from eliza_state.errors import Rejected
from eliza_state.event import event
from eliza_state.evolve import evolve
from eliza_state.module import StateModule, reduces
from eliza_state.path import Path

LANES: Final = 4
"""Tasks that dispatch at the same time in a process: half of them to conversations of its own."""
BLOCK: Final = 150
"""After so many operations a lane goes on to its next conversation, so that old ones leave the memory."""

_AT_ONCE: Final = 0.8
_AGENT: Final = Path().child("agent", "bank")


@event("posted")
class Posted:
    """An amount was posted to an account: the `part` of the operation of that number of a worker."""

    worker: int
    number: int
    part: int
    amount: int

    @property
    def id(self) -> str:
        """The id of the record."""
        return f"{self.worker}-{self.number}-{self.part}"


@attrs.frozen
class Tally:
    """How many postings there were, and the checksum of them all in their order."""

    count: int = 0
    chain: int = 0


class TallyModule(StateModule[Tally]):
    """Chain the postings to a scope and below it."""

    name = "tally"
    level = "global"

    @reduces(Posted)
    def post(self, state: Tally, event: Posted) -> Tally:
        return evolve(state, count=state.count + 1, chain=zlib.crc32(event.id.encode(), state.chain))


@attrs.frozen
class Account:
    """What there is, and every posting by its id."""

    balance: int = 0
    entries: Log[str] = attrs.field(factory=Log[str])


class AccountModule(StateModule[Account]):
    """Refuse what would overdraw a conversation's account."""

    name = "account"
    level = "conversation"

    @reduces(Posted)
    def post(self, state: Account, event: Posted) -> Account:
        balance = state.balance + event.amount
        if balance < 0:
            raise Rejected(f"there are {state.balance}, {-event.amount} are wanted")
        return evolve(state, balance=balance, entries=state.entries.append(event.id))


def modules() -> list[StateModule[Any]]:
    """Return all modules of the ledger."""
    tally = TallyModule()
    return [*(tally.at(level) for level in ("global", "agent", "room", "conversation")), AccountModule()]


def picture(slices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the slices of a scope as JSON can tell them, short."""
    told: dict[str, Any] = {}
    for name, state in slices.items():
        if isinstance(state, Account):
            entries = "\n".join(state.entries)
            told[name] = [state.balance, len(state.entries), zlib.crc32(entries.encode())]
        else:
            told[name] = [state.count, state.chain]
    return told


@attrs.frozen
class Posting:
    """One operation of a worker: postings to one conversation, in one transaction if there are two.

    `pause` is how long its lane waits before, in multiples of the mean: most follow one another at once.
    """

    number: int
    path: Path
    events: tuple[Posted, ...]
    pause: float
    is_resumed: bool
    """Whether it is dispatched again, under the same ids, where its worker was killed before the answer."""


def posting(seed: int, worker: int, number: int) -> Posting:
    """Return the operation of that number of a worker: the same one each time."""
    dice = random.Random(f"{seed}:{worker}:{number}")
    lane, block = number % LANES, number // LANES // BLOCK
    is_shared = lane >= LANES // 2
    room, name = ("shared", f"{lane}-{block}") if is_shared else (f"own {worker}", f"{worker}-{lane}-{block}")
    amounts = [dice.randint(-40, 60) for _ in range(1 + (dice.random() < 0.2))]
    events = tuple(
        Posted(worker=worker, number=number, part=part, amount=amount) for part, amount in enumerate(amounts)
    )
    path = _AGENT.child("room", room).child("conversation", name)
    pause = dice.expovariate(1 - _AT_ONCE) if dice.random() > _AT_ONCE else 0.0
    return Posting(number, path, events, pause, is_resumed=dice.random() < 0.5)
