"""`replay` and `make-test`: what would have been, and what is as a test."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, TypeAlias

import msgspec
import typer
from rich.text import Text

from eliza_state.cli.debugging.sessions import session
from eliza_state.cli.opening import DEFAULT_STORE, find_modules_named
from eliza_state.cli.options import Debug, Json, Modules, ScopePath, Store
from eliza_state.cli.show import find_scope
from eliza_state.cli.terminal import Misuse, output, print_json, put
from eliza_state.debugger.replaying import RecordName

First: TypeAlias = Annotated[
    int | None, typer.Option("--first", metavar="POSITION", min=1, help="Begin with this record.")
]
Last: TypeAlias = Annotated[
    int | None, typer.Option("--last", metavar="POSITION", min=1, help="End with this record.")
]

_ID = "id:"


def replay(  # noqa: PLR0913, PLR0917  # a command's options
    path: ScopePath = "",
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="RECORD", help="Leave out this record; repeatable."),
    ] = None,
    edit: Annotated[
        list[str] | None,
        typer.Option("--edit", metavar="RECORD=JSON", help="Change these fields of its event; repeatable."),
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", metavar="RECORD,…", help="Let these come in this order.")
    ] = None,
    changed: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="PACKAGE:NAME", help="Take this module in the place of its name; repeatable."
        ),
    ] = None,
    first: First = None,
    last: Last = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show what would have been, had some records been otherwise. Nothing is changed.

    The records at and below a scope are folded again in memory, and the states at and below it are compared
    with those that are: where they first part, and what differs in the end. A record is a position (12) or an
    id (id:…). Without --first it begins with the first record that is named.

    \b
    Examples:
      eliza-state replay --skip 12 --skip 15
      eliza-state replay agent:eliza --edit '12={"text": "hello"}'
      eliza-state replay --order 15,12 --last 40 --json
      eliza-state replay --with shop.next:CartModule --modules shop.modules:CartModule
    """
    with session(store, modules, debug=debug) as asked:
        found = find_scope(asked.manager, path).path
        wanted: dict[str, Any] = {
            "first": first,
            "last": last,
            "skip": [_record(text) for text in skip or ()],
            "edit": dict(_edit(text) for text in edit or ()),
            "order": [_record(text) for text in order.split(",")] if order else (),
            "modules": find_modules_named(changed or ()),
        }
        result = asked.run(lambda debugger: debugger.replay(found, **wanted))
        if as_json:
            print_json(msgspec.json.encode(result.to_json()))
            return
        console = output()
        for line in result.text().split("\n"):
            put(console, line if line.plain else Text(""))


def _record(text: str) -> RecordName:
    bare = text.strip()
    if bare.startswith(_ID):
        return bare.removeprefix(_ID)
    if bare.isascii() and bare.isdigit():
        return int(bare)
    raise Misuse(f"a record is a position such as 12, or id:ID, got {text!r}")


def _edit(text: str) -> tuple[RecordName, Any]:
    record, sign, changes = text.partition("={")
    if not sign and text.endswith("=null"):
        return _record(text.removesuffix("=null")), None
    try:
        return _record(record), msgspec.json.decode(f"{{{changes}" if sign else "", type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Misuse(
            f'--edit takes a record and an object of fields, as in \'12={{"text": "hello"}}\', got {text!r}'
        ) from None


def make_test(  # a command's options
    path: ScopePath = "",
    first: First = None,
    last: Last = None,
    module: Annotated[
        str | None, typer.Option("--module", metavar="NAME", help="Tell this module's slices alone.")
    ] = None,
    file: Annotated[
        FilePath | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")
    ] = None,
    store: Store = DEFAULT_STORE,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Write a test for pytest: given the state before these records, the state after them.

    It stands for itself, and can be edited. Secrets are placeholders.

    \b
    Examples:
      eliza-state make-test agent:eliza/room:general --last 20
      eliza-state make-test agent:eliza --first 12 --last 15 --module agent -o test_goals.py
    """
    with session(store, modules, debug=debug) as asked:
        found = find_scope(asked.manager, path).path
        text = asked.run(
            lambda debugger: debugger.make_test(found, first=first or 1, last=last, module=module)
        )
        if file is None:
            typer.echo(text, nl=False)
        else:
            file.write_text(text, encoding="utf-8")
