"""`eliza-state cleanup`: what has come of age in a store goes to its rest."""

from __future__ import annotations

import datetime
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from eliza_state.cleanup import (
    CleanupReport,
    Compaction,
    ExpiredKeys,
    IdleScopes,
    OldMessages,
    Orphans,
    Policy,
    clean,
)
from eliza_state.cli.opening import DEFAULT_STORE, check_is_there, open_store
from eliza_state.cli.options import Debug, Json, Modules, Store
from eliza_state.cli.store.values import duration_ms
from eliza_state.cli.terminal import FAILED, one_line, output, print_json, put, reporting

# Other programs that have the store open get as much of it.
_SHARE: Final = 0.5


def cleanup(  # noqa: PLR0913, PLR0917  # a command's options
    store: Store = DEFAULT_STORE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    idle: Annotated[
        str,
        typer.Option("--idle", metavar="TIME", help="How long a conversation rests before it is archived."),
    ] = "7d",
    max_messages: Annotated[
        int | None,
        typer.Option("--max-messages", metavar="N", min=0, help="How many messages a conversation may hold."),
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option("--max-age", metavar="TIME", help="How old the messages that it holds may be."),
    ] = None,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="Measure ages by the clock, not by the last record.")
    ] = False,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Rewrite a file that was made before files could get smaller.")
    ] = False,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Archive what rests, trim what is too much, remove what has expired, and make the files smaller.

    Idle conversations go into the archive, where they can be read as before. Conversations hold no more
    messages, and none older, than is said; the past shows them all. Entries of plugins that are past their
    deadline, and snapshots of nothing, are removed. What files do not need any more goes back to the disk.
    Nothing loses history. A TIME is a number with s, m, h, d or w: 12h, 30d. Ages are measured by the
    newest record, unless --trust-clock. Programs that have the store open go on; --rewrite holds up those
    that write. The exit code is 1 if something failed.

    \b
    Examples:
      eliza-state cleanup --dry-run
      eliza-state cleanup --idle 30d --max-messages 1000
      eliza-state cleanup --max-age 90d --json | jq '.outcomes[].size_bytes'
    """
    with reporting(debug=debug):
        policies: list[Policy] = [
            IdleScopes(after=_time(idle, option="--idle")),
            ExpiredKeys(),
            Orphans(),
            Compaction(rewrite=rewrite),
        ]
        if max_messages is not None or max_age is not None:
            oldest = None if max_age is None else _time(max_age, option="--max-age")
            policies.insert(1, OldMessages(max_count=max_messages, max_age=oldest))
        check_is_there(store)
        with open_store(store, modules or (), read_only=dry_run) as manager:
            report = manager.run(
                lambda it: clean(it, policies, dry_run=dry_run, share=_SHARE, trust_clock=trust_clock)
            )
        if as_json:
            print_json(msgspec.json.encode(report.to_dict()))
        else:
            _show(report, output())
        if not report.is_good:
            raise typer.Exit(FAILED)


def _time(text: str, *, option: str) -> datetime.timedelta:
    return datetime.timedelta(milliseconds=duration_ms(text, option=option))


def _show(report: CleanupReport, console: Console) -> None:
    for line in str(report).splitlines():
        indent = "  " if line.startswith("  ") else ""
        put(console, f"{indent}{one_line(line.strip())}")
