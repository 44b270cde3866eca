"""Looks at the past as text for people."""

from __future__ import annotations

from itertools import islice

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree as Branch

from eliza_state.change import Record
from eliza_state.cli.rendering import counts, lines
from eliza_state.cli.terminal import one_line, put
from eliza_state.debugger import Past, SliceDiff, StateSnapshot, TimelineEntry
from eliza_state.path import Path
from eliza_state.scope import StateTree

_PAYLOAD_WIDTH = 300
_INDENT = "         "


def show_head(console: Console, snapshot: StateSnapshot | Past) -> None:
    """Print which position it is, and when that was."""
    at = snapshot.recorded_at
    when = f", {at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else ", the beginning"
    put(console, Text(f"position {snapshot.position}{when}", "cyan"))


def show_states(console: Console, tree: StateTree, *, limit: int) -> None:
    """Print a tree of scopes with what each holds."""
    branch = Branch(_label(tree), guide_style="dim")
    _grow(branch, tree, limit)
    console.print(branch, no_wrap=True, overflow="ellipsis")


def _grow(branch: Branch, tree: StateTree, limit: int) -> None:
    for child in islice(tree.children, limit):
        _grow(branch.add(_label(child)), child, limit)
    if len(tree.children) > limit:
        branch.add(Text(f"… {len(tree.children) - limit:,} more", "dim"))


def _label(tree: StateTree) -> Text:
    *_, name = tree.path.encode().split("/")
    label = Text(name or tree.level, "bold")
    if tree.version:
        label.append(f"  v{tree.version}", "not bold dim")
    facts = [count for state in tree.slices.values() for count in counts(state)]
    if facts:
        label.append(f"  {', '.join(facts)}", "not bold")
    return label


def show_slices(console: Console, tree: StateTree, *, limit: int) -> None:
    """Print the slices of a scope."""
    put(console, _label(tree))
    for name, state in tree.slices.items():
        put(console, Text(f"\n{name}", "bold"))
        for line in lines(state, limit=limit):
            put(console, f"  {line}")


def show_entry(console: Console, entry: TimelineEntry, *, below: Path) -> None:
    """Print a record: where and when, what came, and what it changed."""
    data = entry.to_json()
    put(console, _head(entry.record, below))
    payload = msgspec.json.encode(data["payload"]).decode()
    cut = payload if len(payload) <= _PAYLOAD_WIDTH else f"{payload[:_PAYLOAD_WIDTH]}…"
    put(console, f"{_INDENT}{'(erased)' if entry.record.is_erased else one_line(cut)}")
    for change in entry.changes:
        show_change(console, change, indent=_INDENT)


def _head(record: Record, below: Path) -> Text:
    where = Path(record.path.steps[len(below.steps) :]).encode() or "."
    head = Text(f"{record.position:>7}", "cyan")
    head.append(f"  v{record.version:<4} {record.recorded_at:%Y-%m-%d %H:%M:%S}  ", "dim")
    head.append(record.event or "(damaged)", "bold")
    return head.append(f"  {where}", "dim")


def show_change(console: Console, change: SliceDiff, *, indent: str = "") -> None:
    """Print what differs in a slice."""
    for line in change.text().split("\n"):
        put(console, Text(indent).append_text(line))
