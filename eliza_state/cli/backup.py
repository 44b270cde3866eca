"""`eliza-state backup`: copying a whole store, verifying the copy, making a store of it again."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any

import msgspec
import typer

from eliza_state.backup import Manifest
from eliza_state.backup import backup as make_backup
from eliza_state.backup import restore as restore_backup
from eliza_state.backup import verify as verify_backup
from eliza_state.cli.bars import shown_progress
from eliza_state.cli.health.verifying import show_verification
from eliza_state.cli.opening import DEFAULT_STORE
from eliza_state.cli.options import Debug, Json, Store
from eliza_state.cli.terminal import FAILED, output, print_json, reporting
from eliza_state.health import Verification

application = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[
    FilePath, typer.Argument(metavar="FOLDER", show_default=False, help="A backup that `make` has made.")
]


@application.callback()
def _backup() -> None:
    """Copy a whole store while it is in use, verify a copy, or make a store of it again.

    A backup is a folder: the journal and what plugins keep beside it, as of one instant, and a manifest with
    their checksums. Snapshots and indexes follow from the records, and are not in it. To give a scope an
    earlier state back, without a backup, see `eliza-state restore`.

    \b
    Examples:
      eliza-state backup make backups/monday
      eliza-state backup verify backups/monday
      eliza-state backup restore backups/monday --store sqlite:///state.db --replace

    \b
    Exit codes: 0 all went well; 1 something failed, or is damaged; 2 the command line is wrong;
    130 interrupted.
    """


@application.command()
def make(
    to: Annotated[
        FilePath, typer.Argument(metavar="FOLDER", show_default=False, help="The new folder of the backup.")
    ],
    store: Store = DEFAULT_STORE,
    archive: Annotated[
        FilePath | None,
        typer.Option("--archive", metavar="FOLDER", help="Its archive, where that is not beside it."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy a store into a new folder, as of one instant, and verify the copy.

    Programs may write meanwhile, and do not wait for it. The folder appears under its name once it is whole
    and verified; a backup that is cut off leaves one with `unfinished` in its name, which can go. What is
    damaged in the store is so in the copy: it is named, and the exit code is 1 then.

    \b
    Examples:
      eliza-state backup make backups/$(date +%F)
      eliza-state backup make /mnt/backups/monday --store sqlite:///logs.db --json
    """
    with reporting(debug=debug):
        with shown_progress() as told:
            made = asyncio.run(make_backup(store, to, archive=archive, told=told))
        _tell(made.manifest, made.verification, as_json=as_json, text=f"backup in {to}: ", folder=str(to))


@application.command()
def verify(folder: Folder, as_json: Json = False, debug: Debug = False) -> None:
    """Read a backup back, and look it over for damage.

    Every file is held against its checksum, and the copy is looked over as `eliza-state verify` does it. The
    exit code is 1 if something is damaged, or the folder is no backup.

    \b
    Examples:
      eliza-state backup verify backups/monday
    """
    with reporting(debug=debug):
        with shown_progress() as told:
            found = asyncio.run(verify_backup(folder, told=told))
        if as_json:
            print_json(msgspec.json.encode(found.to_dict()))
        else:
            show_verification(found, output())
        if not found.is_good:
            raise typer.Exit(FAILED)


@application.command()
def restore(
    folder: Folder,
    store: Store = DEFAULT_STORE,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put a store that is there aside, and take its place.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a store of a backup, as it was at that instant.

    Stop all programs that use the store. A store that is there is left as it is without --replace; with it,
    its files go into a folder beside it, `….replaced-…`. The new store is verified before it takes its place,
    and has an epoch of its own. Cut off anywhere, run it again.

    \b
    Examples:
      eliza-state backup restore backups/monday --store sqlite:///copy.db
      eliza-state backup restore backups/monday --replace
    """
    with reporting(debug=debug):
        with shown_progress() as told:
            restored = asyncio.run(restore_backup(folder, store, replace=replace, told=told))
        aside = restored.replaced
        if aside is not None and not as_json:
            typer.echo(f"the store that was there is in {aside}")
        _tell(
            restored.manifest,
            restored.verification,
            as_json=as_json,
            text=f"restored to {restored.database}: ",
            store=str(restored.database),
            store_epoch=restored.epoch,
            replaced=None if aside is None else str(aside),
        )


def _tell(manifest: Manifest, verification: Verification, *, as_json: bool, text: str, **more: Any) -> None:
    """Print what a backup holds, and what is damaged in it."""
    if as_json:
        told = msgspec.to_builtins(manifest) | more | {"verification": verification.to_dict()}
        print_json(msgspec.json.encode(told))
    else:
        if not verification.is_good:
            show_verification(verification, output())
        typer.echo(f"{text}position {manifest.position:,}, {_newest(manifest)}")
        typer.echo(f"{manifest.size_bytes:,} bytes in {len(manifest.files)} files, verified")
    if not verification.is_good:
        raise typer.Exit(FAILED)


def _newest(manifest: Manifest) -> str:
    at = manifest.recorded_at
    if at is None:
        return "no record"
    before_s = round((manifest.made_at - at).total_seconds())
    age = datetime.timedelta(seconds=max(before_s, 0))
    return f"the newest record of {at.isoformat(timespec='seconds')} ({age} before the backup)"
