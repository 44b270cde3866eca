"""The command line as a process: killed, interrupted, fed and read through pipes."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.eliza_state.cli.command import (
    TRANSCRIPT,
    environment,
    everything,
    invoke,
    line,
    run,
    said,
)
from tests.forking.process import Process, start_module

DEADLINE_S = 30.0


def long_chat(folder: Path, *, copies: int) -> Path:
    """The transcript again and again, with agents of its own, and with a line that is refused at first."""
    rows: list[str] = []
    for copy in range(copies):
        talk = {"agent": f"eliza{copy}", "room": "general", "conversation": "greenhouse"}
        rows.append(line("message_edited", {"id": "m1", "text": "too early"}, **talk))
        for text in TRANSCRIPT.splitlines():
            row = json.loads(text)
            row["agent"] = row["agent"] and f"{row['agent']}{copy}"
            rows.append(json.dumps(row))
    (folder / "long.jsonl").write_text("\n".join(rows), "utf-8")
    return folder / "long.jsonl"


def position(database: Path) -> int:
    """The last position in a store that another process writes; 0 where there is none yet."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection,
    ):
        return connection.execute("SELECT max(position) FROM record").fetchone()[0] or 0
    return 0


def ingest(folder: Path, text: str) -> Any:
    """Take in text, named `live`, in this process: where it is not the process that is looked at."""
    return invoke("ingest", "-", "--source", "live", "--store", f"sqlite:///{folder}/state.db", text=text)


@pytest.fixture(scope="module")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store says more than a pipe holds."""
    folder = tmp_path_factory.mktemp("long")
    ingest(folder, long_chat(folder, copies=8).read_text("utf-8"))
    return folder


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.002)


def start(*arguments: object, cwd: Path) -> Process:
    return start_module("eliza_state.cli", *arguments, cwd=cwd, env=environment(), stderr=subprocess.PIPE)


def test_an_ingest_killed_again_and_again_is_completed_by_one_more(tmp_path: Path) -> None:
    folder, chat = tmp_path, long_chat(tmp_path, copies=6)
    for target in (0, 1, 100, 220):
        process = start("ingest", chat, "--store", "sqlite:///killed.db", cwd=folder)
        wait_until(lambda: process.poll() is not None or position(folder / "killed.db") >= target)  # noqa: B023
        time.sleep(random.random() * 0.05)
        process.kill()
        process.communicate()

    last = invoke("ingest", chat, "--store", f"sqlite:///{folder}/killed.db")
    whole = invoke("ingest", chat, "--store", f"sqlite:///{folder}/whole.db")

    assert last.exit_code == whole.exit_code == 1  # the early edits stay refused
    assert " 330 stored, 0 already there, 6 refused (" in whole.stdout
    expected = everything(f"sqlite:///{folder}/whole.db")
    assert expected == everything(f"sqlite:///{folder}/killed.db")
    assert len(expected) > 60


def test_ctrl_c_ends_an_ingest_in_one_line_and_what_is_stored_stays(tmp_path: Path) -> None:
    process = start("ingest", "-", "--source", "live", cwd=tmp_path)
    process.stdin.write(said("m1") + "\n")
    process.stdin.flush()
    wait_until(lambda: position(tmp_path / "state.db") == 1)

    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 130
    assert errors == "interrupted\n"
    assert " lines: " in output
    assert position(tmp_path / "state.db") == 1
    again = ingest(tmp_path, said("m1"))
    assert again.stdout.startswith("1 lines: 0 stored, 1 already there")


def test_what_comes_through_a_pipe_is_stored_while_the_pipe_is_open(tmp_path: Path) -> None:
    with start("ingest", "-", "--source", "live", cwd=tmp_path) as process:
        for count in (1, 2, 3):
            process.stdin.write(said(f"m{count}") + "\n")
            process.stdin.flush()
            wait_until(lambda: position(tmp_path / "state.db") == count)  # noqa: B023
        output, errors = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, errors) == (0, "")
    assert output.startswith("3 lines: 3 stored")


@pytest.mark.parametrize("command", ["show --limit 1000", "log --limit 10000", "log --limit 10000 --json"])
def test_a_closed_pipe_is_no_news(long_store: Path, command: str) -> None:
    with start(*command.split(), cwd=long_store) as process:
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()

    assert "Error" not in errors
    assert "Traceback" not in errors


def test_off_a_terminal_there_are_no_colours_and_no_bar(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text(TRANSCRIPT, "utf-8")

    ingested = run("ingest", "chat.jsonl", cwd=tmp_path)
    shown = run("show", cwd=tmp_path)

    assert ingested.stderr == ""
    assert "\x1b" not in ingested.stdout + shown.stdout
    assert any(len(row) > 150 for row in shown.stdout.splitlines())


def test_output_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    ingest(tmp_path, said("m1", "grüße 🌱"))

    result = run("log", "--json", cwd=tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii")

    assert json.loads(result.stdout)["payload"]["text"] == "grüße 🌱"


def test_another_process_may_look_into_a_store_that_is_being_written(tmp_path: Path) -> None:
    with start("ingest", "-", "--source", "live", cwd=tmp_path) as process:
        process.stdin.write(said("m1") + "\n")
        process.stdin.flush()
        wait_until(lambda: position(tmp_path / "state.db") == 1)

        result = invoke("show", "--json", "--store", f"sqlite:///{tmp_path}/state.db")
        process.communicate(timeout=DEADLINE_S)

    assert json.loads(result.stdout)["position"] == 1
