"""`log`: the records of a scope, the newest first, a page at a time."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from eliza_state.change import Record
from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.options import Debug, Json, Modules, ScopePath, Store
from eliza_state.cli.rendering import payload_json
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import one_line, output, print_json, put, reporting, say
from eliza_state.path import Path
from eliza_state.portal import SyncScope

_PAYLOAD_WIDTH = 300


def log(
    path: ScopePath = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many records to show.")] = 20,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="POSITION", min=1, help="Show what came before this position."),
    ] = None,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show the records at and below a scope, the newest first.

    \b
    Examples:
      eliza-state log
      eliza-state log agent:eliza/room:general --limit 50
      eliza-state log agent:eliza --before 120
      eliza-state log --json | jq -r .event | sort | uniq -c
    """
    with reporting(debug=debug), open_store(store, modules or (), read_only=True) as manager:
        scope = find_scope(manager, path)
        show_log(scope, output(), limit=limit, before=before, as_json=as_json)


def show_log(scope: SyncScope, console: Console, *, limit: int, before: int | None, as_json: bool) -> None:
    """Print the last records at or below a scope, those before a position where one is given."""
    until = None if before is None else before - 1
    records = scope.records(until=until, newest_first=True, limit=limit + 1)
    for record in records[:limit]:
        if as_json:
            print_json(msgspec.json.encode(_content(record)))
        else:
            _put_record(console, record, scope.path)
    if len(records) > limit and not as_json:
        path = f" {scope.path.encode()!r}" if scope.path.steps else ""
        say(f"older ones: eliza-state log{path} --before {records[limit - 1].position}")


def _put_record(console: Console, record: Record, path: Path) -> None:
    """Print a record: two lines on a terminal, where one would hide the payload; else one."""
    below = Path(record.path.steps[len(path.steps) :]).encode() or "."
    head = Text(f"{record.position:>7}", "cyan")
    head.append(f"  v{record.version:<4} {record.recorded_at:%Y-%m-%d %H:%M:%S}  ", "dim")
    head.append(record.event or "(damaged)", "bold")
    head.append(f"  {below}", "dim")
    text = "(erased)" if record.is_erased else bytes(payload_json(record)).decode()
    payload = one_line(text if len(text) <= _PAYLOAD_WIDTH else f"{text[:_PAYLOAD_WIDTH]}…")
    if console.is_terminal:
        put(console, head)
        put(console, f"{'':9}{payload}")
    else:
        put(console, head.append(f"  {payload}"))


def _content(record: Record) -> dict[str, object]:
    return {
        "position": record.position,
        "version": record.version,
        "recorded_at": record.recorded_at.isoformat(),
        "event": record.event,
        "schema_version": record.schema_version,
        "path": record.path.encode(),
        "id": record.id,
        "cause": record.cause,
        "payload": payload_json(record),
    }
