"""How the command line talks: results on standard output, warnings and errors on standard error."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Generator
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from eliza_state.errors import StateError
from eliza_state.problems import Problem, Problems

FAILED: Final = 1
"""The exit code when something went wrong, or lines were refused."""
MISUSED: Final = 2
"""The exit code when the command line itself is wrong; it is the option parser's too."""
INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as a shell gives it."""

_UNBOUNDED: Final = 1_000_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Misuse(Exception):
    """The command line asks for what cannot be; the message says what to write instead."""


def one_line(text: str) -> str:
    """Return text without line breaks and other control characters, safe for any terminal."""
    return _CONTROLS.sub(" ", text)


def output() -> Console:
    """Return the console for results: as wide as the terminal, and without a bound where there is none."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console


def put(console: Console, line: Text | str) -> None:
    """Print one line, cut at the console's width."""
    console.print(line, no_wrap=True, overflow="ellipsis")


def say(text: str) -> None:
    """Print one line on standard error."""
    typer.echo(one_line(text), err=True)


def print_json(text: bytes) -> None:
    """Print a line of JSON, as UTF-8 whatever the locale."""
    typer.echo(text)


def warn_of(problems: Problems) -> None:
    """Show the problems there are, and those that come, as warnings of one line each."""

    def warn(problem: Problem) -> None:
        where = f" at {problem.path.encode()!r}" if problem.path is not None else ""
        say(f"warning: {problem.kind}{where}: {problem.message}")

    for problem in problems:
        warn(problem)
    problems.listen(warn)


@contextlib.contextmanager
def reporting(*, debug: bool) -> Generator[None]:
    """Turn what goes wrong inside into one line on standard error and an exit code.

    With `debug` the traceback stands before the line, and the package's log goes to standard error too.
    """
    if not debug:
        logging.getLogger("eliza_state").addHandler(logging.NullHandler())
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone: nobody is there to be told, not even by the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except Misuse as error:
        _show(str(error), error, debug)
        raise typer.Exit(MISUSED) from None
    except typer.Exit:
        raise
    except (StateError, OSError) as error:
        _show(str(error), error, debug)
        raise typer.Exit(FAILED) from None
    except Exception as error:  # noqa: BLE001  # the outer edge: a bug is told in one line as well
        _show(f"this is a bug, {type(error).__name__}: {error}; --debug shows where", error, debug)
        raise typer.Exit(FAILED) from None


def _show(message: str, error: Exception, debug: bool) -> None:
    if debug:
        typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    say(f"error: {message}")
