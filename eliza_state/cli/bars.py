"""Bars that show on a terminal how far something has come."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Step(Protocol):
    """How far something has come: what it is at, how much of that is done, and of how much if known."""

    @property
    def doing(self) -> str: ...  # said above

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int | None: ...


def progress_bar(console: Console, *, is_hidden: bool = False) -> Progress:
    """Return a bar for tasks with a field `lines`; it shows on a terminal alone, and goes when it is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[lines]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=is_hidden or not console.is_terminal)


@contextlib.contextmanager
def shown_progress() -> Generator[Callable[[Step], None]]:
    """Give what is to be told of each step; a bar shows it on standard error where that is a terminal."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with progress_bar(console) as bar:
        task = bar.add_task("", total=None, lines="")

        def told(step: Step) -> None:
            bar.update(
                task,
                description=step.doing,
                completed=step.done,
                total=step.total,
                lines=f"{step.done:,}",
            )

        yield told
