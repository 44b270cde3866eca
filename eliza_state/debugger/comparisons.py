"""A comparison of one place in a state with a literal, from text: `messages[m1].edits >= 2`."""

from __future__ import annotations

import datetime
import enum
import operator
import re
from collections.abc import Callable, Collection
from typing import Any, Final

import attrs

from eliza_serializers import Secret
from eliza_state.collections import Entities
from eliza_state.debugger.scanning import Scanner
from eliza_state.debugger.state_paths import MISSING, StatePath, find, scan_path
from eliza_state.errors import StateError

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_OPERATOR: Final = re.compile("|".join(_OPERATORS))


@attrs.frozen
class Comparison:
    """Tell of a state whether a place in it compares so; call it with the state.

    Where nothing is, no comparison holds, `!=` neither. A collection is compared by its size with a number, a
    time with a text in ISO 8601, an enum by its value; a secret equals nothing.
    """

    path: StatePath
    operator: str
    literal: Any

    @classmethod
    def parse(cls, text: str) -> Comparison:
        """Return the comparison `PATH OPERATOR LITERAL`; the grammar is that of `state_paths`.

        Raises `InvalidStatePath` pointing at the character where the text goes wrong.
        """
        scanner = Scanner(text)
        scanner.skip_blanks()
        path = scan_path(scanner)
        scanner.skip_blanks()
        sign = scanner.wanted(_OPERATOR, f"one of {', '.join(_OPERATORS)}")
        scanner.skip_blanks()
        literal = scanner.literal()
        scanner.skip_blanks()
        if not scanner.is_at_end:
            raise scanner.error("the end")
        return cls(path, sign, literal)

    def __call__(self, state: Any) -> bool:
        """Tell whether it holds; `StateError` for values that have no order among each other."""
        value = find(state, self.path)
        if value is MISSING:
            return False
        if isinstance(value, Secret):
            return self.operator == "!="
        value, literal = _comparable(value, self.literal)
        try:
            return bool(_OPERATORS[self.operator](value, literal))
        except TypeError:
            raise StateError(
                f"a {type(value).__name__} cannot be compared by {self.operator} with {literal!r}"
            ) from None


def _comparable(value: Any, literal: Any) -> tuple[Any, Any]:
    if isinstance(value, enum.Enum):
        return _comparable(value.value, literal)
    if isinstance(value, datetime.datetime) and isinstance(literal, str):
        return value, datetime.datetime.fromisoformat(literal)
    is_number = isinstance(literal, int | float) and not isinstance(literal, bool)
    if is_number and isinstance(value, Collection | Entities) and not isinstance(value, str | bytes):
        return len(value), literal
    return value, literal
