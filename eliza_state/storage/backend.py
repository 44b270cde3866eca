"""The contract of a backend: where entries lie. `Storage` gives all of them the same face.

A backend answers with what it has, entries past their deadline and tombstones included; who is alive is
decided in one place, by `Storage`. It is generic in what an entry holds: bytes where it writes to disk or a
server, values where it keeps them in memory or wraps another backend.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from eliza_state.clock import Clock, now_us

T = TypeVar("T")


class Gone(enum.Enum):
    """What an entry holds whose key was deleted."""

    GONE = "gone"

    def __repr__(self) -> str:
        return "GONE"


GONE: Final = Gone.GONE
"""In an entry: a tombstone, which keeps its version until its deadline. In an update: delete the key."""


class Mark(NamedTuple):
    """An entry without its value: its version and its times in milliseconds (deadline since 1970)."""

    version: int
    deadline_ms: int | None = None
    ttl_ms: int | None = None
    is_gone: bool = False

    def is_live(self, now_ms: int) -> bool:
        """Tell whether the key exists at a time: neither deleted nor past its deadline."""
        return not self.is_gone and not self.is_past(now_ms)

    def is_past(self, now_ms: int) -> bool:
        """Tell whether its deadline has come: nothing needs it any more."""
        return self.deadline_ms is not None and self.deadline_ms <= now_ms


class Entry(NamedTuple, Generic[T]):
    """What is stored under a key.

    `version` grows with every write of the key. `deadline_ms` is in milliseconds since 1970, `ttl_ms` the
    duration that it was made of, by which `touch` rolls it on; both are `None` for a key that stays.
    """

    value: T | Literal[Gone.GONE]
    version: int
    deadline_ms: int | None = None
    ttl_ms: int | None = None

    @property
    def mark(self) -> Mark:
        """The entry without its value."""
        return Mark(self.version, self.deadline_ms, self.ttl_ms, self.value is GONE)

    @property
    def live_value(self) -> T:
        """The value of an entry that is known to hold one."""
        assert self.value is not GONE
        return self.value

    def is_live(self, now_ms: int) -> bool:
        """Tell whether the key exists at a time: neither deleted nor past its deadline."""
        return self.value is not GONE and (self.deadline_ms is None or self.deadline_ms > now_ms)


class Write(NamedTuple, Generic[T]):
    """A value on its way in; `GONE` leaves a tombstone, which must have a deadline.

    With `expected` it is stored only if the key is at that version (0: not alive). With `version` it is a
    copy of what was stored elsewhere: stored under that version, and only over a lower one. Without both it
    is stored, and the backend issues the version.

    With `keeps_deadline`, which goes with an `expected` version above 0, the entry gets the deadline that
    the stored one has at that moment: others may have touched it since `deadline_ms` was read.
    """

    key: str
    value: T | Literal[Gone.GONE]
    deadline_ms: int | None = None
    ttl_ms: int | None = None
    expected: int | None = None
    version: int | None = None
    keeps_deadline: bool = False


class Written(NamedTuple):
    """What came of a write: the version that the key has now (0: not alive), and whether it was stored."""

    version: int
    is_stored: bool


Marks: TypeAlias = Sequence[tuple[str, Mark]]
"""Keys with their marks: one page of a scan."""


def next_version(stored: int, *, now_us: int) -> int:
    """Return the version of a write over a stored one (0: none).

    It grows even where the clock is turned back, and a key that is deleted and made anew does not start
    again from an old number (a hybrid logical clock, Kulkarni et al. 2014, with one number).
    """
    return max(stored + 1, now_us)


def outcome_of(write: Write[T], stored: Mark | None, *, now_us: int) -> Written:
    """Return what a write does to what is stored under its key: the rule that every backend follows."""
    current = 0 if stored is None else stored.version
    if write.version is not None:
        return Written(max(current, write.version), write.version > current)
    if write.expected is not None:
        live = current if stored is not None and stored.is_live(now_us // 1_000) else 0
        if live != write.expected:
            return Written(live, is_stored=False)
    return Written(next_version(current, now_us=now_us), is_stored=True)


def deadline_of(write: Write[T], stored: Mark | None) -> int | None:
    """Return the deadline of the entry that a write leaves, if it is stored: with `outcome_of`, the rule."""
    if not write.keeps_deadline:
        return write.deadline_ms
    assert stored is not None, "only what is there has a deadline to keep"
    assert write.expected, "only a write that expects a version keeps the deadline"
    return stored.deadline_ms


class Backend(abc.ABC, Generic[T]):
    """Keep entries under full keys (`eliza_state.storage.keys`).

    Several methods may run at once, from one event loop at a time. Every method may raise `StoreError`; then
    nothing acknowledged before is affected. A caller cancelled while it waits cancels its wait.
    """

    name: str = "storage"
    """What kind of backend this is, for people: `memory`, `redis`, `sql`, `archive`."""
    is_durable: bool = True
    """Whether what is acknowledged survives the process."""
    is_inline: bool = False
    """Whether reads end without waiting: before any other task of the event loop runs."""
    is_archive: bool = False
    """Whether this is for what is rarely needed: the lowest layer, never the home of a key."""

    def __init__(self, *, clock: Clock = now_us) -> None:
        self.clock = clock

    @property
    def now_ms(self) -> int:
        """The time by the backend's clock, in milliseconds since 1970."""
        return self.clock() // 1_000

    def at_hand(self, key: str) -> Entry[T] | None:
        """Return the entry of a key if it is there without any waiting; `None` says nothing: ask `read`."""
        return None

    @abc.abstractmethod
    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[T]]:
        """Return the entries of those keys that have one, dead ones included or not."""

    async def look(self, keys: Sequence[str]) -> Mapping[str, Mark]:
        """Return the marks of those keys that have an entry; cheaper than `read`."""
        return {key: entry.mark for key, entry in (await self.read(keys)).items()}

    @abc.abstractmethod
    async def write(self, writes: Sequence[Write[T]]) -> Sequence[Written]:
        """Store entries as `outcome_of` and `deadline_of` say, later ones of one key after earlier ones.

        Atomic for each key. What is acknowledged is as durable as the backend can make it.
        """

    @abc.abstractmethod
    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        """Remove entries, leaving no tombstone; return how many live keys there were among them.

        With `dead_only`, only what is past its deadline at that time goes. A missing key is no error.
        """

    @abc.abstractmethod
    async def touch(self, keys: Sequence[str]) -> set[str]:
        """Roll the deadlines of live keys on by their durations; return the live keys. Versions stay."""

    @abc.abstractmethod
    def scan(self, space: str, *, prefix: str = "", nested: bool = False) -> AsyncIterator[Marks]:
        """Yield the keys of a namespace in pages, in no particular order, with their marks.

        `prefix` is what the escaped name starts with. `nested` includes the namespaces below. Keys written
        or removed meanwhile may or may not come; every other one comes once.
        """

    @abc.abstractmethod
    async def clear(self, space: str) -> None:
        """Remove all entries of a namespace and of those below it, dead or alive; the empty text: all."""

    async def expired(self, *, limit: int = 10_000) -> list[str]:
        """Return up to `limit` keys whose entries are past their deadline, tombstones included."""
        now_ms = self.now_ms
        found: list[str] = []
        async for page in self.scan("", nested=True):
            found += [key for key, mark in page if mark.is_past(now_ms)]
            if len(found) >= limit:
                break
        return found[:limit]

    @abc.abstractmethod
    async def sweep(self, *, limit: int = 10_000) -> list[str]:
        """Remove up to `limit` entries past their deadline, tombstones included; return their keys.

        Never removes what was refreshed meanwhile.
        """

    async def flush(self) -> None:  # most backends hold nothing back
        """Write what is held back."""

    async def expunge(self) -> bool:
        """Have what was removed or overwritten gone from files as well, and tell whether it is.

        It is not while somebody reads what was there before. What a server keeps for itself is its own.
        """
        await self.flush()
        return True

    async def free_bytes(self) -> int:
        """Return how much of its files holds nothing any more; 0 where that is nobody's to know."""
        return 0

    async def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off its files, in a short transaction; return how many went.

        0 where there are none, and where files get smaller only by being rewritten, or by themselves.
        """
        return 0

    @abc.abstractmethod
    async def close(self) -> None:
        """Write what is held back and release what is held; closing twice does nothing."""
