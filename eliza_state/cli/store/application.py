"""The commands on storages, put together."""

from __future__ import annotations

import typer

from eliza_state.cli.store import keys, upkeep

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


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


application.command()(keys.get)
application.command("set", context_settings={"ignore_unknown_options": True})(keys.set_)
application.command()(keys.delete)
application.command("keys")(keys.list_)
application.command()(keys.ttl)
application.command()(upkeep.stats)
application.command()(upkeep.sweep)
application.command()(upkeep.archive)
application.command()(upkeep.restore)
application.command()(upkeep.migrate)
application.command()(upkeep.verify)
