"""The commands on keys: get, set, delete, keys, ttl."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Annotated, Any, Final

import msgspec
import typer

from eliza_state.cli.store.formats import AsStored, AsWritten, Encrypted, Written, transforms
from eliza_state.cli.store.opening import Place, storage_of, tell_layers
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
from eliza_state.cli.store.values import (
    duration_ms,
    is_unregistered,
    serializer_of,
    shown_duration,
    shown_value,
    written_value,
)
from eliza_state.cli.terminal import Misuse, one_line, print_json, reporting, say
from eliza_state.errors import StateError, StoreError
from eliza_state.storage.backend import Entry, Mark
from eliza_state.storage.errors import StaleValue
from eliza_state.storage.keys import escaped_prefix, name_of, names_of, split_key
from eliza_state.storage.storage import Storage

_STANDARD_INPUT: Final = "-"
_ATTEMPTS: Final = 5

Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False)]


def get(
    key: Key,
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show secrets, instead of [SECRET].")] = False,
    serializer: SerializerName = "json",
    key_file: KeyFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the value of a key as JSON.

    What JSON lacks is written with tags, as in {"_type": "Set", "data": [1, 2]}, and `set` takes it back.
    A value with a class that nobody registered is shown as it is stored. With --json, its version and its
    times in milliseconds come with it. The exit code is 1 for a key that is not there.

    \b
    Examples:
      eliza-state store get user:7 --namespace session
      eliza-state store get user:7 -N session --reveal --json
      eliza-state store get user:7 -N session --key-file keys.txt
    """
    with reporting(debug=debug):
        own = serializer_of(serializer)
        encoding = AsWritten(transforms=transforms(key_file))
        entry = asyncio.run(_entry(place(store, namespace), key, encoding))
        value, problem = shown_value(entry.live_value, key=key, serializer=own, reveal=reveal)
        if problem is not None:
            advice = "; --serializer may name one that knows it" if is_unregistered(problem) else ""
            say(f"warning: shown as it is stored: {problem}{advice}")
        print_json(
            msgspec.json.encode({"key": key, "value": value, **_times(entry.mark)} if as_json else value)
        )


async def _entry(where: Place, key: str, encoding: AsWritten) -> Entry[Written]:
    async with storage_of(where, encoding, to_read=True) as storage:
        entry = await storage.entry(key)
    if entry is None:
        raise _missing(key)
    return entry


def _missing(key: str) -> StateError:
    return StateError(f"there is no key {key!r}")


def _times(mark: Mark) -> dict[str, int | None]:
    return {"version": mark.version, "deadline_ms": mark.deadline_ms, "ttl_ms": mark.ttl_ms}


def set_(  # noqa: PLR0913, PLR0917  # a command's parameters are its options
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False, help="JSON; - reads it.")],
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="How long it lives, as in 30s; else for ever.")
    ] = None,
    expected_version: Annotated[
        int | None,
        typer.Option(
            "--expected-version", min=0, metavar="N", help="Only over this version; 0: no such key."
        ),
    ] = None,
    serializer: SerializerName = "json",
    compress: Compress = False,
    key_file: KeyFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Store a value under a key, and print its version.

    VALUE is JSON: a text stands in double quotes, inside the shell's own. - takes it from standard input. A
    value that was encrypted is overwritten only with a key. What is not there yet is made: the database's
    table, the file.

    \b
    Examples:
      eliza-state store set user:7 '{"name": "Ada"}' --namespace session --ttl 30m
      eliza-state store get user:7 -N session | jq '.visits += 1' | eliza-state store set user:7 - -N session
    """
    with reporting(debug=debug):
        own = serializer_of(serializer)
        ttl_ms = None if ttl is None else duration_ms(ttl, option="--ttl")
        text = _input() if value == _STANDARD_INPUT else value
        written, problem = written_value(text, serializer=own)
        if problem is not None:
            say(f"warning: written as it stands, whether or not it can be read: {problem}")
        encoding = AsWritten(transforms=transforms(key_file, compress=compress))
        where = place(store, namespace)
        version = asyncio.run(_set(where, key, written, encoding, ttl_ms, expected_version))
        if as_json:
            print_json(msgspec.json.encode({"key": key, "version": version}))
        else:
            typer.echo(f"version {version}")


def _input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise Misuse(f"standard input is to be UTF-8: {error.reason} at byte {error.start}") from None


async def _set(
    where: Place,
    key: str,
    value: Written,
    encoding: AsWritten,
    ttl_ms: int | None,
    expected: int | None,
) -> int:
    async with storage_of(where, encoding, new=where.urls) as storage:
        try:
            await storage.entry(key)
        except Encrypted as error:
            raise StateError(f"{error}; or delete it first, to store it in plain") from None
        except StoreError:
            pass  # it is replaced, whatever it was; if the storage does not answer, the write will say so
        version = await storage.set(key, value, ttl_ms=ttl_ms, expected_version=expected)
        await tell_layers(storage)
    return version


def delete(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", show_default=False)],
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove keys, and tell how many there were; one that is not there is no error.

    \b
    Examples:
      eliza-state store delete user:7 user:8 --namespace session
    """
    with reporting(debug=debug):
        missing = asyncio.run(_delete(place(store, namespace), list(dict.fromkeys(keys))))
        deleted = len(set(keys)) - len(missing)
        if as_json:
            print_json(msgspec.json.encode({"deleted": deleted, "missing": missing}))
        else:
            typer.echo(f"{deleted} deleted, {len(missing)} not there")


