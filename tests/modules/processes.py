"""Other processes for tests: programs that open a store of their own and answer line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processes(program: str, *arguments: object, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a program `count` times and wait until each has said "ready"; they are killed in the end."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(count)
    ]
    try:
        assert [heard(process) for process in started] == ["ready"] * count
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    """Wait for the next line of a process and return it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
