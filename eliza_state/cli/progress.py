"""`ingest`, before somebody's eyes: a bar with a rate, the refused lines, a summary."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Annotated

import typer
from rich.console import Console

from eliza_state.cli.bars import progress_bar
from eliza_state.cli.ingest import Ingestion, Source, Stopped, Tally
from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.options import Debug, Modules, Store
from eliza_state.cli.sources import open_sources
from eliza_state.cli.terminal import FAILED, one_line, reporting
from eliza_state.portal import SyncStateManager


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


def run_ingestion(
    manager: SyncStateManager, sources: Sequence[Source], *, strict: bool, retry: bool, quiet: bool
) -> Tally:
    """Take in the sources and return what became of their lines.

    Refused lines go to standard error, the bar too where that is a terminal, the summary to standard
    output; `quiet` leaves out the bar and the summary. Ends early, as told by the summary, when `strict`
    and a line is refused, and when interrupted.
    """
    started = time.perf_counter()
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    with progress_bar(console, is_hidden=quiet) as progress:
        task = progress.add_task("", total=_total(sources), lines="")

        def advanced(tally: Tally, size_bytes: int) -> None:
            rate = tally.lines / (time.perf_counter() - started)
            progress.update(task, advance=size_bytes, lines=f"{tally.lines:,} lines  {rate:,.0f}/s")

        ingestion = Ingestion(
            manager,
            strict=strict,
            retry=retry,
            refused=lambda text: console.print(one_line(text)),
            advanced=advanced,
        )
        try:
            for source in sources:
                progress.update(task, description=source.name)
                ingestion.take(source)
        except Stopped:
            console.print("stopped at the first refused line; the lines before it are stored")
        finally:
            progress.stop()
            if not quiet:
                typer.echo(_summary(ingestion.tally, time.perf_counter() - started))
    return ingestion.tally


def _total(sources: Sequence[Source]) -> int | None:
    """The bytes of all sources; `None` when one of them is endless."""
    if not all(source.stream.seekable() for source in sources):
        return None
    return sum(_size(source) for source in sources)


def _size(source: Source) -> int:
    size = source.stream.seek(0, os.SEEK_END)
    source.stream.seek(0)
    return size


def _summary(tally: Tally, elapsed_s: float) -> str:
    rate = tally.lines / elapsed_s if elapsed_s else 0.0
    return (
        f"{tally.lines:,} lines: {tally.stored:,} stored, {tally.present:,} already there,"
        f" {tally.refused:,} refused ({rate:,.0f} lines/s)"
    )
