"""Reading names and literals from a text, one after the other, with errors that point at a character."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from eliza_state.debugger.errors import InvalidStatePath

NAME: Final = re.compile(r"[^\W\d]\w*")
"""The name of a field."""

WORD: Final = re.compile(r"""[^\s"'(){}\[\],]+""")
"""What needs no quotes in brackets."""

# No more digits than any number here has use for: reading thousands takes long.
_NUMBER = re.compile(r"-?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?", re.ASCII)
INTEGER: Final = re.compile(r"-?\d{1,300}", re.ASCII)
"""A whole number as it stands in brackets."""

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"' + r"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_MAX_DEPTH: Final = 50


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


_TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "UUID": uuid.UUID,
    "Decimal": Decimal,
    "datetime": _moment,
    "date": datetime.date.fromisoformat,
}


class Scanner:
    """Stand at an `offset` in a text and take from it what comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self._depth = 0

    @property
    def is_at_end(self) -> bool:
        """Tell whether all of the text is taken."""
        return self.offset == len(self.text)

    def error(self, expected: str) -> InvalidStatePath:
        """Return the error for what stands here, which is not what was expected."""
        rest = self.text[self.offset :]
        got = repr(rest[0]) if rest else "the end"
        return InvalidStatePath(f"expected {expected}, got {got}", text=self.text, offset=self.offset)

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Take what a pattern matches here; `None` if it does not."""
        found = pattern.match(self.text, self.offset)
        if found is None:
            return None
        self.offset = found.end()
        return found[0]

    def wanted(self, pattern: re.Pattern[str], expected: str) -> str:
        """Take what a pattern matches here, or raise saying what was expected."""
        found = self.match(pattern)
        if found is None:
            raise self.error(expected)
        return found

    def take(self, text: str) -> bool:
        """Take exactly this text if it stands here."""
        if not self.text.startswith(text, self.offset):
            return False
        self.offset += len(text)
        return True

    def close(self, bracket: str) -> None:
        """Take a closing bracket, which has to stand here."""
        if not self.take(bracket):
            raise self.error(repr(bracket))

    def skip_blanks(self) -> None:
        """Go past blanks."""
        while self.offset < len(self.text) and self.text[self.offset].isspace():
            self.offset += 1

    def literal(self) -> Any:
        """Take a literal, which has to stand here."""
        start = self.offset
        if (quoted := self.match(_QUOTED)) is not None:
            return _unquoted(quoted)
        if self.take("("):
            return self._tuple()
        if number := self.match(_NUMBER):
            return float(number) if any(sign in number for sign in ".eE") else int(number)
        name = self.match(NAME)
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in _TYPES:
            self.skip_blanks()
            return self._typed(name)
        self.offset = start
        raise self.error("a literal: a text in quotes, a number, true, false, null or a tuple")

    def _typed(self, name: str) -> Any:
        start = self.offset
        text = _unquoted(self.wanted(_QUOTED, f"the text of the {name} in quotes"))
        try:
            return _TYPES[name](text)
        except (ValueError, InvalidOperation):
            self.offset = start
            raise self.error(f"the text of a {name}") from None

    def _tuple(self) -> Any:
        """Take what stands in parentheses: a tuple if there is a comma or nothing, else the one literal."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.error(f"no more than {_MAX_DEPTH} parentheses in each other")
        items: list[Any] = []
        is_tuple = True
        self.skip_blanks()
        while not self.take(")"):
            items.append(self.literal())
            self.skip_blanks()
            is_tuple = self.take(",")
            self.skip_blanks()
            if not is_tuple:
                self.close(")")
                break
        self._depth -= 1
        return tuple(items) if is_tuple or len(items) > 1 else items[0]


def _unquoted(quoted: str) -> str:
    """Return the text between quotes with its escapes resolved, JSON's and Python's."""

    def resolve(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code is None:
            return _ESCAPED.get(match[4], match[4])
        return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else match[0]

    return _ESCAPE.sub(resolve, quoted[1:-1])
