"""The arguments and options that the commands share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Store: TypeAlias = Annotated[
    str,
    typer.Option(
        "--store", envvar="ELIZA_STATE_STORE", metavar="URL", help="The store, such as sqlite:///state.db."
    ),
]
Modules: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--modules",
        metavar="PACKAGE:NAME",
        help="Add a module of your own: a class, an object or a list of them; repeatable.",
    ),
]
Debug: TypeAlias = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ScopePath: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="PATH", show_default=False, help="As in agent:eliza/room:general; the root without it."
    ),
]
WantedPath: TypeAlias = Annotated[
    str, typer.Argument(metavar="PATH", show_default=False, help="The scope, as in agent:eliza.")
]
Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", "-n", min=1, help="How many to show, of records or of each collection.")
]
Depth: TypeAlias = Annotated[
    int | None, typer.Option("--depth", min=0, help="How many levels down; all without it.")
]
POINT = "POINT"
"""How a point in the past is called in the help."""
