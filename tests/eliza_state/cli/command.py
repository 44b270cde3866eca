"""Running the command line in tests: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from eliza_state.cli.application import application
from eliza_state.cli.opening import open_store
from eliza_state.cli.show import scope_json

ROOT = Path(__file__).parents[3]
TRANSCRIPT = resources.files("eliza_state.cli").joinpath("transcript.jsonl").read_text("utf-8")
TALK = {"agent": "eliza", "room": "general", "conversation": "tea"}
COMMAND = (sys.executable, "-m", "eliza_state.cli")


def environment(**more: str) -> dict[str, str]:
    """What a process of its own gets to see, the sources included."""
    sources = os.pathsep.join(str(ROOT / name) for name in (".", "modules", "serializers"))
    plain = {name: value for name, value in os.environ.items() if name != "ELIZA_STATE_STORE"}
    return {**plain, "PYTHONPATH": sources, **more}


def run(*arguments: object, cwd: Path, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def run_on_terminal(*arguments: object, typed: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in the current folder, as a process to which somebody types a line."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{typed}\n".encode())
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=environment(),
            stdin=theirs,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def invoke(*arguments: object, text: str | bytes = "", **more: str) -> Any:
    """Run the command line in this process."""
    return CliRunner(env={"ELIZA_STATE_STORE": None, **more}).invoke(
        application, list(map(str, arguments)), input=text
    )


def line(kind: str, payload: dict[str, Any], **keys: Any) -> str:
    """One line, addressed to a conversation unless `keys` say otherwise."""
    return json.dumps({"type": kind, **TALK, **keys, "payload": payload})


def said(identifier: str, text: str = "hello", **keys: Any) -> str:
    """One line with a message."""
    return line("message_received", {"id": identifier, "user": "ada", "text": text}, **keys)


def everything(store: str) -> dict[str, Any]:
    """What `show --json` tells of every scope of a store, by path."""
    found: dict[str, Any] = {}
    with open_store(store, read_only=True) as manager:
        paths = [""]
        while paths:
            shown = json.loads(scope_json(manager.at(paths.pop()), manager))
            found[shown["path"]] = shown
            paths += shown["children"]
    return found
