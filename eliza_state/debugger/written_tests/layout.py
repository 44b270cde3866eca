"""Laying out expressions over lines, as `ruff format` and Black do with a width of 88.

What fits stands on one line. Of a call that does not, the arguments stand on a line of their own where they
fit there, else each on one; the items of a display (a list, a dict, a set, a tuple) each on one at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs
from rich.cells import cell_len

WIDTH: Final = 88
_STEP: Final = 4


@attrs.frozen
class Item:
    """One argument or element, with what stands before it: `user=`, or a key and a colon."""

    prefix: str
    node: Node


@attrs.frozen
class Group:
    """What stands in brackets; `opening` has the name before them, too."""

    opening: str
    items: tuple[Item, ...]
    closing: str
    is_display: bool = False

    @property
    def is_tuple(self) -> bool:
        """Tell whether it is one, whose comma makes it one where it holds a single element."""
        return self.is_display and self.opening == "("


Node: TypeAlias = str | Group
"""An expression: a text that stays on one line, or a group."""


def flat(node: Node) -> str:
    """Return an expression on one line."""
    if isinstance(node, str):
        return node
    comma = "," if node.is_tuple and len(node.items) == 1 else ""
    return f"{node.opening}{_in_line(node)}{comma}{node.closing}"


def _in_line(group: Group) -> str:
    return ", ".join(f"{item.prefix}{flat(item.node)}" for item in group.items)


def statement(before: str, node: Node, *, indent: int = _STEP) -> str:
    """Return a statement, over as many lines as it takes, with what stands `before` its expression."""
    first, *others = _lines(node, indent=indent, used=indent + len(before), after=0)
    return "\n".join([f"{' ' * indent}{before}{first}", *others])


def _lines(node: Node, *, indent: int, used: int, after: int) -> Iterator[str]:
    """Yield the lines of an expression that begins in column `used`, with `after` characters behind it.

    The first line comes without its indentation.
    """
    text = flat(node)
    if isinstance(node, str) or not node.items or used + cell_len(text) + after <= WIDTH:
        yield text
        return
    yield node.opening
    inner = indent + _STEP
    text = _in_line(node)
    if not node.is_display and inner + cell_len(text) <= WIDTH:
        yield f"{' ' * inner}{text}"
    else:
        comma = "," if len(node.items) > 1 or node.is_tuple else ""
        for item in node.items:
            yield from _item_lines(item, indent=inner, comma=comma)
    yield f"{' ' * indent}{node.closing}"


def _item_lines(item: Item, *, indent: int, comma: str) -> Iterator[str]:
    lines = list(_lines(item.node, indent=indent, used=indent + cell_len(item.prefix), after=len(comma)))
    lines[0] = f"{' ' * indent}{item.prefix}{lines[0]}"
    lines[-1] += comma
    yield from lines
