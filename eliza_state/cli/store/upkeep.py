"""The commands on whole storages: stats, sweep, archive, restore, migrate, verify."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import attrs
import msgspec
import typer
from rich.table import Table

from eliza_state.cli.opening import find_named
from eliza_state.cli.store.checking import Check, Damage
from eliza_state.cli.store.figures import Figures, figures_of
from eliza_state.cli.store.formats import AsStored, AsWritten, transforms
from eliza_state.cli.store.migrating import migrate_place
from eliza_state.cli.store.moving import Move, Moved, keys_in
from eliza_state.cli.store.opening import Place, layers, storage_of
from eliza_state.cli.store.options import (
    DEFAULT,
    Compress,
    Debug,
    Json,
    KeyFile,
    Namespaces,
    Nested,
    Prefix,
    SerializerName,
    Stores,
    place,
)
from eliza_state.cli.store.values import serializer_of
from eliza_state.cli.terminal import FAILED, Misuse, one_line, output, print_json, reporting, say
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.keys import escaped_prefix, full_key

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY...", show_default=False)]


def stats(
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show each layer with its number of keys, its size and how quickly it answers.

    Keys that are dead wait for a sweep. "size" is what the file or the folder takes, where there is one:
    a SQLite file with all its tables. "probe" is the median and the longest of 20 readings of a key that is
    not there. An open breaker has given a layer up for a while. The exit code is 1 if one does not answer.

    \b
    Examples:
      eliza-state store stats
      eliza-state store stats --store redis://localhost --store sqlite:///state.db --store archive:archive
    """
    with reporting(debug=debug):
        figures = asyncio.run(figures_of(place(store, namespace)))
        if as_json:
            for one in figures:
                print_json(msgspec.json.encode(attrs.asdict(one)))
        else:
            _show_figures(figures)
        if any(one.error is not None for one in figures):
            raise typer.Exit(FAILED)


def _show_figures(figures: list[Figures]) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 3, 0, 0))
    for name in ("layer", "role", "keys", "dead", "size", "probe", "breaker"):
        table.add_column(name, justify="right" if name in ("keys", "dead", "size") else "left")
    for one in figures:
        shown = [_shown(one.keys), _shown(one.dead), _shown(one.size_bytes, " B")]
        probe = "-" if one.probe_ms is None else f"{one.probe_ms:.2f} ms, at most {one.slowest_ms:.2f}"
        table.add_row(one.name, one.role, *shown, probe, one.breaker or "-")
    output().print(table)
    for one in figures:
        if one.error is not None:
            say(f"error: {one.name}: {one.error}")


def _shown(number: int | None, unit: str = "") -> str:
    return "-" if number is None else f"{number:,}{unit}"


def sweep(store: Stores = DEFAULT, as_json: Json = False, debug: Debug = False) -> None:
    """Remove what is past its time from all namespaces, and tell how many entries went.

    What remembers a deletion counts too, once it is past its own time.

    \b
    Examples:
      eliza-state store sweep --store sqlite:///state.db
    """
    with reporting(debug=debug):
        swept = asyncio.run(_sweep(place(store, None)))
        if as_json:
            print_json(msgspec.json.encode({"swept": swept}))
        else:
            typer.echo(f"{swept:,} swept")


async def _sweep(where: Place) -> int:
    async with storage_of(where, AsStored()) as storage:
        return await storage.sweep()


