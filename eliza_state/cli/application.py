"""The commands, by name."""

from __future__ import annotations

from typing import Annotated, ClassVar

import typer

from eliza_state._version import __version__
from eliza_state.cli.lazy import Command, LazyGroup


class _Commands(LazyGroup):
    """The commands, each imported when it is called for.

    To add one, write its function into a module of its own: the parameters are its options (the shared ones
    are in `eliza_state.cli.options`), the docstring is its help. Then give it a line here, with the first
    sentence of that docstring.
    """

    places: ClassVar = {
        "demo": Command(
            "eliza_state.cli.demo:demo", "Take in a sample transcript, show the tree, a diff and a rewind"
        ),
        "ingest": Command("eliza_state.cli.progress:ingest", "Take events from JSON Lines into a store"),
        "show": Command(
            "eliza_state.cli.show:show",
            "Show the tree of scopes with their counts, or the slices of one scope",
        ),
        "log": Command("eliza_state.cli.log:log", "Show the records at and below a scope, the newest first"),
        "migrate": Command(
            "eliza_state.cli.migrate:migrate",
            "Tell what today's modules make of the records and snapshots, and bring the snapshots up to date",
        ),
        "erase": Command(
            "eliza_state.cli.erase:erase", "Remove the content of the records at and below a scope, for good"
        ),
        "query": Command(
            "eliza_state.cli.query:query", "Find entries of states, or scopes, wherever they are"
        ),
        "sync": Command(
            "eliza_state.cli.sync:sync",
            "Make two replicas of a store hold the same records in the same order",
        ),
        "snapshot": Command(
            "eliza_state.cli.debugging.looking:snapshot",
            "Show a scope and all below it at one position: the scopes with their versions and counts",
        ),
        "diff": Command(
            "eliza_state.cli.debugging.looking:diff_",
            "Show what differs between two points, stores or files, slice by slice",
        ),
        "rewind": Command(
            "eliza_state.cli.debugging.looking:rewind",
            "Show the slices of a scope as they were at a point in the past",
        ),
        "restore": Command(
            "eliza_state.cli.debugging.restoring:restore",
            "Give a scope, and all below it, the state of an earlier point back",
        ),
        "timeline": Command(
            "eliza_state.cli.debugging.searching:timeline",
            "Show the records at and below a scope with what each changed, the newest first",
        ),
        "blame": Command(
            "eliza_state.cli.debugging.searching:blame",
            "Show which record last set a place in a slice of a scope, and what else it changed there",
        ),
        "bisect": Command(
            "eliza_state.cli.debugging.searching:bisect",
            "Find the first position at which something holds of a slice, and show the record there",
        ),
        "replay": Command(
            "eliza_state.cli.debugging.replaying:replay",
            "Show what would have been, had some records been otherwise",
        ),
        "export": Command(
            "eliza_state.cli.debugging.moving:export",
            "Write the records at and below a scope to one file, to be imported elsewhere",
        ),
        "import": Command(
            "eliza_state.cli.debugging.moving:import_",
            "Store the records of an exported file, each once, with their ids, times and causes",
        ),
        "fork": Command(
            "eliza_state.cli.debugging.moving:fork",
            "Make an independent store of what a store held at a point",
        ),
        "make-test": Command(
            "eliza_state.cli.debugging.replaying:make_test",
            "Write a test for pytest: given the state before these records, the state after them",
        ),
        "health": Command(
            "eliza_state.cli.health.watching:health",
            "Show the figures of a store, and what is wrong with them",
        ),
        "verify": Command(
            "eliza_state.cli.health.verifying:verify",
            "Look over a whole store for damage, and change nothing",
        ),
        "repair": Command(
            "eliza_state.cli.health.verifying:repair",
            "Make anew what follows from the records of a store, and say what does not",
        ),
        "archive": Command(
            "eliza_state.cli.archive:application",
            "Move scopes that rest out of the database, bring them back, and list them",
        ),
        "cleanup": Command(
            "eliza_state.cli.cleanup:cleanup",
            "Archive what rests, trim what is too much, remove what has expired, and make the files smaller",
        ),
        "backup": Command(
            "eliza_state.cli.backup:application",
            "Copy a whole store while it is in use, verify a copy, or make a store of it again",
        ),
        "store": Command(
            "eliza_state.cli.store.application:application",
            "Look into a storage of keys and values, and look after it",
        ),
    }


# Plain help: it starts quicker, and keeps the examples as they are written.
application = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


def main() -> None:
    """Run the command line; the process exits with its code."""
    application(prog_name="eliza-state")
