"""The command that makes two replicas equal, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Final

import attrs
import msgspec
import typer

from eliza_state.cli.opening import find_modules
from eliza_state.cli.options import Debug, Json, Modules
from eliza_state.cli.terminal import FAILED, one_line, output, print_json, put, reporting
from eliza_state.debugger.state_paths import MISSING
from eliza_state.synchronizer import Conflict, Merged, SyncReport, synchronize
from eliza_state.synchronizer.stamps import MAX_DRIFT_MS
from eliza_state.synchronizer.synchronizing import SideReport

_WIDTH: Final = 60


def sync(  # noqa: PLR0913, PLR0917  # a command's options
    first: Annotated[
        str,
        typer.Argument(metavar="STORE_A", show_default=False, help="A store's URL, or the name of a file."),
    ],
    second: Annotated[str, typer.Argument(metavar="STORE_B", show_default=False, help="The same.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, and store nothing.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make a store that is not there.")] = False,
    join: Annotated[
        bool, typer.Option("--join", help="Make one of two stores that have no record in common.")
    ] = False,
    max_drift: Annotated[
        int,
        typer.Option("--max-drift", metavar="SECONDS", min=0, help="How far a clock may run ahead of ours."),
    ] = MAX_DRIFT_MS // 1_000,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Make two replicas of a store hold the same records in the same order.

    Only what one lacks goes over. Records of both are put in the order of their times, so that positions and
    versions behind a late arrival change. A name without :// is a file, which is made if it is not there:
    carry it to where the other store is. No program may have the stores open. Cut off anywhere, run it again.
    The exit code is 1 if something is left to be taken in.

    \b
    Examples:
      eliza-state sync sqlite:///laptop.db sqlite:///phone.db --dry-run
      eliza-state sync sqlite:///laptop.db sqlite:///phone.db
      eliza-state sync sqlite:///laptop.db stick/eliza.replica
    """
    with reporting(debug=debug):
        work = synchronize(
            first,
            second,
            modules=find_modules(modules or ()),
            max_drift_ms=max_drift * 1_000,
            join=join,
            create=create,
            dry_run=dry_run,
        )
        report = asyncio.run(work)
        if as_json:
            print_json(msgspec.json.encode(report_json(report)))
        else:
            show(report)
        if not report.is_whole:
            raise typer.Exit(FAILED)


def report_json(report: SyncReport) -> dict[str, Any]:
    """Return what a synchronisation did as an object."""
    return {
        "dry_run": report.is_dry_run,
        "whole": report.is_whole,
        "sides": [_side_json(side) for side in (report.first, report.second)],
        "concurrent": report.concurrent,
        "conflicts": [conflict.to_json() for conflict in report.conflicts],
    }


def _side_json(side: SideReport) -> dict[str, Any]:
    told = attrs.asdict(side, recurse=False)
    return {**told, "merged": None if side.merged is None else attrs.asdict(side.merged)}


def show(report: SyncReport) -> None:
    """Print what a synchronisation did, or would do."""
    console = output()
    for side in (report.first, report.second):
        for line in _side_lines(side, is_dry_run=report.is_dry_run):
            put(console, one_line(line))
    if report.concurrent:
        put(console, f"{_number(report.concurrent, 'slice')} changed on both sides")
    for conflict in report.conflicts:
        for line in _conflict_lines(conflict):
            put(console, one_line(line))


def _side_lines(side: SideReport, *, is_dry_run: bool) -> Iterator[str]:
    what = "would come" if is_dry_run else "came"
    yield f"{side.name}: {_number(side.records, 'record')} {what} ({side.size_bytes:,} bytes)"
    if side.merged is not None:
        yield from _merged_lines(side.merged)
    if side.ahead:
        yield f"  {_number(side.ahead, 'record')} from the future left for later: a clock runs ahead"
    if side.damaged is not None:
        yield f"  the record at position {side.damaged} is damaged; nothing from there on went over"
    if not side.is_stored:
        yield "  not written: it still holds what is left for later"


def _merged_lines(merged: Merged) -> Iterator[str]:
    figures = {
        "moved": f"{_number(merged.moved, 'record')} moved, those behind position {merged.place}",
        "erased": f"{_number(merged.erased, 'record')} erased, as elsewhere",
        "repeated": f"{_number(merged.repeated, 'record')} without content, as another with the id has it",
        "followers": f"followers go on from position {merged.place}: {', '.join(merged.followers)}",
    }
    yield from (f"  {text}" for name, text in figures.items() if getattr(merged, name))
    for same in merged.same_ids:
        yield f"  the id {same.id!r} at {same.path!r} was given to different records; all of them count"
    yield from (f"  erased content is still in the {remains}" for remains in merged.remains)


def _conflict_lines(conflict: Conflict) -> Iterator[str]:
    where = repr(conflict.path) if conflict.path else "the root"
    yield f"  {conflict.module} of {where} differed in {_number(conflict.count, 'place')}"
    for found in conflict.disagreements:
        chosen = "" if found.chosen is MISSING else f" → {_brief(found.chosen)}"
        yield f"    {found.place}: {_brief(found.local)} | {_brief(found.remote)}{chosen}"


def _brief(value: Any) -> str:
    text = "nothing" if value is MISSING else msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
