"""The commands and their options."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Annotated

import typer

from eliza_state._version import __version__
from eliza_state.cli.demo import run_demo
from eliza_state.cli.log import show_log
from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.progress import run_ingestion
from eliza_state.cli.show import find_scope, scope_json, show_scope, show_tree
from eliza_state.cli.sources import open_sources
from eliza_state.cli.store import application as store_application
from eliza_state.cli.terminal import FAILED, output, print_json, reporting

# Plain help: it starts quicker, and keeps the examples as they are written.
application = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Store = Annotated[
    str,
    typer.Option(
        "--store", envvar="ELIZA_STATE_STORE", metavar="URL", help="The store, such as sqlite:///state.db."
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--modules",
        metavar="PACKAGE:NAME",
        help="Add a module of your own: a class, an object or a list of them; repeatable.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ScopePath = Annotated[
    str,
    typer.Argument(
        metavar="PATH", show_default=False, help="As in agent:eliza/room:general; the root without it."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eliza-state {__version__}")
        raise typer.Exit


@application.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Look into, and feed, the state of a multi-agent chat system.

    \b
    Examples:
      eliza-state demo
      eliza-state ingest chat.jsonl
      eliza-state show
      eliza-state show agent:eliza/room:general --json
      eliza-state log agent:eliza
      eliza-state store keys --nested

    \b
    Exit codes: 0 all went well; 1 something failed, or lines were refused;
    2 the command line is wrong; 130 interrupted.
    """


@application.command()
def demo(
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help="A store to keep; otherwise a temporary one."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Take in a sample transcript, show the tree, a diff and a rewind.

    \b
    Examples:
      eliza-state demo
      eliza-state demo --store sqlite:///demo.db
    """
    with (
        reporting(debug=debug),
        tempfile.TemporaryDirectory(prefix="eliza-state-") as folder,
        open_store(store or f"sqlite:///{folder}/demo.db") as manager,
    ):
        run_demo(manager, kept=store)


@application.command()
def ingest(
    files: Annotated[
        list[FilePath],
        typer.Argument(metavar="FILE", help="JSON Lines, one file or several; - is standard input."),
    ],
    store: Store = DEFAULT_STORE,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Name standard input, or the one file, for the ids."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first line that is refused.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Judge lines anew that an earlier run refused and went past.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Take events from JSON Lines into a store.

    A line is an object such as

    \b
      {"type": "message_received", "agent": "eliza", "room": "general",
       "conversation": "tea", "at": "2024-05-01T09:00:00+00:00",
       "payload": {"id": "m1", "user": "ada", "text": "hello"}}

    It is addressed to the deepest level it names ("message" and "user" are levels too); null counts as not
    named. "at" goes into the payload where the event has that field.

    A line's id is made of the source's name (the file's own, without its folder), the line's number and its
    text: taking in a file again, or after a crash, stores nothing twice. A line that is malformed or refused
    is reported as file:line and left out; the exit code is 1 then.

    \b
    Examples:
      eliza-state ingest chat.jsonl
      eliza-state ingest logs/*.jsonl --store sqlite:///logs.db
      zcat chat.jsonl.gz | eliza-state ingest - --source chat.jsonl
      eliza-state ingest shop.jsonl --modules shop.modules:CartModule --strict
    """
    with (
        reporting(debug=debug),
        open_sources(files, source) as sources,
        open_store(store, modules or ()) as manager,
    ):
        tally = run_ingestion(manager, sources, strict=strict, retry=retry, quiet=quiet)
        if tally.refused:
            raise typer.Exit(FAILED)


@application.command()
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


@application.command()
def log(
    path: ScopePath = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many records to show.")] = 20,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="POSITION", min=1, help="Show what came before this position."),
    ] = None,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show the records at and below a scope, the newest first.

    \b
    Examples:
      eliza-state log
      eliza-state log agent:eliza/room:general --limit 50
      eliza-state log agent:eliza --before 120
      eliza-state log --json | jq -r .event | sort | uniq -c
    """
    with reporting(debug=debug), open_store(store, modules or (), read_only=True) as manager:
        scope = find_scope(manager, path)
        show_log(scope, output(), limit=limit, before=before, as_json=as_json)


application.add_typer(store_application, name="store")


def main() -> None:
    """Run the command line; the process exits with its code."""
    application(prog_name="eliza-state")