async def _delete(where: Place, keys: list[str]) -> list[str]:
    async with storage_of(where, AsStored()) as storage:
        missing = [key for key in keys if not await storage.delete(key)]
        await tell_layers(storage)
    return missing


def list_(
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    prefix: Prefix = None,
    nested: Nested = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the keys of a namespace, one a line, in no particular order.

    With --nested, those of the namespaces below as well, as namespace/key; what has a / or % of its own is
    percent-encoded then. With --json, one object a line, with version and times in milliseconds.

    \b
    Examples:
      eliza-state store keys --namespace session --prefix user:
      eliza-state store keys --nested | sort | head
    """
    with reporting(debug=debug):
        asyncio.run(_list(place(store, namespace), prefix or "", nested, as_json))


async def _list(where: Place, prefix: str, nested: bool, as_json: bool) -> None:
    space = where.space
    async with storage_of(where, AsStored(), to_read=True) as storage:
        backend = storage.backend
        async for page in backend.scan(space, prefix=escaped_prefix(prefix), nested=nested):
            now_ms = backend.now_ms
            for full, mark in page:
                if not mark.is_live(now_ms):
                    continue
                if as_json:
                    print_json(msgspec.json.encode(_listed(full, mark)))
                else:
                    typer.echo(one_line(full[len(space) :] if nested else name_of(full)))


def _listed(full: str, mark: Mark) -> dict[str, Any]:
    space, _ = split_key(full)
    return {"namespace": names_of(space), "key": name_of(full), **_times(mark)}


def ttl(
    key: Key,
    store: Stores = DEFAULT,
    namespace: Namespaces = None,
    new: Annotated[
        str | None, typer.Option("--set", metavar="TIME", help="Let it live so long from now, as in 30s.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let it live for ever.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print how long a key has still to live, or change that.

    Its value stays as it is, and gets a new version where the time is changed.

    \b
    Examples:
      eliza-state store ttl user:7 --namespace session
      eliza-state store ttl user:7 -N session --set 12h
    """
    with reporting(debug=debug):
        if new is not None and remove:
            raise Misuse("--set gives a time to live and --remove takes it away; choose one")
        ttl_ms = None if new is None else duration_ms(new, option="--set")
        where = place(store, namespace)
        mark, now_ms = asyncio.run(_ttl(where, key, ttl_ms, changes=remove or new is not None))
        left_ms = None if mark.deadline_ms is None else max(0, mark.deadline_ms - now_ms)
        if as_json:
            print_json(msgspec.json.encode({"key": key, "left_ms": left_ms, **_times(mark)}))
        else:
            typer.echo("for ever" if left_ms is None else shown_duration(left_ms))


async def _ttl(where: Place, key: str, ttl_ms: int | None, *, changes: bool) -> tuple[Mark, int]:
    async with storage_of(where, AsStored(), to_read=not changes) as storage:
        if changes:
            await _set_ttl(storage, key, ttl_ms)
            await tell_layers(storage)
        mark = await storage.mark(key)
        if mark is None:
            raise _missing(key)
        return mark, storage.backend.now_ms


async def _set_ttl(storage: Storage[bytes], key: str, ttl_ms: int | None) -> None:
    for _ in range(_ATTEMPTS):
        entry = await storage.entry(key)
        if entry is None:
            raise _missing(key)
        with contextlib.suppress(StaleValue):
            await storage.set(key, entry.live_value, ttl_ms=ttl_ms, expected_version=entry.version)
            return
    raise StateError(f"{key!r} was written by others each time; try again")
