"""`export`, `import` and `fork`: records in a file, and in other stores."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated

import attrs
import msgspec
import typer

from eliza_state.cli.debugging.points import NOW, parse_point
from eliza_state.cli.debugging.replaying import First, Last
from eliza_state.cli.debugging.sessions import Session, session
from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.options import POINT, Debug, Json, Modules, ScopePath, Store
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import Misuse, print_json, reporting, say
from eliza_state.debugger import Debugger
from eliza_state.path import Path


def export(  # noqa: PLR0913, PLR0917  # a command's options
    path: ScopePath = "",
    file: Annotated[
        FilePath, typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Write it there.")
    ] = ...,  # type: ignore[assignment]  # typer's word for an option that has to be given
    first: First = None,
    last: Last = None,
    reveal_secrets: Annotated[
        bool, typer.Option("--reveal-secrets", help="Keep what is in secrets, in plain text.")
    ] = False,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Write the records at and below a scope to one file, to be imported elsewhere.

    A file of that name is replaced. Placeholders stand in secrets.

    \b
    Examples:
      eliza-state export -o session.jsonl
      eliza-state export agent:eliza/room:general --first 100 --last 200 -o room.jsonl
    """
    with session(store, modules, debug=debug) as asked:
        found = find_scope(asked.manager, path).path
        told = asked.run(
            lambda debugger: debugger.export_session(
                file, found, first=first or 1, last=last, reveal_secrets=reveal_secrets
            )
        )
        if as_json:
            print_json(msgspec.json.encode({**attrs.asdict(told), "file": str(told.file)}))
            return
        parts = [f"{told.records:,} records"]
        parts += [f"{told.erased:,} of them erased"] if told.erased else []
        parts += [f"{told.masked:,} secrets masked"] if told.masked else []
        parts += [f"{told.damaged:,} damaged ones left out"] if told.damaged else []
        typer.echo(f"{', '.join(parts)}: {told.size_bytes:,} bytes in {file}")


def import_(
    file: Annotated[
        FilePath, typer.Argument(metavar="FILE", show_default=False, help="What `export` has written.")
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="PATH", help="To this scope, not where they come from.")
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out events that no module here knows.")
    ] = False,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Store the records of an exported file, each once, with their ids, times and causes.

    The whole file is looked at before anything is stored. What is there already is left, so an import that
    was cut off can be run again. No reducer is asked.

    \b
    Examples:
      eliza-state import session.jsonl --store sqlite:///copy.db
      eliza-state import room.jsonl --to agent:eliza/room:copy
    """
    with reporting(debug=debug), open_store(store, modules or ()) as manager:
        told = Session(manager).run(
            lambda debugger: debugger.import_session(file, to=to, skip_unknown=skip_unknown)
        )
        for warning in told.warnings:
            say(f"warning: {warning}")
        if as_json:
            print_json(msgspec.json.encode({**attrs.asdict(told, recurse=False), "path": told.path.encode()}))
            return
        parts = [f"{told.records:,} stored", f"{told.present:,} already there"]
        parts += [f"{told.skipped:,} left out"] if told.skipped else []
        parts += [f"{told.moved:,} with a later time"] if told.moved else []
        typer.echo(f"{', '.join(parts)}; position {told.position}")


def fork(  # a command's options
    url: Annotated[
        str, typer.Argument(metavar="URL", show_default=False, help="The new store, as in sqlite:///new.db.")
    ],
    at: Annotated[str, typer.Option("--at", metavar=POINT, help="When; see `rewind --help`.")] = NOW,
    path: Annotated[
        str, typer.Option("--path", metavar="PATH", help="What this scope needs, not everything.")
    ] = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Make an independent store of what a store held at a point.

    It holds all records up to then, or those at and below a scope and those addressed to the scopes above it.
    A file that is there is not touched.

    \b
    Examples:
      eliza-state fork sqlite:///before.db --at 120
      eliza-state fork sqlite:///room.db --path agent:eliza/room:general --at 2024-05-01T09:00:00Z
    """
    with session(store, modules, debug=debug) as asked:
        found = find_scope(asked.manager, path).path
        position = asked.past(parse_point(at), path).position
        if url.startswith("memory:"):
            raise Misuse("a fork in memory would be gone with this command; name a file, as sqlite:///new.db")
        records = asked.run(lambda debugger: _forked(debugger, url, position, found))
        if as_json:
            told = {"url": url, "position": position, "path": found.encode(), "records": records}
            print_json(msgspec.json.encode(told))
        else:
            typer.echo(f"{records:,} records up to position {position} in {url}")


async def _forked(debugger: Debugger, url: str, position: int, path: Path) -> int:
    async with debugger.fork(url, at=position, path=path) as fork:
        return await fork.position()
