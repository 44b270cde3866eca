"""The commands on a store's health, as they are put into the application."""

from __future__ import annotations

import typer

from eliza_state.cli.health import verifying, watching


def add_commands(application: typer.Typer) -> None:
    """Add the commands to an application."""
    application.command()(watching.health)
    application.command()(verifying.verify)
    application.command()(verifying.repair)
