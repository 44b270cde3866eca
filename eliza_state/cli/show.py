"""`show`: what a store holds, the tree of its scopes or the slices of one."""

from __future__ import annotations

import difflib
from itertools import islice
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree as Branch

from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.options import Debug, Json, Modules, ScopePath, Store
from eliza_state.cli.rendering import counts, lines, slices_json
from eliza_state.cli.terminal import output, print_json, put, reporting
from eliza_state.errors import StateError
from eliza_state.lifecycle import Phase
from eliza_state.path import Path
from eliza_state.portal import SyncScope, SyncStateManager

_COMPARED: Final = 2_000
"""How many scopes a mistyped path is compared with."""


def show(
    path: ScopePath = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    depth: Annotated[int, typer.Option("--depth", min=0, help="How many levels down the tree goes.")] = 3,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show of each collection.")] = 10,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show the tree of scopes with their counts, or the slices of one scope.

    \b
    Examples:
      eliza-state show
      eliza-state show --depth 2 --limit 50
      eliza-state show agent:eliza/room:general/conversation:tea
      eliza-state show agent:eliza --json
    """
    with reporting(debug=debug), open_store(store, modules or (), read_only=True) as manager:
        scope = find_scope(manager, path)
        if as_json:
            print_json(scope_json(scope, manager))
        elif path:
            show_scope(scope, output(), limit=limit)
        else:
            show_tree(scope, output(), depth=depth, limit=limit)


def find_scope(manager: SyncStateManager, path: str) -> SyncScope:
    """Return the handle on a scope that has records, or on the root.

    Raises `InvalidPath` for a malformed path, `StateError` naming what lies near for one without records.
    """
    scope = manager.at(path)
    if not scope.path.steps or manager.journal.knows(scope.path):
        return scope
    raise StateError(f"nothing at {scope.path.encode()!r}; {_nearby(manager, scope.path)}")


def _nearby(manager: SyncStateManager, path: Path) -> str:
    """Say what there is where the path still holds."""
    *above, _ = path.chain()
    reached = next(known for known in reversed(above) if not known.steps or manager.journal.knows(known))
    wanted = Path(path.steps[: len(reached.steps) + 1]).encode()
    children = manager.at(reached).children()
    known = [child.path.encode() for child in children[:_COMPARED]]
    where = f"below {reached.encode()!r}" if reached.steps else "in the store"
    if not known:
        return f"there is nothing {where} yet"
    nearest = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5) or known[:3]
    return f"{where} there is {', '.join(map(repr, nearest))}{', …' if len(children) > len(nearest) else ''}"


def show_tree(scope: SyncScope, console: Console, *, depth: int, limit: int, timed: bool = True) -> None:
    """Print the scopes from `scope` on, `depth` levels down and `limit` to a scope, with their counts.

    `timed` adds when each was last active, in UTC.
    """
    branch = Branch(_label(scope, timed=timed), guide_style="dim")
    _grow(branch, scope, depth=depth, limit=limit, timed=timed)
    console.print(branch, no_wrap=True, overflow="ellipsis")


def _grow(branch: Branch, scope: SyncScope, *, depth: int, limit: int, timed: bool) -> None:
    if depth == 0:
        return
    children = scope.children()
    for child in islice(children, limit):
        _grow(branch.add(_label(child, timed=timed)), child, depth=depth - 1, limit=limit, timed=timed)
    if len(children) > limit:
        branch.add(Text(f"… {len(children) - limit:,} more", "dim"))


def _label(scope: SyncScope, *, timed: bool) -> Text:
    *_, name = scope.path.encode().split("/")
    facts = [count for state in scope.state().values() for count in counts(state)]
    label = Text(name or scope.level, "bold")
    version = scope.version()
    if version:
        label.append(f"  v{version}", "not bold dim")
    if facts:
        label.append(f"  {', '.join(facts)}", "not bold")
    if scope.phase() is Phase.ARCHIVED:
        label.append("  ended", "not bold yellow")
    at = scope.last_activity() if timed else None
    if at is not None:
        label.append(f"  {at:%Y-%m-%d %H:%M}", "not bold dim")
    return label


def show_scope(scope: SyncScope, console: Console, *, limit: int) -> None:
    """Print the slices of a scope, and which scopes are right below it."""
    put(console, _label(scope, timed=True))
    for name, state in scope.state().items():
        put(console, Text(f"\n{name}", "bold"))
        for line in lines(state, limit=limit):
            put(console, f"  {line}")
    children = scope.children()
    if children:
        put(console, Text(f"\nbelow ({len(children):,})", "bold"))
        for child in islice(children, limit):
            put(console, f"  {child.path.encode()}")
        if len(children) > limit:
            put(console, Text(f"  … {len(children) - limit:,} more", "dim"))


def scope_json(scope: SyncScope, manager: SyncStateManager) -> bytes:
    """Return a scope as one JSON object: path, level, position, version, slices, children.

    `children` are the paths of the scopes right below.
    """
    found = scope.tree(depth=0)
    content = {
        "path": found.path.encode(),
        "level": found.level,
        "position": found.position,
        "version": found.version,
        "slices": slices_json(found.slices, level=found.level, tree=manager.tree),
        "children": [child.path.encode() for child in scope.children()],
    }
    return msgspec.json.encode(content)
