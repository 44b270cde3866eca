"""The commands on storages, by name."""

from __future__ import annotations

from typing import ClassVar

import typer

from eliza_state.cli.lazy import Command, LazyGroup


class _Commands(LazyGroup):
    """The commands; `eliza_state.cli.application` tells how to add one."""

    places: ClassVar = {
        "get": Command("eliza_state.cli.store.keys:get", "Print the value of a key as JSON"),
        "set": Command(
            "eliza_state.cli.store.keys:set_",
            "Store a value under a key, and print its version",
            {"ignore_unknown_options": True},
        ),
        "delete": Command(
            "eliza_state.cli.store.keys:delete",
            "Remove keys, and tell how many there were; one that is not there is no error",
        ),
        "keys": Command(
            "eliza_state.cli.store.keys:list_",
            "List the keys of a namespace, one a line, in no particular order",
        ),
        "ttl": Command(
            "eliza_state.cli.store.keys:ttl", "Print how long a key has still to live, or change that"
        ),
        "stats": Command(
            "eliza_state.cli.store.upkeep:stats",
            "Show each layer with its number of keys, its size and how quickly it answers",
        ),
        "sweep": Command(
            "eliza_state.cli.store.upkeep:sweep",
            "Remove what is past its time from all namespaces, and tell how many entries went",
        ),
        "archive": Command(
            "eliza_state.cli.store.upkeep:archive",
            "Move keys from the home into the archive, the last --store",
        ),
        "restore": Command(
            "eliza_state.cli.store.upkeep:restore",
            "Move keys from the archive, the last --store, back into the home",
        ),
        "migrate": Command(
            "eliza_state.cli.store.upkeep:migrate",
            "Bring all values of a namespace, and of those below it, to the current version of their shape",
        ),
        "verify": Command(
            "eliza_state.cli.store.upkeep:verify",
            "Read every entry of each layer, and list what is damaged; the exit code is 1 if anything is",
        ),
    }


application = typer.Typer(cls=_Commands, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@application.callback()
def _store() -> None:
    """Look into a storage of keys and values, and look after it.

    A storage is named by --store: a database, Redis, a JSON file or an archive. Several --store are the
    layers of one, from the top down. Without it, it is sqlite:///state.db, or what ELIZA_STATE_STORE names,
    URLs with blanks between them.

    \b
    Examples:
      eliza-state store set greeting '"hello"' --ttl 1h
      eliza-state store get greeting
      eliza-state store keys --store redis://localhost:6379/0 --nested
      eliza-state store stats --store redis://localhost --store sqlite:///state.db

    \b
    Exit codes: 0 all went well; 1 something failed, a key is not there, or something is damaged;
    2 the command line is wrong; 130 interrupted.
    """