def archive(
    keys: Keys = None,
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    prefix: Prefix = None,
    nested: Nested = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Move keys from the home into the archive, the last --store.

    Each is written to the archive and read back before it goes from the home; readers of the layers go on
    finding it. It may be stopped at any point and run again, and others may write meanwhile.

    \b
    Examples:
      eliza-state store archive talk:1 talk:2 --store sqlite:///state.db --store archive:archive
      eliza-state store archive --prefix 2023- --store sqlite:///state.db --store archive:archive
    """
    with reporting(debug=debug):
        moved = asyncio.run(_moved(place(store, namespace), keys or [], prefix, nested, restores=False))
        _tell_moved(moved, "archived", "already in the archive", as_json=as_json)


def restore(
    keys: Keys = None,
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    prefix: Prefix = None,
    nested: Nested = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Move keys from the archive, the last --store, back into the home.

    What the home has by now is never replaced.

    \b
    Examples:
      eliza-state store restore talk:1 --store sqlite:///state.db --store archive:archive
      eliza-state store restore --prefix '' --nested --store sqlite:///state.db --store archive:archive
    """
    with reporting(debug=debug):
        moved = asyncio.run(_moved(place(store, namespace), keys or [], prefix, nested, restores=True))
        _tell_moved(moved, "restored", "already at home", as_json=as_json)


async def _moved(where: Place, keys: list[str], prefix: str | None, nested: bool, *, restores: bool) -> Moved:
    if where.archive is None:
        raise Misuse(
            "name the home and below it the archive: --store sqlite:///state.db --store archive:FOLDER"
        )
    if bool(keys) == (prefix is not None) or (keys and nested):
        raise Misuse("name keys, or choose them by --prefix, '' for all, and with --nested those below too")
    space = where.space
    async with layers(where, new=() if restores else (where.archive,)) as backends:
        source, target = (backends[-1], backends[-2]) if restores else (backends[-2], backends[-1])
        move = Move(source, target)
        if keys:
            await move.move([full_key(space, key) for key in dict.fromkeys(keys)])
        else:
            async for page in keys_in(source, space, prefix=escaped_prefix(prefix or ""), nested=nested):
                await move.move(page)
    return move.report


def _tell_moved(moved: Moved, done: str, present: str, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.json.encode(attrs.asdict(moved)))
    else:
        for key in moved.missing:
            say(f"error: there is no key {key!r}")
        for key, reason in moved.failures.items():
            say(f"error: {key!r}: {reason}")
        typer.echo(f"{moved.moved:,} {done}, {moved.present:,} {present}")
    if moved.missing or moved.failures:
        raise typer.Exit(FAILED)


def migrate(  # noqa: PLR0913, PLR0917  # a command's parameters are its options
    migrations: Annotated[
        str,
        typer.Option(
            "--migrations", metavar="PACKAGE:NAME", help="What `enhance_storage` gets: functions by version."
        ),
    ],
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run the functions and write nothing.")] = False,
    serializer: SerializerName = "json",
    compress: Compress = False,
    key_file: KeyFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Bring all values of a namespace, and of those below it, to the current version of their shape.

    They are those of a storage made by `enhance_storage`, in envelopes with their version; what has none is
    version 0. Programs may use them meanwhile. What was written meanwhile is left to its next reader, and
    what fails stays as it is: then the exit code is 1. Values are written by --serializer whatever wrote them
    before, so name the one that your programs use.

    \b
    Examples:
      eliza-state store migrate --migrations shop.storage:MIGRATIONS --namespace session --dry-run
      eliza-state store migrate --migrations shop.storage:MIGRATIONS --serializer shop.storage:SERIALIZER
    """
    with reporting(debug=debug):
        functions = find_named(migrations, option="--migrations", example="shop.storage:MIGRATIONS")
        if not isinstance(functions, Mapping):
            raise Misuse(f"--migrations {migrations}: expected functions by version, as in {{1: add_role}}")
        encoding = Encoding[Any](
            serializer=serializer_of(serializer), transforms=transforms(key_file, compress=compress)
        )
        where = place(store, namespace)
        done = asyncio.run(migrate_place(where, encoding, functions, dry_run=dry_run))
        if as_json:
            failures = [str(error) for error in done.failures]
            shown = {**attrs.asdict(done), "versions": dict(done.versions), "failures": failures}
            print_json(msgspec.json.encode(shown))
        else:
            for error in done.failures:
                say(f"error: {error}")
            for version, count in done.versions.items():
                typer.echo(f"version {version}: {count:,}")
            would = "would be migrated" if dry_run else "migrated"
            typer.echo(
                f"{done.migrated:,} {would}, {done.contended:,} written meanwhile, {done.failed:,} failed"
            )
        if done.failed:
            raise typer.Exit(FAILED)


def verify(
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    serializer: SerializerName = "json",
    key_file: KeyFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Read every entry of each layer, and list what is damaged; the exit code is 1 if anything is.

    An entry is good if it can be read to its last tag, in an archive by its checksums too. What is encrypted
    is not checked without its key, and neither is what has a class that nobody registered. With --json, one
    object for each damage, then one with the counts.

    \b
    Examples:
      eliza-state store verify --store sqlite:///state.db --store archive:archive --key-file keys.txt
    """
    with reporting(debug=debug):
        check = Check(AsWritten(transforms=transforms(key_file)), serializer_of(serializer))
        damaged = asyncio.run(_verify(check, place(store, namespace), as_json=as_json))
        if as_json:
            counts = {"good": check.good, "damaged": damaged, "unchecked": check.unchecked}
            print_json(msgspec.json.encode(counts))
        else:
            left = "".join(f", {count:,} not checked: {reason}" for reason, count in check.unchecked.items())
            typer.echo(f"{check.good:,} good, {damaged:,} damaged{left}")
        if damaged:
            raise typer.Exit(FAILED)


async def _verify(check: Check, where: Place, *, as_json: bool) -> int:
    damaged = 0
    async for damage in check.damages(where):
        damaged += 1
        if as_json:
            print_json(msgspec.json.encode(attrs.asdict(damage)))
        else:
            typer.echo(one_line(_told(damage)))
    return damaged


def _told(damage: Damage) -> str:
    what = [repr(damage.key)] if damage.key is not None else []
    what += [damage.path] if damage.path is not None else []
    return f"{damage.layer}: {' in '.join(what)}: {damage.reason}"
