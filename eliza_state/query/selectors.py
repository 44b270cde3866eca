"""Selectors: values derived from a state, computed again only when what they are derived from has changed.

As in reselect (https://reselect.js.org): inputs are taken first and compared by identity, which in states
without mutation tells whether anything has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_KEPT: Final = 128


class Selector(Generic[T]):
    """A function of a state that remembers; made by `selector`.

    `computations` counts how often it had to compute. One thread at a time may call it.
    """

    def __init__(
        self, inputs: tuple[Callable[..., Any], ...], compute: Callable[..., T], *, kept: int
    ) -> None:
        if not inputs or not all(map(callable, (*inputs, compute))):
            raise TypeError("a selector takes functions of the state, and the function to compute of those")
        if kept < 1:
            raise ValueError(f"a selector keeps one result at least, got kept={kept!r}")
        self.computations = 0
        self._inputs = inputs
        self._compute = compute
        self._size = kept
        # The inputs are kept with each result, so that their ids stay theirs.
        self._kept: OrderedDict[tuple[int, ...], tuple[tuple[Any, ...], T]] = OrderedDict()

    def __call__(self, state: Any, /) -> T:
        """Return the value for a state."""
        taken = tuple([take(state) for take in self._inputs])
        ids = tuple(map(id, taken))
        known = self._kept.get(ids)
        if known is not None:
            self._kept.move_to_end(ids)
            return known[1]
        self.computations += 1
        result = self._compute(*taken)
        self._kept[ids] = taken, result
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return result

    def clear(self) -> None:
        """Forget all results."""
        self._kept.clear()


def selector(*functions: Callable[..., Any], kept: int = _KEPT) -> Selector[Any]:
    """Return a selector: the last function computes from what the others take of the state.

    >>> open_goals = selector(lambda state: state.goals, lambda goals: [g for g in goals if not g.completed])

    `compute` runs again only when one of its inputs is another object; the results for the last `kept`
    different inputs are remembered, so that one selector serves several scopes. Selectors can be inputs of
    selectors. What an input or `compute` raises passes through and is not remembered.
    Raises `TypeError` for fewer than two functions.
    """
    *inputs, compute = functions or (None,)
    return Selector(tuple(inputs), compute, kept=kept)  # type: ignore[arg-type]
