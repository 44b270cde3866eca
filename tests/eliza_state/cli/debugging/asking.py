"""Running a command and taking what it says."""

from __future__ import annotations

import json
from typing import Any

from tests.eliza_state.cli.command import invoke

WEEKEND = "agent:eliza/room:general/conversation:weekend"


def shown(*arguments: object) -> str:
    """What a command prints that goes well."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def told(*arguments: object) -> Any:
    """What a command tells programs."""
    return json.loads(shown(*arguments, "--json"))


def refused(*arguments: object) -> tuple[int, str]:
    """The exit code of a command that goes wrong, and what it says."""
    result = invoke(*arguments)
    assert result.stdout == ""
    return result.exit_code, result.stderr
