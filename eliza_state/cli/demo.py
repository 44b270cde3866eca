"""`demo`: a transcript goes in, and the tree, a diff and a rewind come out."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterable
from importlib import resources
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eliza_state.change import Change
from eliza_state.cli.ingest import Ingestion, Source
from eliza_state.cli.opening import open_store
from eliza_state.cli.options import Debug
from eliza_state.cli.rendering import overview
from eliza_state.cli.show import show_tree
from eliza_state.cli.terminal import put, reporting
from eliza_state.diff import diff, render
from eliza_state.portal import SyncScope, SyncStateManager

TRANSCRIPT = "transcript.jsonl"
"""A few hours at a community garden's desk, two agents and three people; data of this package."""

_ROOM = "agent:eliza/room:general"
_REPLY = {"id": "m21", "user": "bo", "text": "Found it. The tomatoes look thirsty already."}
_REPLY_ID = "0bd31f7a-3f0c-8f5e-9d0e-6f2a9f6b1c21"


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


def run_demo(manager: SyncStateManager, *, kept: str | None) -> None:
    """Show on a sample transcript what a store does; `kept` is the URL of a store that stays.

    In such a store the transcript is taken in once, however often this runs.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    _take_in(manager, console)
    _heading(console, "The tree of scopes, with what each holds")
    show_tree(manager.root, console, depth=3, limit=10, timed=False)
    room = manager.at(_ROOM)
    change = room.conversation("weekend").dispatch("message_received", _REPLY, id=_REPLY_ID)
    _heading(console, "One more message, and what it changed, from the root down")
    _show_diff(change, console)
    _heading(console, "A conversation as it was, beside now: the log is folded up to a position")
    _rewind(room.conversation("greenhouse"), console)
    _heading(console, "Go on from here")
    for command in _commands(kept):
        put(console, f"  {command}")


def _heading(console: Console, text: str) -> None:
    console.print()
    put(console, Text(text, "bold underline"))


def _take_in(manager: SyncStateManager, console: Console) -> None:
    started = time.perf_counter()
    ingestion = Ingestion(
        manager,
        strict=False,
        retry=False,
        refused=lambda text: put(console, text),
        advanced=lambda _tally, _size_bytes: None,
    )
    text = resources.files("eliza_state.cli").joinpath(TRANSCRIPT).read_bytes()
    ingestion.take(Source(TRANSCRIPT, TRANSCRIPT, io.BytesIO(text)))
    elapsed_ms = (time.perf_counter() - started) * 1_000
    tally = ingestion.tally
    put(console, f"{tally.stored} events taken in, {tally.present} were there, in {elapsed_ms:.0f} ms.")


def _show_diff(change: Change, console: Console) -> None:
    put(console, Text(f"{change.record.event} at {change.path.encode()}", "cyan"))
    if change.duplicate:
        put(console, "  The store had it already, so nothing changed.")
    for changed in change.slices:
        put(console, Text(f"{changed.path.encode() or 'the root'}: {changed.module}", "bold"))
        for line in render(diff(changed.before, changed.after)).splitlines():
            put(console, Text(f"  {line}", {"+": "green", "-": "red"}.get(line[0], "yellow")))


def _rewind(talk: SyncScope, console: Console) -> None:
    """Show a conversation at its first change of mood and now."""
    position = next(record.position for record in talk.records() if record.event == "sentiment_updated")
    then = overview(talk.state("conversation", at=position))
    now = overview(talk.state("conversation"))
    put(console, Text(talk.path.encode(), "cyan"))
    table = Table("", f"at position {position}", "now", box=None, header_style="dim", padding=(0, 3, 0, 0))
    for name, value in now.items():
        table.add_row(name, then[name], Text(value, "" if value == then[name] else "yellow"))
    console.print(table)


def _commands(kept: str | None) -> Iterable[str]:
    store = kept or "sqlite:///demo.db"
    if kept is None:
        yield f"eliza-state demo --store {store}   (the same, in a store to keep)"
    yield f"eliza-state show --store {store} {_ROOM}"
    yield f"eliza-state log --store {store} {_ROOM} --limit 5"
    yield "eliza-state ingest --help"
