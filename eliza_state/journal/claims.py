"""Named rights, each of which one process has at a time: who works on which part of something.

A claim is a lock that ends with the process that has it, so nobody has to be outwaited. It says who is to
do something, not what is true: who lost the connection that holds it learns of that later than others do.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable


class Claims(abc.ABC):
    """The claims of one holder among all who have the store open; any thread may ask."""

    @abc.abstractmethod
    def take(self, name: str) -> bool:
        """Take a claim without waiting, and tell whether it was free; one that is held already was not.

        Raises `StoreError` when that cannot be known now; what was held may be lost with the connection.
        """

    @abc.abstractmethod
    def release(self, name: str) -> None:
        """Give a claim back; one that is not held is left alone."""

    @abc.abstractmethod
    def taken(self, names: Iterable[str]) -> set[str]:
        """Return those of the claims that somebody holds, this holder included. Raises as `take` does."""

    @property
    @abc.abstractmethod
    def held(self) -> frozenset[str]:
        """The claims of this holder, as far as it knows."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give everything back; closing twice does nothing."""


class MemoryClaims(Claims):
    """Claims on a store in memory, which nobody else has."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    def take(self, name: str) -> bool:
        is_free = name not in self._held
        self._held.add(name)
        return is_free

    def release(self, name: str) -> None:
        self._held.discard(name)

    def taken(self, names: Iterable[str]) -> set[str]:
        return self._held.intersection(names)

    @property
    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    def close(self) -> None:
        self._held.clear()
