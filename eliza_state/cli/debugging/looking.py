"""`snapshot`, `diff` and `rewind`: states at one point, or at two."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from eliza_state.cli.debugging.points import NOW, parse_point
from eliza_state.cli.debugging.sessions import session
from eliza_state.cli.debugging.showing import show_change, show_head, show_slices, show_states
from eliza_state.cli.debugging.sides import Sides
from eliza_state.cli.opening import DEFAULT_STORE
from eliza_state.cli.options import (
    POINT,
    Debug,
    Depth,
    Json,
    Limit,
    Modules,
    ScopePath,
    Store,
)
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import output, print_json, put


def snapshot(
    path: ScopePath = "",
    at: Annotated[str, typer.Option("--at", metavar=POINT, help="When; see `rewind --help`.")] = NOW,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    depth: Depth = None,
    limit: Limit = 10,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show a scope and all below it at one position: the scopes with their versions and counts.

    With --json it is one object with all states, secrets masked, to be kept in a file and compared later.

    \b
    Examples:
      eliza-state snapshot
      eliza-state snapshot agent:eliza --at 2024-05-01T09:00:00Z
      eliza-state snapshot --json > before.json
    """
    with session(store, modules, debug=debug) as asked:
        find_scope(asked.manager, path)
        past = asked.past(parse_point(at), path)
        if as_json:
            taken = asked.run(lambda _: past.snapshot(depth=depth))
            print_json(msgspec.json.encode(taken.to_json()))
            return
        console = output()
        show_head(console, past)
        show_states(console, asked.run(lambda _: past.tree(depth=depth)), limit=limit)


def rewind(
    point: Annotated[
        str,
        typer.Argument(
            metavar=POINT, show_default=False, help="A position, vN, id:ID, a time with a zone, or now."
        ),
    ],
    path: ScopePath = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    limit: Limit = 10,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show the slices of a scope as they were at a point in the past. Nothing is changed.

    A point is a position of the store (120; 0 is the beginning), a version of the scope (v3: after its third
    record), the id of one of its records (id:…), a time of the journal in ISO 8601, or now.

    \b
    Examples:
      eliza-state rewind 120
      eliza-state rewind v3 agent:eliza/room:general
      eliza-state rewind 2024-05-01T09:00:00Z agent:eliza --json
    """
    with session(store, modules, debug=debug) as asked:
        find_scope(asked.manager, path)
        past = asked.past(parse_point(point), path)
        if as_json:
            taken = asked.run(lambda _: past.snapshot(depth=0))
            print_json(msgspec.json.encode(taken.to_json()))
            return
        console = output()
        show_head(console, past)
        show_slices(console, asked.run(lambda _: past.tree(depth=0)), limit=limit)


def diff_(
    before: Annotated[
        str,
        typer.Argument(
            metavar="BEFORE", show_default=False, help="A point, the URL of a store or a file of a snapshot."
        ),
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same.")] = NOW,
    path: Annotated[
        str, typer.Option("--path", metavar="PATH", help="The scopes at and below this one.")
    ] = "",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    patch: Annotated[bool, typer.Option("--patch", help="Print a JSON patch (RFC 6902).")] = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show what differs between two points, stores or files, slice by slice.

    A point is one as `rewind` takes, versions and ids being those of --path; a file is what
    `snapshot --json` has printed. The patch leads from the one to the other in that form.

    \b
    Examples:
      eliza-state diff 120
      eliza-state diff v3 v4 --path agent:eliza/room:general
      eliza-state diff before.json now --patch
      eliza-state diff sqlite:///state.db sqlite:///copy.db
    """
    with session(store, modules, debug=debug) as asked:
        sides = Sides(asked, path, modules or [])
        found = sides.compare(before, after)
        if patch:
            print_json(msgspec.json.encode(sides.patch(found).to_json()))
        elif as_json:
            positions = {"before": found.before.position, "after": found.after.position}
            told = {**positions, "slices": [slice_.to_json() for slice_ in found]}
            print_json(msgspec.json.encode(told))
        elif not found:
            put(output(), "nothing differs")
        else:
            console = output()
            for slice_ in found:
                show_change(console, slice_)
