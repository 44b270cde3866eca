"""Processes that tests start: each has a folder of its own, and neither outlives the tests.

The tests' process holds one end of a pipe, a warden process the other. When the tests' process ends, even
by SIGKILL, the pipe ends with it, and the warden ends the processes and removes the folders that are left.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

PATIENCE_S = 30.0  # for a start on a busy machine; a start takes well under a second
_starting = threading.Lock()


class StartFailed(RuntimeError):
    """A server's process ended or stayed silent instead of getting ready; the end of its log says why."""


def until(condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Return when the condition holds; raise `TimeoutError` when it does not in that time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected within {patience_s} s: {condition}")
        time.sleep(0.005)


def runs(pid: int) -> bool:
    """Say whether there is such a process; one that only waits to be reaped does not run."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def clean_up_after(lines: Iterable[str]) -> None:
    """Read what another process has at present; when the lines end, end and remove that."""
    left: dict[int | str, int] = {}
    for line in lines:
        what, number = json.loads(line)
        if number is None:
            left.pop(what, None)
        else:
            left[what] = number
    processes = {what: number for what, number in left.items() if isinstance(what, int)}
    for pid, number in processes.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)
    with contextlib.suppress(TimeoutError):
        until(lambda: not any(map(runs, processes)), patience_s=5)
    for pid in filter(runs, processes):
        os.kill(pid, signal.SIGKILL)
    for folder in left.keys() - processes.keys():
        shutil.rmtree(str(folder), ignore_errors=True)


@functools.cache
def _pipe_to_warden() -> int:
    warden = subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert warden.stdin is not None
    atexit.register(warden.communicate, timeout=10)
    return warden.stdin.fileno()


def _tell_warden(what: int | str, number: int | None) -> None:
    with _starting:
        pipe = _pipe_to_warden()
    os.write(pipe, json.dumps([what, number]).encode() + b"\n")  # short enough to be written whole


class Account:
    """Whom a process runs as that refuses to run as root: nobody. If the tests are not root's: the same."""

    def __init__(self) -> None:
        entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._ids = (entry.pw_uid, entry.pw_gid) if entry else None

    @property
    def options(self) -> dict[str, Any]:
        """How `subprocess` is told."""
        return {"user": self._ids[0], "group": self._ids[1], "extra_groups": ()} if self._ids else {}

    def owns(self, folder: Path) -> None:
        """Hand the folder over."""
        if self._ids:
            os.chown(folder, *self._ids)

    def reaches(self, program: Path) -> bool:
        """Say whether the account may run the program: a checkout of root's may be root's alone."""
        return not subprocess.run(["test", "-x", program], check=False, cwd="/", **self.options).returncode


@functools.cache
def _parent() -> Path:
    """Choose where folders are made: in memory if there is room, which is five times as quick as a disk."""
    from tests.places import in_memory  # not above: the warden runs this file alone, without a path to it

    on_disk = "/tmp" if os.geteuid() == 0 else tempfile.gettempdir()  # TMPDIR may be root's alone
    return in_memory() or Path(on_disk)


def make_folder(name: str) -> Path:
    """Make a folder that is removed with the tests. Its path is short, as those of sockets must be."""
    folder = Path(tempfile.mkdtemp(prefix=f"eliza-{name}-", dir=_parent()))
    _tell_warden(str(folder), 0)
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _tell_warden(str(folder), None)


class Process:
    """A server's process and its folder; it may be started again there after it ended.

    `abandon` is the signal that ends it for good when nobody is left to wait for it.
    """

    def __init__(self, name: str, *, account: Account | None = None, abandon: int = signal.SIGKILL) -> None:
        self.folder = make_folder(name)
        self._account = account
        self._abandon = abandon
        self._popen: subprocess.Popen[bytes] | None = None
        if account:
            account.owns(self.folder)

    @property
    def pid(self) -> int:
        if self._popen is None:
            raise RuntimeError("expected a running server: start it first")
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Return when it is ready; raise `StartFailed`."""
        assert self._popen is None
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then end it
                **(self._account.options if self._account else {}),
            )
        _tell_warden(self.pid, self._abandon)
        try:
            until(lambda: not self.running or ready())
            if not self.running:
                raise TimeoutError(f"ended with {self._popen.poll()}")
        except TimeoutError as error:
            self.end(signal.SIGKILL)
            tail = self.log.read_text(errors="replace")[-2_000:]
            raise StartFailed(f"{command[0]} did not get ready: {error}\n{tail}") from None
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def end(self, number: int, *, patience_s: float = 5) -> None:
        """Send the signal and wait for the end, which SIGKILL brings when patience does not."""
        if self._popen is None:
            return
        self._popen.send_signal(number)
        self._popen.send_signal(signal.SIGCONT)  # one that is paused hears nothing else but SIGKILL
        try:
            self._popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        _tell_warden(self.pid, None)
        self._popen = None

    def close(self) -> None:
        """End it and remove its folder."""
        self.end(self._abandon)
        remove_folder(self.folder)


if __name__ == "__main__":
    clean_up_after(sys.stdin)
