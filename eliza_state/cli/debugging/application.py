"""The commands on a store's past, as they are put into the application."""

from __future__ import annotations

import typer

from eliza_state.cli.debugging import looking, moving, replaying, restoring, searching


def add_commands(application: typer.Typer) -> None:
    """Add the commands to an application."""
    application.command()(looking.snapshot)
    application.command("diff")(looking.diff_)
    application.command()(looking.rewind)
    application.command()(restoring.restore)
    application.command()(searching.timeline)
    application.command()(searching.blame)
    application.command()(searching.bisect)
    application.command()(replaying.replay)
    application.command()(moving.export)
    application.command("import")(moving.import_)
    application.command()(moving.fork)
    application.command("make-test")(replaying.make_test)
