"""Other processes for tests: programs that open a store of their own and answer line by line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.forking.process import Process, start_program


@contextmanager
def processes(program: str, *arguments: object, count: int = 1) -> Iterator[list[Process]]:
    """Start a program `count` times and wait until each has said "ready"; they are killed in the end."""
    started = [start_program(program, *arguments) for _ in range(count)]
    try:
        assert [heard(process) for process in started] == ["ready"] * count
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def tell(process: Process, line: str) -> None:
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def heard(process: Process) -> str:
    """Wait for the next line of a process and return it."""
    return process.stdout.readline().strip()
