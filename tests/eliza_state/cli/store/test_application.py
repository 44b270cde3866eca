"""What the group of commands says of itself."""

from __future__ import annotations

import pytest

from tests.eliza_state.cli.command import invoke

COMMANDS = (
    "get",
    "set",
    "delete",
    "keys",
    "ttl",
    "stats",
    "sweep",
    "archive",
    "restore",
    "migrate",
    "verify",
)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_has_examples(command: tuple[str, ...]) -> None:
    result = invoke("store", *command, "-h")

    assert result.exit_code == 0
    assert "Examples:\n" in result.stdout
    assert f"  eliza-state store {' '.join(command)}" in result.stdout


def test_a_command_that_is_none_is_told() -> None:
    result = invoke("store", "gte", "a")

    assert result.exit_code == 2
    assert "gte" in result.stderr
