"""`restore`: the past made the present, after a question."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from eliza_state.cli.debugging.points import parse_point
from eliza_state.cli.debugging.sessions import session
from eliza_state.cli.debugging.showing import show_change
from eliza_state.cli.opening import DEFAULT_STORE, check_is_there
from eliza_state.cli.options import POINT, Debug, Json, Modules, Store, WantedPath
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import FAILED, Misuse, output, print_json, put, reporting, say
from eliza_state.debugger import Restored, SnapshotDiff
from eliza_state.path import Path


def restore(  # noqa: PLR0913, PLR0917  # a command's options
    path: WantedPath,
    at: Annotated[
        str, typer.Option("--at", metavar=POINT, show_default=False, help="When; see `rewind --help`.")
    ] = ...,  # type: ignore[assignment]  # typer's word for an option that has to be given
    only: Annotated[bool, typer.Option("--only", help="This scope, and none below it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and store nothing.")
    ] = False,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Give a scope, and all below it, the state of an earlier point back.

    Nothing is erased: a record for each scope says that it was restored, and what came since stays to be
    looked at and can be restored as well. Scopes above keep what they counted. Programs that have the store
    open learn of it. On a terminal it is asked for before; elsewhere --yes says it.

    \b
    Examples:
      eliza-state restore agent:eliza/room:general --at 120 --dry-run
      eliza-state restore agent:eliza/room:general --at 2024-05-01T09:00:00Z
      eliza-state restore agent:eliza --at v3 --only --yes
    """
    with reporting(debug=debug):
        point = parse_point(at)
        check_is_there(store)
    with session(store, modules, debug=debug, read_only=dry_run) as asked:
        found = find_scope(asked.manager, path).path
        to = asked.past(point, path).position
        change = asked.run(lambda debugger: debugger.preview_restore(to, found, below=not only))
        if dry_run:
            _show(change, found, to, as_json=as_json)
            return
        if not (yes or _confirm(change, found, to)):
            say("nothing was restored")
            raise typer.Exit(FAILED)
        restored = asked.run(lambda debugger: debugger.restore(to, found, below=not only))
        if as_json:
            print_json(msgspec.json.encode(_told(restored)))
        else:
            above = "; the scopes above keep what they counted" if restored.above else ""
            typer.echo(f"{_scopes(len(restored.scopes))} restored to position {to}{above}")


def _show(change: SnapshotDiff, path: Path, to: int, *, as_json: bool) -> None:
    if as_json:
        slices = [found.to_json() for found in change]
        told = {"path": path.encode(), "to": to, "dry_run": True, "slices": slices}
        print_json(msgspec.json.encode(told))
        return
    console = output()
    for found in change:
        show_change(console, found)
    put(console, f"{_scopes(_count(change))} would change" if change else "nothing would change")


def _confirm(change: SnapshotDiff, path: Path, to: int) -> bool:
    """Ask whether it is to be. Raises `Misuse` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Misuse("there is no terminal to ask whether to restore; say --yes, or --dry-run to look")
    where = repr(path.encode()) if path.steps else "the root"
    what = f"which changes {_scopes(_count(change))}"
    return typer.confirm(f"restore {where} to position {to}, {what}?", err=True)


def _count(change: SnapshotDiff) -> int:
    return len({found.path for found in change})


def _scopes(count: int) -> str:
    return f"{count:,} scope{'' if count == 1 else 's'}"


def _told(restored: Restored) -> dict[str, Any]:
    return {
        "path": restored.path.encode(),
        "to": restored.to,
        "dry_run": False,
        "scopes": [path.encode() for path in restored.scopes],
        "above": [path.encode() for path in restored.above],
        "id": restored.id,
        "position": restored.position,
    }
