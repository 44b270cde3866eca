"""Processes that are forked off the nursery, with the face of `subprocess.Popen`."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO, TypeAlias

from tests.forking.nursery import PID
from tests.forking.request import Request

ROOT: Final = Path(__file__).resolve().parents[2]
IMPORTED: Final = (
    "eliza_modules.approval",
    "eliza_modules.conversation",
    "eliza_modules.run",
    "eliza_modules.workspace",
    "eliza_state.archive.returning",
    "eliza_state.archive.storing",
    "eliza_state.backup",
    "eliza_state.cleanup",
    "eliza_state.cli.application",
    "eliza_state.debugger",
    "eliza_state.feed.postgresql",
    "eliza_state.feed.redis",
    "eliza_state.feed.sqlite",
    "eliza_state.followers",
    "eliza_state.health",
    "eliza_state.journal.databases.claims",
    "eliza_state.journal.file_claims",
    "eliza_state.portal",
    "eliza_state.snapshot_places",
    "eliza_state.storage.layered",
    "eliza_state.storage.redis",
    "eliza_state.storage.sql",
    "eliza_state.synchronizer",
    "eliza_state.testing",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "tests.eliza_state.chat",
    "tests.faults.keys_worker",
    "tests.faults.worker",
)
"""What the programs of tests import."""
IS_GOOD_AT_FORKING: Final = sys.platform == "linux"

Files: TypeAlias = int | None


class Process:
    """A Python program in a process of its own: what tests use of `subprocess.Popen`, in text mode.

    `stdin` and `stdout` are pipes; what becomes of `stderr` is said as to `Popen`.
    """

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO | None = None
    returncode: int | None = None

    def __init__(self, request: Request, *, stderr: Files = None) -> None:
        their_input, our_input = os.pipe()
        our_output, their_output = os.pipe()
        self._end, their_end = os.pipe()
        self.stdin = os.fdopen(our_input, "w", encoding="utf-8")
        self.stdout = os.fdopen(our_output, encoding="utf-8")
        files = [their_input, their_output, self._errors(stderr, their_output), their_end]
        self.pid = forked(request, files)
        for file in files:
            os.close(file)

    def _errors(self, stderr: Files, output: int) -> int:
        match stderr:
            case subprocess.PIPE:
                ours, theirs = os.pipe()
                self.stderr = os.fdopen(ours, encoding="utf-8")
                return theirs
            case subprocess.STDOUT:
                return os.dup(output)
            case subprocess.DEVNULL:
                return os.open(os.devnull, os.O_WRONLY)
            case None:
                return os.dup(2)
            case _:
                return os.dup(stderr)

    def wait(self, timeout: float | None = None) -> int:
        """Return with what it ended; `subprocess.TimeoutExpired` if it has not after so many seconds."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("python", timeout or 0)
            told = os.read(self._end, 16)
            os.close(self._end)
            self.returncode = int(told)
        return self.returncode

    def poll(self) -> int | None:
        """Return with what it ended, or `None` if it has not."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):  # it ends just now
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(
        self,
        input: str | None = None,  # noqa: A002  # as `Popen` names it
        timeout: float | None = None,
    ) -> tuple[str, str]:
        """Write to it, read all that it writes, and wait for its end.

        Raises `subprocess.TimeoutExpired` after so many seconds, and ends it then.
        """
        stop = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if stop is None else max(0.0, stop - time.monotonic())

        streams = [stream for stream in (self.stdout, self.stderr) if stream is not None]
        try:
            with ThreadPoolExecutor(len(streams) + 1) as threads:
                threads.submit(self._write, input)
                reading = [threads.submit(stream.read) for stream in streams if not stream.closed]
                try:
                    out, errors = [*(each.result(left()) for each in reading), "", ""][:2]
                    self.wait(left())
                except (TimeoutError, subprocess.TimeoutExpired):
                    self.kill()
                    raise subprocess.TimeoutExpired("python", timeout or 0) from None
        finally:
            self._close()
        return out, errors

    def _write(self, text: str | None) -> None:
        with contextlib.suppress(BrokenPipeError):
            if text:
                self.stdin.write(text)
            self.stdin.close()

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self.wait()


_asking = threading.Lock()


def forked(request: Request, files: list[int]) -> int:
    """Have the nursery fork a process with these files, see `FILES`; return its number."""
    with _asking:
        nursery = _nursery()
        request.send(nursery, files)
        (pid,) = PID.unpack(nursery.recv(PID.size, socket.MSG_WAITALL))
    return int(pid)


@functools.cache
def _nursery() -> socket.socket:
    """Start the nursery, which lives as long as this process."""
    ours, theirs = socket.socketpair()
    nursery = subprocess.Popen(
        [sys.executable, "-m", "tests.forking.nursery", str(theirs.fileno()), *IMPORTED],
        cwd=ROOT,
        env={**os.environ, **sources()},
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C is for the tests, which then end it
    )
    theirs.close()
    atexit.register(nursery.wait)
    atexit.register(ours.close)
    return ours


def sources() -> dict[str, str]:
    """Return the variable by which a process finds what this one imports."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _started(
    code: str,
    arguments: Sequence[object],
    *,
    is_module: bool,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stderr: Files,
) -> Any:
    texts = [str(argument) for argument in arguments]
    environment = {**(os.environ if env is None else env), **sources()}
    folder = str(ROOT if cwd is None else cwd)
    if IS_GOOD_AT_FORKING:
        return Process(Request(code, is_module, texts, folder, environment), stderr=stderr)
    return subprocess.Popen(
        [sys.executable, "-m" if is_module else "-c", code, *texts],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
    )


def start_program(
    program: str,
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: Files = None,
) -> Process:
    """Start a program, given by its text, with pipes to and from it; without `cwd`, at the sources' root."""
    process: Process = _started(program, arguments, is_module=False, cwd=cwd, env=env, stderr=stderr)
    return process


def start_module(
    name: str,
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: Files = None,
) -> Process:
    """Start a module, as `python -m` would."""
    process: Process = _started(name, arguments, is_module=True, cwd=cwd, env=env, stderr=stderr)
    return process


def run_program(
    program: str, *arguments: object, text: str = "", timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return what it wrote to its output and errors."""
    process = start_program(program, *arguments, stderr=subprocess.PIPE, **options)
    try:
        said, errors = process.communicate(text, timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess("python", process.wait(), said, errors)
