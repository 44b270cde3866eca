"""The commands in the application."""

from __future__ import annotations

import pytest

from tests.eliza_state.cli.debugging.asking import shown


@pytest.mark.parametrize("command", ["snapshot", "diff", "rewind", "timeline", "blame", "bisect"])
def test_help_has_examples(command: str) -> None:
    text = shown(command, "--help")

    assert "Examples:\n" in text
    assert f"  eliza-state {command}" in text
