r"""Conditions as text: `user == "ada" and (topic == "boot" or not at < "2026-01-01")`.

    any        = all {"or" all}
    all        = one {"and" one}
    one        = "not" one | "(" any ")" | comparison
    comparison = field ( ("==" | "!=" | "<" | "<=" | ">" | ">=" | "startswith" | "contains") value
                       | ["not"] "in" "[" [value {"," value}] "]" | "between" value "and" value | "exists" )
    field      = word {"." word}
    value      = JSON text in double or single quotes | number | true | false | null | "$" word

A hand-written recursive descent: nothing is evaluated, and nesting is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from eliza_state.query.conditions import All, AnyOf, Comparison, Condition, Field, Not, Param
from eliza_state.query.errors import InvalidQuery

MAX_DEPTH: Final = 100
"""How deeply conditions may be nested in text."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)
      | (?P<word>[^\W\d]\w*(?:\.\w+)*)
      | (?P<parameter>\$[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_IN_SINGLE: Final = re.compile(r"""\\.|\"""")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}


def parse(text: str) -> Condition:
    """Return the condition that a text says; see the module's grammar, and `str(condition)` for the way back.

    Raises `InvalidQuery`, showing the place, for a text that is none.
    """
    return _Parser(text).parse()


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0
        self._token = self._read(0)

    def parse(self) -> Condition:
        found = self._any()
        if self._token.kind != "end":
            raise self._error("expected 'and', 'or' or the end")
        return found

    def _read(self, start: int) -> _Token:
        found = _TOKEN.match(self._text, start)
        if found is None:
            place = len(self._text) - len(self._text[start:].lstrip())
            raise self._error("expected a field, a value or a sign", at=place)
        assert found.lastgroup is not None
        return _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))

    def _take(self) -> _Token:
        token = self._token
        self._token = self._read(token.start + len(token.text))
        return token

    def _accept(self, *texts: str) -> str | None:
        """Take the next token if it is one of these words or signs."""
        if self._token.kind in ("word", "sign") and self._token.text in texts:
            return self._take().text
        return None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            raise self._error(f"expected {text!r}")

    def _error(self, message: str, *, at: int | None = None) -> InvalidQuery:
        place = self._token.start if at is None else at
        line = self._text[:place].rpartition("\n")[2] + self._text[place:].partition("\n")[0]
        column = len(self._text[:place].rpartition("\n")[2])
        return InvalidQuery(f"{message}:\n  {line}\n  {' ' * column}^")

    def _any(self) -> Condition:
        found = [self._all()]
        while self._accept("or"):
            found.append(self._all())
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def _all(self) -> Condition:
        found = [self._one()]
        while self._accept("and"):
            found.append(self._one())
        return found[0] if len(found) == 1 else All(tuple(found))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"conditions may be nested {MAX_DEPTH} deep")
        try:
            if self._accept("not"):
                return Not(self._one())
            if self._accept("("):
                found = self._any()
                self._expect(")")
                return found
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        if self._token.kind != "word":
            raise self._error("expected a field")
        name = self._take().text
        start = self._token.start
        if self._accept("exists"):
            return Comparison(name, "exists")
        is_negated = self._accept("not") is not None
        if self._accept("in"):
            found = Comparison(name, "in", self._list())
            return Not(found) if is_negated else found
        if is_negated:
            raise self._error("expected 'in'")
        return self._compared(name, start)

    def _compared(self, name: str, start: int) -> Condition:
        operands: tuple[Any, ...]
        make: Callable[..., Condition]
        if self._accept("between"):
            low = self._value()
            self._expect("and")
            make, operands = Field.between, (low, self._value())
        elif (sign := self._accept(*_COMPARED)) is not None:
            make, operands = _COMPARED[sign], (self._value(),)
        else:
            raise self._error("expected a comparison such as == or in")
        try:  # the same checks as in Python
            return make(Field(name), *operands)
        except InvalidQuery as error:
            raise self._error(str(error), at=start) from None

    def _list(self) -> tuple[Any, ...]:
        self._expect("[")
        values: list[Any] = []
        if self._accept("]"):
            return ()
        values.append(self._value())
        while self._accept(","):
            values.append(self._value())
        self._expect("]")
        return tuple(values)

    def _value(self) -> Any:
        kind, text, start = self._token
        if kind == "text":
            self._take()
            return self._unquoted(text, start)
        if kind == "number":
            self._take()
            return float(text) if set(text) & set(".eE") else int(text)
        if kind == "parameter":
            self._take()
            return Param(text[1:])
        if kind == "word" and text in _CONSTANTS:
            self._take()
            return _CONSTANTS[text]
        raise self._error("expected a value: text stands in quotes")

    def _unquoted(self, text: str, start: int) -> str:
        if text[0] == "'":
            text = f'"{_IN_SINGLE.sub(_in_double, text[1:-1])}"'
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            raise self._error("expected text with escapes as in JSON", at=start) from None


def _in_double(found: re.Match[str]) -> str:
    """What a piece of a text in single quotes is in double ones."""
    return {"\\'": "'", '"': '\\"'}.get(found[0], found[0])


_COMPARED: Final[Mapping[str, Callable[[Field, Any], Condition]]] = {
    "==": lambda field, value: field == value,
    "!=": lambda field, value: field != value,
    "<": lambda field, value: field < value,
    "<=": lambda field, value: field <= value,
    ">": lambda field, value: field > value,
    ">=": lambda field, value: field >= value,
    "startswith": lambda field, value: field.startswith(value),
    "contains": lambda field, value: field.contains(value),
}
