"""The options that commands on a storage share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from eliza_state.cli.keys import KEY_FILE_VARIABLE
from eliza_state.cli.opening import DEFAULT_STORE
from eliza_state.cli.store.opening import Place

Stores: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--store",
        envvar="ELIZA_STATE_STORE",
        metavar="URL",
        help="The storage, such as sqlite:///state.db or redis://localhost; several are layers, top down.",
    ),
]
Namespaces: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace", "-N", metavar="NAME", help="Look into this namespace; repeatable, outermost first."
    ),
]
KeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar=KEY_FILE_VARIABLE,
        metavar="FILE",
        help="Keys of encrypted values: lines of ID=KEY, written with the last.",
    ),
]
SerializerName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--serializer",
        metavar="NAME",
        help="json, msgpack or another by name; or PACKAGE:NAME, one of your own that knows your classes.",
    ),
]
Compress: TypeAlias = Annotated[
    bool, typer.Option("--compress", help="Compress what is written, if that makes it shorter.")
]
Prefix: TypeAlias = Annotated[
    str | None, typer.Option("--prefix", metavar="TEXT", help="The keys that begin so; '' for all.")
]
Nested: TypeAlias = Annotated[
    bool, typer.Option("--nested", help="Take in the namespaces below, down to the last.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug: TypeAlias = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

DEFAULT: list[str] = [DEFAULT_STORE]


def place(urls: list[str], namespaces: list[str] | None) -> Place:
    """Return the place that the two options name."""
    return Place(tuple(urls), tuple(namespaces or ()))
