"""Commands that are imported when they are called for."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from eliza_state.cli.application import application
from eliza_state.cli.lazy import LazyGroup
from tests.eliza_state.cli.command import environment, invoke

GROUP: Any = typer.main.get_command(application)


def all_of(group: Any, *above: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield what stands for a command, and the command, by name; those of lazy groups in the group too."""
    for name, place in group.places.items():
        command = group.commands[name]
        yield " ".join([*above, name]), (place, command)
        if isinstance(command, LazyGroup):
            yield from all_of(command, *above, name)


COMMANDS = dict(all_of(GROUP))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_sentence_of_the_help(name: str) -> None:
    place, command = COMMANDS[name]
    told = inspect.cleandoc(command.help).split("\n\n")[0]

    assert place.summary == re.split(r"\.(?:\s|$)", told.replace("\n", " "))[0]


def test_the_help_names_every_command() -> None:
    shown = invoke("--help").stdout

    assert list(GROUP.places) == re.findall(r"^  ([a-z-]+)  ", shown.partition("Commands:")[2], re.MULTILINE)


def test_a_command_that_is_none_is_told_with_one_that_is_near() -> None:
    result = invoke("sho")

    assert 2 == result.exit_code
    assert "'show'" in result.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        ("--help", {"eliza_state.cli.show", "eliza_state.cli.opening", "rich"}),
        ("store --help", {"eliza_state.cli.store.keys", "rich"}),
        ("log --help", {"eliza_state.debugger", "eliza_state.synchronizer", "eliza_state.health"}),
        ("blame --help", {"eliza_state.health", "eliza_state.synchronizer", "hypothesis"}),
    ],
)
def test_only_what_is_needed_is_imported(arguments: str, unused: set[str], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "eliza_state.cli", *arguments.split()]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "eliza_state.cli.lazy" in imported
    assert not imported & unused
