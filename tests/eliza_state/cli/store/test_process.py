"""The commands on storages as processes: through pipes, in any locale, at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.eliza_state.cli.command import COMMAND, environment, invoke, run


def test_a_value_goes_from_one_command_to_the_next(tmp_path: Path) -> None:
    invoke("store", "set", "a", '{"n": 1}', "--store", "state.db")
    shown = run("store", "get", "a", "--store", "state.db", cwd=tmp_path)
    copied = run("store", "set", "b", "-", "--store", "file:state.json", cwd=tmp_path, text=shown.stdout)

    assert (copied.returncode, copied.stderr) == (0, "")
    assert invoke("store", "get", "b", "--store", "file:state.json").stdout == '{"n":1}\n'


def test_output_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    text = json.dumps("grüße 🌱", ensure_ascii=False)
    invoke("store", "set", "a", "-", "--store", "state.db", text=text)

    result = run(
        "store", "get", "a", "--store", "state.db", cwd=tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii"
    )

    assert result.stdout == f"{text}\n"


def test_a_closed_pipe_is_no_news(tmp_path: Path) -> None:
    for number in range(3):
        key = f"{number}{'k' * 500}"
        invoke("store", "set", key, "1", "--store", "state.db")
    command = [*COMMAND, "store", "keys", "--json", "--store", "state.db"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read().decode()

    assert "Error" not in errors
    assert "Traceback" not in errors


def test_programs_that_end_without_a_word_are_told_by_their_exit_code(tmp_path: Path) -> None:
    missing = run("store", "get", "a", "--store", "state.db", cwd=tmp_path)
    misused = run("store", "set", "a", "oops", "--store", "state.db", cwd=tmp_path)

    assert (missing.returncode, misused.returncode) == (1, 2)
    assert list(tmp_path.iterdir()) == []
