"""`timeline`, `blame` and `bisect`: which records did what."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import msgspec
import typer

from eliza_state.cli.debugging.points import parse_time
from eliza_state.cli.debugging.sessions import session
from eliza_state.cli.debugging.showing import show_entry
from eliza_state.cli.opening import DEFAULT_STORE
from eliza_state.cli.options import (
    Debug,
    Json,
    Limit,
    Modules,
    ScopePath,
    Store,
    WantedPath,
)
from eliza_state.cli.rendering import abbreviated
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import FAILED, output, print_json, put, say
from eliza_state.debugger import MISSING, Comparison, TimelineEntry, document
from eliza_state.path import Path

Module = Annotated[str, typer.Argument(metavar="MODULE", show_default=False, help="The name of the slice.")]


def timeline(  # noqa: PLR0913, PLR0917  # a command's options
    path: ScopePath = "",
    store: Store = DEFAULT_STORE,
    module: Annotated[
        str | None, typer.Option("--module", metavar="NAME", help="Records that changed this slice.")
    ] = None,
    inside: Annotated[
        str | None,
        typer.Option("--inside", metavar="PLACE", help="… this place in it, as in 'messages[m1].text'."),
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="NAME", help="Records of this event.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="Records with this in their payload.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From this time on, with a zone.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Up to this time, with a zone.")
    ] = None,
    after: Annotated[
        int, typer.Option("--after", metavar="POSITION", min=0, help="What came after this position.")
    ] = 0,
    before: Annotated[
        int | None, typer.Option("--before", metavar="POSITION", min=1, help="What came before it.")
    ] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest.")] = False,
    limit: Limit = 20,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show the records at and below a scope with what each changed, the newest first.

    \b
    Examples:
      eliza-state timeline agent:eliza --limit 5
      eliza-state timeline --module conversation --inside 'messages[m1].text'
      eliza-state timeline --text tomato --since 2024-05-01T00:00:00Z
      eliza-state timeline --json | jq -r .event | sort | uniq -c
    """
    with session(store, modules, debug=debug) as asked:
        below = find_scope(asked.manager, path).path
        entries = asked.debugger.timeline(
            below=below,
            module=module,
            inside=inside,
            event=event,
            text=text,
            since=None if since is None else parse_time(since),
            until=None if until is None else parse_time(until),
            after_position=after,
            before_position=before,
            newest_first=not oldest_first,
            limit=limit + 1,
        )
        last = 0
        for number, entry in enumerate(asked.each(entries)):
            if number == limit:
                if not as_json:
                    say(f"more: the same with --{'after' if oldest_first else 'before'} {last}")
                break
            last = entry.position
            _put(entry, below, as_json=as_json)


def _put(entry: TimelineEntry, below: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.json.encode(entry.to_json()))
    else:
        show_entry(output(), entry, below=below)


def blame(  # noqa: PLR0913, PLR0917  # a command's options
    path: WantedPath,
    module: Module,
    inside: Annotated[
        str,
        typer.Argument(metavar="PLACE", show_default=False, help="As in 'messages[m1].text'; '' for all."),
    ],
    store: Store = DEFAULT_STORE,
    history: Annotated[
        bool, typer.Option("--history", help="All records that set it, newest first.")
    ] = False,
    limit: Limit = 20,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show which record last set a place in a slice of a scope, and what else it changed there.

    A place is a field, an entity by its id, the key of a map or the element of a set:
    topic, messages[m1].text, labels["two words"], participants{ada}.

    \b
    Examples:
      eliza-state blame agent:eliza/room:general/conversation:tea conversation topic
      eliza-state blame agent:eliza settings 'values[model]' --history
    """
    with session(store, modules, debug=debug) as asked:
        scope = find_scope(asked.manager, path)
        found = asked.run(lambda debugger: debugger.blame(path, module, inside))
        entries: list[TimelineEntry] = [] if found.entry is None else [found.entry]
        if history:
            entries = [entry for entry, _ in zip(asked.each(found.history()), range(limit), strict=False)]
        value = found.value
        if as_json:
            told: dict[str, Any] = {} if value is MISSING else {"value": document(value)}
            print_json(msgspec.json.encode({**told, "records": [entry.to_json() for entry in entries]}))
            return
        console = output()
        put(console, f"now: {abbreviated(value)}")
        for entry in entries:
            show_entry(console, entry, below=scope.path)
        if not entries:
            put(console, "no record ever set it: it is as in the initial state")


def bisect(  # noqa: PLR0913, PLR0917  # a command's options
    path: WantedPath,
    module: Module,
    where: Annotated[
        str,
        typer.Option("--where", metavar="COMPARISON", help="As in 'messages > 100' or 'topic == \"tea\"'."),
    ],
    store: Store = DEFAULT_STORE,
    low: Annotated[int, typer.Option("--low", metavar="POSITION", min=0, help="Begin here.")] = 0,
    high: Annotated[
        int | None, typer.Option("--high", metavar="POSITION", min=0, help="End here, not at the last.")
    ] = None,
    linear: Annotated[
        bool, typer.Option("--linear", help="Look at every record: it may come and go.")
    ] = False,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Find the first position at which something holds of a slice, and show the record there.

    The comparison is a place, one of == != < <= > >=, and a literal: a number, a text in quotes, true, false
    or null. A collection is compared by its size. It is taken to hold from some position on. The exit code
    is 1 if it never does.

    \b
    Examples:
      eliza-state bisect agent:eliza/room:general/conversation:tea conversation --where 'messages > 100'
      eliza-state bisect agent:eliza/room:general room --where 'context == "tea"' --linear
    """
    with session(store, modules, debug=debug) as asked:
        scope = find_scope(asked.manager, path)
        predicate = Comparison.parse(where)
        found = asked.run(
            lambda debugger: debugger.bisect(
                predicate, path=path, module=module, low=low, high=high, linear=linear
            )
        )
        if found is None:
            say(f"{shlex.quote(where)} never holds")
            raise typer.Exit(FAILED)
        entry = None if found.record is None else TimelineEntry(found.record, found.changes)
        if as_json:
            told = None if entry is None else entry.to_json()
            print_json(msgspec.json.encode({"position": found.position, "record": told}))
        elif entry is None:
            put(output(), f"position {found.position}: it held from there on")
        else:
            show_entry(output(), entry, below=scope.path)
