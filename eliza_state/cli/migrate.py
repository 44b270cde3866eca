"""`migrate`: what today's modules make of a store that older ones have filled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import attrs
import msgspec
import typer
from rich.console import Console
from rich.text import Text

from eliza_state.cli.bars import shown_progress
from eliza_state.cli.opening import DEFAULT_STORE, check_is_there, open_store
from eliza_state.cli.options import Debug, Json, Modules, Store
from eliza_state.cli.terminal import FAILED, one_line, output, print_json, put, reporting
from eliza_state.migration import EventFigures, MigrationReport, SliceFigures, examine
from eliza_state.migration.examination import SAMPLE
from eliza_state.path import Path
from eliza_state.portal import SyncStateManager
from eliza_state.slice_migration import Use


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


def run_migration(manager: SyncStateManager, *, sample: int | None, write: bool) -> MigrationReport:
    """Examine a store, with a bar on standard error where that is a terminal."""
    with shown_progress() as told:
        return manager.run(lambda it: examine(it, sample=sample, write=write, told=told))


def show_report(report: MigrationReport, console: Console, *, wrote: bool) -> None:
    """Print the records by event and version, the stored slices by module and version, and the faults."""
    records = sum(event.records for event in report.events)
    put(console, Text(f"records: {records:,} up to position {report.position:,}", "bold"))
    for event in report.events:
        put(console, f"  {_event(event)}")
        for failure in event.failures:
            where = failure.path.encode() or "the root"
            put(console, Text(f"    {failure.position} at {where}: {one_line(failure.reason)}", "yellow"))
    put(console, Text("snapshots", "bold"))
    for one in report.slices:
        put(console, f"  {_slice(one)}")
    if report.unusable:
        put(console, f"  {report.unusable:,} damaged or of another journal: the records take their place")
    for line in _faults(report):
        put(console, Text(line, "yellow"))
    if wrote:
        put(console, f"{report.written:,} scopes were given snapshots by today's modules")


def _event(event: EventFigures) -> str:
    name = event.event or "(damaged)"
    if event.known is None and event.event:
        return f"{name} v{event.schema_version}: {event.records:,}, which no module handles"
    parts = [f"{event.records:,}"]
    parts += [f"{event.upcast:,} upcast to v{event.known}"] if event.upcast else []
    parts += [f"{event.failed:,} cannot be read"] if event.failed else []
    return f"{name} v{event.schema_version}: {', '.join(parts)}"


def _slice(one: SliceFigures) -> str:
    text = f"{one.module} v{one.version}: {one.snapshots:,} {one.use.value}"
    if one.use is not Use.MIGRATED:
        return text
    text += f" to v{one.known}, {one.checked:,} compared with the records"
    return f"{text}, {one.failed:,} failed or differ" if one.failed else text


def _faults(report: MigrationReport) -> Iterator[str]:
    for fault in report.faults:
        where = fault.path.encode() or "the root"
        yield f"{fault.module} v{fault.version} of {where} at position {fault.position}:"
        yield from (f"  {one_line(line)}" for line in fault.reason.splitlines())


def report_json(report: MigrationReport) -> bytes:
    """Return a report as one JSON object, with paths in their text form and uses by name."""
    return msgspec.json.encode({**attrs.asdict(report, value_serializer=_plain), "is_good": report.is_good})


def _plain(_owner: object, _field: object, value: Any) -> Any:
    if isinstance(value, Path):
        return value.encode()
    return value.name.lower() if isinstance(value, Use) else value
