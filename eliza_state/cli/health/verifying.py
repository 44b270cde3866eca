"""`eliza-state verify` and `eliza-state repair`: what is damaged in a store, and what can be made anew."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from eliza_state.cli.bars import shown_progress
from eliza_state.cli.opening import DEFAULT_STORE, archive_folder, find_modules
from eliza_state.cli.options import Debug, Json, Modules, Store
from eliza_state.cli.terminal import FAILED, one_line, output, print_json, put, reporting, say
from eliza_state.clock import now_us
from eliza_state.errors import StoreError
from eliza_state.health import Finding, Repair, Verification
from eliza_state.health import repair as repair_store
from eliza_state.health import verify as verify_store
from eliza_state.health.verifying import Told, verify_files
from eliza_state.health.verifying.verification import SAMPLE
from eliza_state.journal.source import JournalSource
from eliza_state.manager import StateManager
from eliza_state.module import Composition, StateModule


def verify(
    store: Store = DEFAULT_STORE,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="How many scopes to compare with their records.")
    ] = SAMPLE,
    all_of_them: Annotated[bool, typer.Option("--all", help="Compare every scope.")] = False,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Look over a whole store for damage, and change nothing.

    All files, records, snapshots and plugins' values are read and held against their checksums, the journal's
    tables against its records. Of a sample of scopes, snapshots are compared with the fold of their records,
    and indexes with a scan. The store may be in use meanwhile. The exit code is 1 if something is damaged, or
    could not be looked at.

    \b
    Examples:
      eliza-state verify
      eliza-state verify --all --modules shop.modules:CartModule
      eliza-state verify --json | jq .findings
    """
    with reporting(debug=debug):
        wanted = None if all_of_them else sample
        database = _database(store)
        known = find_modules(modules or ())
        with shown_progress() as told:
            try:
                found = asyncio.run(_verified(store, known, wanted, told))
            except StoreError as error:
                if database is None:
                    raise
                say(f"warning: the store cannot be opened: {error}")
                found = verify_files(database, told=told)
        if as_json:
            print_json(msgspec.json.encode(found.to_dict()))
        else:
            show_verification(found, output())
        if not found.is_good:
            raise typer.Exit(FAILED)


async def _verified(
    store: str, modules: list[StateModule[object] | Composition], sample: int | None, told: Told
) -> Verification:
    async with StateManager.open(store, modules=modules, read_only=True, archive=archive_folder()) as manager:
        return await verify_store(manager, sample=sample, told=told)


def _database(store: str) -> str | None:
    """Return the file of a store, `None` on a server; raises `StoreError` for one in memory or not there."""
    source = JournalSource(url=store, read_only=True, clock=now_us)
    database = source.database
    if database is None and source.server is None:
        raise StoreError("a store in memory has no files; name one in a file")
    return database


def repair(
    store: Store = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Make anew what follows from the records of a store, and say what does not.

    Snapshots, indexes and the journal's own tables of what lies below a scope follow from the records, and
    are made anew where they are damaged. Records are never changed: for each that is damaged it is said which
    it is, and what its loss means. No other program may have the store open. Make a copy of its files before.
    The exit code is 1 if something is lost, or still damaged afterwards.

    \b
    Examples:
      eliza-state repair --dry-run
      eliza-state repair --store sqlite:///logs.db
    """
    with reporting(debug=debug):
        known = find_modules(modules or ())
        with shown_progress() as told:
            done = asyncio.run(repair_store(store, modules=known, dry_run=dry_run, told=told))
        if as_json:
            print_json(msgspec.json.encode(done.to_dict()))
        else:
            _show_repair(done, output())
        if not done.is_good:
            raise typer.Exit(FAILED)


def show_verification(found: Verification, console: Console) -> None:
    """Print how much was looked at, and each damage with what it means."""
    counts = found.by_check()
    for check, checked in found.checked.items():
        state = f"{counts[check]} damaged" if check in counts else "good"
        put(console, f"{check:<10} {checked:>9,}  {state}")
    for what in found.unchecked:
        put(console, Text(f"not looked at: {what}", "yellow"))
    _show_findings(found.findings, console)
    if found.total > len(found.findings):
        put(console, f"and {found.total - len(found.findings):,} more")
    told = f"{found.total:,} damaged" if found.total else "nothing is damaged"
    put(console, f"{told}, up to position {found.position:,}")


def _show_findings(findings: tuple[Finding, ...], console: Console) -> None:
    for finding in findings:
        file = f"{finding.file}: " if finding.file else ""
        put(console, Text(f"{finding.check}: {file}{one_line(finding.message)}", "yellow"))
        put(console, f"  {one_line(finding.loss) or 'eliza-state repair makes it anew'}")


def _show_repair(done: Repair, console: Console) -> None:
    word = "would" if done.is_dry_run else "done"
    for line in done.done:
        put(console, f"{word}: {one_line(line)}")
    if not done.done:
        put(console, "there is nothing to make anew")
    if done.lost:
        put(console, Text("what cannot be made anew", "bold"))
        _show_findings(done.lost, console)
    left = sum(finding.is_derived for finding in done.after.findings)
    if left and not done.is_dry_run:
        put(console, f"{left:,} damages are left; verify names them")
