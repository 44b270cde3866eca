"""Processes that are forked begin at once, and are to whoever started them what others are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forking.process import Process, run_program, start_module, start_program
from tests.servers import runs

ECHO = """
import sys
print("ready", *sys.argv[1:], flush=True)
for line in sys.stdin:
    print(line.strip(), flush=True)
sys.exit(3)
"""


@pytest.fixture
def echo() -> Iterator[Process]:
    with start_program(ECHO, "a", 1) as process:
        assert "ready a 1\n" == process.stdout.readline()
        yield process
        process.kill()


def test_it_is_a_process_of_its_own(echo: Process) -> None:
    echo.stdin.write("hello\n")
    echo.stdin.flush()

    assert "hello\n" == echo.stdout.readline()
    assert echo.poll() is None
    assert runs(echo.pid)
    assert echo.pid != os.getpid()


def test_it_ends_with_what_it_says(echo: Process) -> None:
    said, errors = echo.communicate("one\ntwo\n", timeout=30)

    assert ("one\ntwo\n", "", 3) == (said, errors, echo.returncode)


def test_a_killed_one_is_gone(echo: Process) -> None:
    echo.kill()

    assert -signal.SIGKILL == echo.wait(30)
    assert not runs(echo.pid)
    echo.kill()


def test_one_that_goes_on_is_not_waited_for_in_vain(echo: Process) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        echo.wait(0.01)


def test_one_that_says_no_end_is_ended(echo: Process) -> None:
    with pytest.raises(subprocess.TimeoutExpired), start_program("import time; time.sleep(60)") as silent:
        silent.communicate(timeout=0.1)

    assert -signal.SIGKILL == silent.returncode


def test_what_nobody_caught_is_on_standard_error() -> None:
    ended = run_program("1 / 0")

    assert 1 == ended.returncode
    assert "ZeroDivisionError" in ended.stderr


def test_errors_go_where_they_are_sent() -> None:
    program = "import sys; print('bad', file=sys.stderr)"
    with (
        start_program(program, stderr=subprocess.STDOUT) as together,
        start_program(program, stderr=subprocess.DEVNULL) as lost,
    ):
        assert ["bad\n", ""] == [process.stdout.read() for process in (together, lost)]


def test_it_works_where_it_is_told_to_and_knows_what_it_is_told(tmp_path: Path) -> None:
    ended = run_program("import os; print(os.getcwd(), os.environ['FLAG'])", cwd=tmp_path, env={"FLAG": "up"})

    assert f"{tmp_path} up\n" == ended.stdout


def test_a_module_runs_as_a_program() -> None:
    said, _ = start_module("json.tool").communicate('{"a":1}')

    assert '{\n    "a": 1\n}\n' == said


def test_much_goes_in_and_out() -> None:
    text = "line\n" * 100_000

    assert text == run_program("import sys; sys.stdout.write(sys.stdin.read())", text=text).stdout


def test_one_knows_nothing_of_others(echo: Process) -> None:
    """Its input ends while another runs, which has no part of it."""
    with start_program(ECHO) as other:
        echo.stdin.close()

        assert 3 == echo.wait(30)
        other.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each is started by itself")
def test_those_that_nobody_waits_for_end_with_the_tests(tmp_path: Path) -> None:
    tests = """
from tests.forking.process import start_program
process = start_program("import time; print('up', flush=True); time.sleep(60)")
process.stdout.readline()
print(process.pid, flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", tests],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    deadline = time.monotonic() + 30
    while runs(int(ended.stdout)) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not runs(int(ended.stdout))
