"""Places inside a state as text, such as `messages[m1].text`: the paths of `eliza_state.diff`, to be typed.

    path    = [ name ] { "." name | "[" key "]" | "{" element "}" }
    key     = number | word | literal in quotes or parentheses
    element = number | word | literal in quotes or parentheses
    literal = text in quotes | number | true | false | null | ( literal, … ) | type "text"

A name is a field. In brackets stand the id of an entity, the key of a mapping or the position in a sequence;
in braces stands an element of a set. A word needs no quotes. A bare number in brackets is a position, and the
key that is a number stands in parentheses, `[(5)]`; `find` takes the one for the other where the state leaves
no doubt. `type` is one of `UUID`, `Decimal`, `datetime` and `date`.
"""

from __future__ import annotations

import datetime
import difflib
import enum
import json
import re
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

import attrs

from eliza_state.collections import Entities, Log, Map, Set
from eliza_state.debugger.errors import InvalidStatePath
from eliza_state.debugger.scanning import INTEGER, NAME, WORD, Scanner
from eliza_state.diff import Element, Field, Index, Key, Step, is_open

StatePath: TypeAlias = tuple[Step, ...]
"""Steps from a slice's state down to a place inside it; empty for the state itself."""


class Missing(enum.Enum):
    """What `find` returns where there is nothing; `None` is something."""

    MISSING = "nothing"

    def __repr__(self) -> str:
        return self.value


MISSING: Final = Missing.MISSING

_PLAIN_WORD = re.compile(r"[^\W\d][\w.:@/-]*")
_TEXT_OF: Final[dict[type, Callable[[Any], str]]] = {
    uuid.UUID: str,
    Decimal: str,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
}


def parse_path(text: str) -> StatePath:
    """Return the path that a text names; nothing is looked up and nothing is run.

    Raises `InvalidStatePath` pointing at the character where the text goes wrong.
    """
    scanner = Scanner(text)
    path = scan_path(scanner)
    if not scanner.is_at_end:
        raise scanner.error("'.', '[', '{' or the end")
    return path


def scan_path(scanner: Scanner) -> StatePath:
    """Read a path from where a scanner stands, as far as it goes."""
    return tuple(_steps(scanner))


def _steps(scanner: Scanner) -> Iterator[Step]:
    if name := scanner.match(NAME):
        yield Field(name)
    while True:
        if scanner.take("."):
            yield Field(scanner.wanted(NAME, "the name of a field"))
        elif scanner.take("["):
            yield _key(scanner)
            scanner.close("]")
        elif scanner.take("{"):
            yield Element(_element(scanner))
            scanner.close("}")
        else:
            return


def _key(scanner: Scanner) -> Step:
    start = scanner.offset
    word = scanner.match(WORD)
    if word is None:
        return Key(scanner.literal())
    if not INTEGER.fullmatch(word):
        return Key(word)
    if word.startswith("-"):
        scanner.offset = start
        raise scanner.error("a position from 0 (a key that is a negative number stands in parentheses)")
    return Index(int(word))


def _element(scanner: Scanner) -> Hashable:
    word = scanner.match(WORD)
    if word is None:
        found: Hashable = scanner.literal()
        return found
    return int(word) if INTEGER.fullmatch(word) else word


def path_text(path: StatePath) -> str:
    """Return the text of a path, which `parse_path` reads; empty for the whole state.

    A key of a class that the grammar has no literal for is shown by its repr, and cannot be read again.
    """
    return "".join(map(_step_text, path)).removeprefix(".")


def _step_text(step: Step) -> str:
    match step:
        case Field(name):
            return f".{name}"
        case Index(position):
            return f"[{position}]"
        case Key(key):
            return f"[{key_text(key)}]"
        case Element(element) if type(element) is int:
            return f"{{{element}}}"
        case Element(element):
            return f"{{{key_text(element)}}}"


def key_text(key: Hashable) -> str:
    """Return a key as it stands in brackets."""
    if type(key) is str:
        return key if _PLAIN_WORD.fullmatch(key) else _literal_text(key)
    return _literal_text(key) if type(key) is tuple else f"({_literal_text(key)})"


def _literal_text(value: Any) -> str:
    cls = type(value)
    if cls is str:
        return json.dumps(value, ensure_ascii=False)
    if cls in (bool, type(None)):
        return json.dumps(value)
    if cls is tuple:
        inside = ", ".join(map(_literal_text, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if cls in _TEXT_OF:
        return f'{cls.__name__} "{_TEXT_OF[cls](value)}"'
    return repr(value)


def find(state: Any, path: StatePath) -> Any:
    """Return what stands at a path in a state, `MISSING` if nothing does.

    `[5]` is a position in a sequence, and in a mapping the key 5 or else the key "5"; `[ada]` is an element
    where it is a set. In a mapping, `.name` is the key of that name. Below `None` nothing is found.
    Raises `InvalidStatePath` for a field that the class does not have, one that it does not show, and a step
    that such a value has no room for.
    """
    for step in path:
        if state is MISSING or state is None:
            return MISSING
        state = _look(state, step)
    return state


def _look(value: Any, step: Step) -> Any:
    cls: Any = type(value)
    if cls in (Map, Entities) or isinstance(value, Mapping):
        return _in_mapping(value, step)
    if isinstance(value, Set | set | frozenset):
        return _in_set(value, step)
    if isinstance(value, Log | list | tuple):
        return _in_sequence(value, step)
    if isinstance(step, Field) and is_open(cls):
        return _in_object(value, step.name)
    raise InvalidStatePath(f"a {cls.__name__} has nothing at {_step_text(step)!r} to look into")


def _in_mapping(mapping: Any, step: Step) -> Any:
    for key in _keys(step):
        if key in mapping:
            return mapping[key]
    return MISSING


def _in_set(elements: Any, step: Step) -> Any:
    return next((element for element in _keys(step) if element in elements), MISSING)


def _keys(step: Step) -> tuple[Hashable, ...]:
    match step:
        case Index(position):
            return position, str(position)
        case Field(name):
            return (name,)
        case Key(key):
            return (key,)
        case Element(element):
            return (element,)


def _in_sequence(sequence: Any, step: Step) -> Any:
    if not isinstance(step, Index):
        raise InvalidStatePath(
            f"a {type(sequence).__name__} goes by positions such as [0], got {_step_text(step)!r}"
        )
    return sequence[step.position] if step.position < len(sequence) else MISSING


def _in_object(value: Any, name: str) -> Any:
    cls: Any = type(value)
    shown = {field.name: field for field in attrs.fields(cls) if field.repr is True}
    if name in shown:
        return getattr(value, name)
    near = difflib.get_close_matches(name, shown, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it shows {', '.join(shown) or 'none'}"
    raise InvalidStatePath(f"{cls.__name__} has no field {name!r} to look into; {hint}")
