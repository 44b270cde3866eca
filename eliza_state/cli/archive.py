"""`eliza-state archive`: moving scopes that rest out of the database, and back, and looking at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from eliza_state.archive import Archived, ArchivedScope, Restored
from eliza_state.cli.opening import DEFAULT_STORE, check_is_there, open_store
from eliza_state.cli.options import Debug, Json, Modules, ScopePath, Store
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import FAILED, one_line, output, print_json, put, reporting, say

application = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", show_default=False, help="As in agent:eliza/room:general."),
]


@application.callback()
def _archive() -> None:
    """Move scopes that rest out of the database, bring them back, and list them.

    What is in the archive is read as before, by every command; it takes no events. It lies in compressed
    files beside the database, in `state.db-archive`, or in the folder that ELIZA_STATE_ARCHIVE names.

    \b
    Examples:
      eliza-state archive store agent:eliza/room:general/conversation:tea
      eliza-state archive list
      eliza-state archive restore agent:eliza/room:general

    \b
    Exit codes: 0 all went well; 1 something failed, or was held back; 2 the command line is wrong;
    130 interrupted.
    """


@application.command()
def store(
    paths: Paths,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Move scopes, each with all below it, into the archive.

    Programs may use the store meanwhile. A scope that a module or a follower holds back is left and named,
    and the others are moved; the exit code is 1 then. What is there already is passed over.

    \b
    Examples:
      eliza-state archive store agent:eliza/room:general/conversation:tea
      eliza-state query scopes 'level = conversation' --json | jq -r .path | xargs eliza-state archive store
    """
    with reporting(debug=debug):
        check_is_there(store)
        with open_store(store, modules or ()) as manager:
            found = [find_scope(manager, path).path for path in paths]
            moved = manager.archive.store(*found, return_exceptions=True)
        if as_json:
            print_json(_moved_json(moved))
        else:
            for refused in moved.refused:
                say(f"left: {one_line(str(refused.error))}")
            typer.echo(_told(moved))
        if moved.refused:
            raise typer.Exit(FAILED)


def _told(moved: Archived) -> str:
    return (
        f"{_many(len(moved.paths), 'scope')} archived: {_many(moved.records, 'record')},"
        f" {moved.bytes_before:,} bytes, now {moved.bytes_after:,}"
    )


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _moved_json(moved: Archived) -> bytes:
    fields = ("records", "scopes", "bytes_before", "bytes_after")
    refused = [{"path": each.path.encode(), "reason": str(each.error)} for each in moved.refused]
    told = {name: getattr(moved, name) for name in fields}
    return msgspec.json.encode({"paths": [path.encode() for path in moved.paths], **told, "refused": refused})


@application.command()
def restore(
    paths: Paths,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Move scopes back into the database: all of the archive that is at, above or below the paths.

    Their records get their places back, and the scopes take events again.

    \b
    Examples:
      eliza-state archive restore agent:eliza/room:general/conversation:tea
      eliza-state archive restore agent:eliza --json
    """
    with reporting(debug=debug):
        check_is_there(store)
        with open_store(store, modules or ()) as manager:
            found = [find_scope(manager, path).path for path in paths]
            moved = manager.archive.restore(*found)
        if as_json:
            print_json(_restored_json(moved))
        else:
            scopes, records = _many(len(moved.paths), "scope"), _many(moved.records, "record")
            typer.echo(f"{scopes} brought back: {records}")


def _restored_json(moved: Restored) -> bytes:
    return msgspec.json.encode({"paths": [path.encode() for path in moved.paths], "records": moved.records})


@application.command("list")
def list_(
    path: ScopePath = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """List the scopes that are in the archive, at or below a path, with what they take.

    Each with its records, the size of its part of a file, and when it was last active; as JSON one object a
    line.

    \b
    Examples:
      eliza-state archive list
      eliza-state archive list agent:eliza --json | jq .size_bytes
    """
    with reporting(debug=debug), open_store(store, modules or (), read_only=True) as manager:
        found = manager.archive.scopes(find_scope(manager, path))
        if as_json:
            for scope in found:
                print_json(_scope_json(scope))
        else:
            _show(found, output())


def _scope_json(scope: ArchivedScope) -> bytes:
    fields = ("records", "first_position", "last_position", "version", "last_event", "last_activity")
    told = {name: getattr(scope, name) for name in fields}
    return msgspec.json.encode(
        {
            "path": scope.path.encode(),
            **told,
            "size_bytes": scope.size_bytes,
            "segments": scope.segments,
        }
    )


def _show(found: Iterable[ArchivedScope], console: Console) -> None:
    records = size_bytes = scopes = 0
    for scope in found:
        put(
            console,
            f"{scope.path.encode()}  {_many(scope.records, 'record')}  {scope.size_bytes:,} bytes"
            f"  last active {scope.last_activity:%Y-%m-%d %H:%M}",
        )
        records, size_bytes, scopes = records + scope.records, size_bytes + scope.size_bytes, scopes + 1
    put(console, f"{_many(scopes, 'scope')}: {_many(records, 'record')}, {size_bytes:,} bytes")
