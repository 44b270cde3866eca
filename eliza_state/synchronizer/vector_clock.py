"""Vector clocks: of two states, which one knows of the other's changes.

Fidge (1988) and Mattern (1988) gave them their order; as a count for each writer of what a replica has seen
they are version vectors (Parker et al., 1983).

>>> laptop, phone = VectorClock({"laptop": 2}), VectorClock({"laptop": 1, "phone": 1})
>>> laptop.compare(phone)
<Order.CONCURRENT: 'concurrent'>
>>> str(laptop.join(phone))
'{"laptop":2,"phone":1}'
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs
import msgspec

from eliza_state.errors import StateError

_Entries: TypeAlias = tuple[tuple[str, int], ...]


class Order(enum.Enum):
    """How one clock stands to another; every two stand in exactly one of these ways."""

    BEFORE = "before"
    AFTER = "after"
    EQUAL = "equal"
    CONCURRENT = "concurrent"


def _entries(counts: Mapping[str, int]) -> _Entries:
    for writer, count in counts.items():
        if not isinstance(writer, str) or type(count) is not int or count < 0:
            raise StateError(f"a clock counts writers, as in {{'laptop': 2}}, got {writer!r}: {count!r}")
    return tuple(sorted((writer, count) for writer, count in counts.items() if count))


_NO_COUNTS: Final[Mapping[str, int]] = MappingProxyType({})


@attrs.frozen(repr=False, init=False)
class VectorClock:
    """How many changes of each writer something has seen; a writer that is not named counts zero.

    Clocks are values: equal ones are the same, whatever the order of their writers, and all operations are
    pure. They form a lattice under `join`, whose least element is `VectorClock()`.
    Raises `StateError` for a count that is no whole number from zero on.
    """

    entries: _Entries
    """The writers that count more than zero, sorted, each with its count."""

    def __init__(self, counts: Mapping[str, int] = _NO_COUNTS) -> None:
        object.__setattr__(self, "entries", _entries(counts))  # it is frozen

    @functools.cached_property
    def _counts(self) -> dict[str, int]:
        return dict(self.entries)

    def count(self, writer: str) -> int:
        """Return how many changes of a writer were seen; 0 for one that is not named."""
        return self._counts.get(writer, 0)

    def counts(self) -> dict[str, int]:
        """Return the counts by writer, those of zero left out."""
        return dict(self.entries)

    def __bool__(self) -> bool:
        return bool(self.entries)

    # Order

    def compare(self, other: VectorClock) -> Order:
        """Return how this clock stands to another: before it, after it, equal, or concurrent with it.

        It is before when it counts no writer higher, and one of them lower.
        """
        lacks = any(self.count(writer) < count for writer, count in other.entries)
        leads = any(count > other.count(writer) for writer, count in self.entries)
        if lacks:
            return Order.CONCURRENT if leads else Order.BEFORE
        return Order.AFTER if leads else Order.EQUAL

    def is_before(self, other: VectorClock) -> bool:
        """Tell whether all that this one has seen the other has seen too, and more."""
        return self.compare(other) is Order.BEFORE

    def is_after(self, other: VectorClock) -> bool:
        """Tell whether this one has seen all that the other has, and more."""
        return self.compare(other) is Order.AFTER

    def is_concurrent_with(self, other: VectorClock) -> bool:
        """Tell whether each has seen something that the other has not."""
        return self.compare(other) is Order.CONCURRENT

    # Operations

    def join(self, *others: VectorClock) -> VectorClock:
        """Return the least clock that is not before any of these: the higher count of each writer.

        Associative, commutative and idempotent.
        """
        counts = self.counts()
        for other in others:
            for writer, count in other.entries:
                counts[writer] = max(count, counts.get(writer, 0))
        return VectorClock(counts)

    def increment(self, writer: str, by: int = 1) -> VectorClock:
        """Return the clock after further changes of a writer."""
        return VectorClock({**self._counts, writer: self.count(writer) + by})

    def pruned(self, retired: Iterable[str], *, everybody: Iterable[VectorClock]) -> VectorClock:
        """Return the clock without those of the retired writers that everybody has seen to their end.

        `retired` writers write no more. `everybody` are the present clocks of all replicas: one that is left
        out, such as a backup that may come back, makes the answer wrong. A writer goes only if all of them
        and this clock count it the same; so do all clocks that come after theirs, and among clocks that agree
        on a writer the order is the same without it. All replicas prune the same writers.
        """
        clocks = [self, *everybody]
        gone = {writer for writer in retired if len({clock.count(writer) for clock in clocks}) == 1}
        return VectorClock({writer: count for writer, count in self.entries if writer not in gone})

    # Text

    def __str__(self) -> str:
        """Return the clock as JSON text, the writers sorted: equal clocks have equal texts."""
        return msgspec.json.encode(self._counts).decode()

    def __repr__(self) -> str:
        return f"VectorClock({self._counts!r})"

    @classmethod
    def parse(cls, text: str | bytes) -> VectorClock:
        """Return the clock of a JSON text; `StateError` for a text that is none."""
        try:
            counts = msgspec.json.decode(text, type=dict[str, int])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"a clock is a JSON object of counts by writer: {error}") from None
        return cls(counts)
