"""`erase`: what would go, a question, and what went."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from eliza_state.cli.opening import DEFAULT_STORE, check_is_there, open_store
from eliza_state.cli.options import Debug, Json, Modules, Store
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import FAILED, Misuse, print_json, reporting, say
from eliza_state.erasure import Erased, is_erasable
from eliza_state.path import Path
from eliza_state.portal import SyncScope, SyncStateManager


def erase(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help='As in agent:eliza/user:ada; "" for the root, and so all.',
        ),
    ],
    store: Store = DEFAULT_STORE,
    until: Annotated[
        int | None,
        typer.Option("--until", metavar="POSITION", min=0, help="Erase up to this position, not all."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and erase nothing.")] = False,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Remove the content of the records at and below a scope, for good.

    The records keep their positions, ids, event names and times; states are as if they had not been. Programs
    that have the store open learn of it. On a terminal it is asked for before; elsewhere --yes says it.

    \b
    Examples:
      eliza-state erase agent:eliza/user:ada --dry-run
      eliza-state erase agent:eliza/user:ada
      eliza-state erase agent:eliza/room:general --until 1200 --yes
    """
    with reporting(debug=debug):
        check_is_there(store)
        with open_store(store, modules or (), read_only=dry_run) as manager:
            scope = find_scope(manager, path)
            if not (dry_run or yes) and not confirm(planned(manager, scope, until=until), scope):
                say("nothing was erased")
                raise typer.Exit(FAILED)
            erased = planned(manager, scope, until=until) if dry_run else scope.erase(until=until)
        if as_json:
            print_json(told_json(erased, dry_run=dry_run))
        else:
            typer.echo(told(erased, dry_run=dry_run))
        if erased.remains:
            raise typer.Exit(FAILED)


def planned(manager: SyncStateManager, scope: SyncScope, *, until: int | None) -> Erased:
    """Return what an erasure would take; nothing is changed."""
    paths: set[Path] = set()
    records = size_bytes = 0
    for record in manager.journal.read(scope.path, until=until):
        if is_erasable(record):
            records += 1
            size_bytes += len(record.payload)
            paths.add(record.path)
    return Erased(records=records, scopes=len(paths), size_bytes=size_bytes, position=manager.position())


def confirm(plan: Erased, scope: SyncScope) -> bool:
    """Ask whether it is to be. Raises `Misuse` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Misuse("erasing is for good and there is no terminal to ask; say --yes, or --dry-run to look")
    where = repr(scope.path.encode()) if scope.path.steps else "the root, which is all there is"
    return typer.confirm(f"erase {_amount(plan)}, at and below {where}, for good?", err=True)


def told(erased: Erased, *, dry_run: bool) -> str:
    """Return one line on what went, or would go."""
    return f"{_amount(erased)} {'would be erased' if dry_run else 'erased'}"


def told_json(erased: Erased, *, dry_run: bool) -> bytes:
    """Return the same as a JSON object."""
    fields = ("records", "scopes", "size_bytes", "position", "remains")
    return msgspec.json.encode({**{name: getattr(erased, name) for name in fields}, "dry_run": dry_run})


def _amount(erased: Erased) -> str:
    records, scopes = erased.records, erased.scopes
    return (
        f"{records} record{'' if records == 1 else 's'} of {scopes} scope{'' if scopes == 1 else 's'}"
        f" ({erased.size_bytes} bytes)"
    )
