"""The commands and their options."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Annotated

import typer

from eliza_state._version import __version__
from eliza_state.cli.debugging import add_commands
from eliza_state.cli.demo import run_demo
from eliza_state.cli.erase import confirm, planned, told, told_json
from eliza_state.cli.health import add_commands as add_health_commands
from eliza_state.cli.log import show_log
from eliza_state.cli.migrate import report_json, run_migration, show_report
from eliza_state.cli.opening import DEFAULT_STORE, check_is_there, open_store
from eliza_state.cli.progress import run_ingestion
from eliza_state.cli.query import query
from eliza_state.cli.show import find_scope, scope_json, show_scope, show_tree
from eliza_state.cli.sources import open_sources
from eliza_state.cli.store import application as store_application
from eliza_state.cli.sync import sync
from eliza_state.cli.terminal import FAILED, output, print_json, reporting, say
from eliza_state.migration.examination import SAMPLE

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
      eliza-state migrate --dry-run
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


@application.command()
def migrate(
    store: Store = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, and store nothing.")] = False,
    sample: Annotated[
        int,
        typer.Option("--sample", min=1, help="How many of each module and version to compare with a fold."),
    ] = SAMPLE,
    all_of_them: Annotated[bool, typer.Option("--all", help="Compare every one of them.")] = False,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Tell what today's modules make of the records and snapshots, and bring the snapshots up to date.

    Every record is read, and upcast where it is of an older schema version. Of the snapshots that would be
    migrated, a sample is compared with the fold of their records. Records are never changed. Without
    --dry-run, scopes whose snapshots today's modules cannot use as they are get one that they can, so that
    the next opening is quick; not where a migration has failed. The exit code is 1 if a record cannot be
    read, or a migration fails or gives another state than the fold.

    \b
    Examples:
      eliza-state migrate --dry-run
      eliza-state migrate --dry-run --all --modules shop.modules:CartModule
      eliza-state migrate --store sqlite:///logs.db --json
    """
    with reporting(debug=debug):
        check_is_there(store)
        with open_store(store, modules or (), read_only=dry_run) as manager:
            report = run_migration(manager, sample=None if all_of_them else sample, write=not dry_run)
        if as_json:
            print_json(report_json(report))
        else:
            show_report(report, output(), wrote=not dry_run)
        if not report.is_good:
            raise typer.Exit(FAILED)


@application.command()
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


application.command()(query)
application.command()(sync)
add_commands(application)
add_health_commands(application)
application.add_typer(store_application, name="store")


def main() -> None:
    """Run the command line; the process exits with its code."""
    application(prog_name="eliza-state")
