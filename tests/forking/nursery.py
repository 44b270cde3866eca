"""A process that has imported everything, and forks those off that are to run programs.

    python -m tests.forking.nursery FILE MODULE …

`FILE` is the number of the socket on which `tests.forking.process` asks for processes. The nursery ends when
that socket does, and takes along whom it has forked and nobody has waited for.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

from tests.forking.request import Request

PID: Final = struct.Struct("!I")
_FILES_UP_TO: Final = 1_024
_ANY: Final = 1 << 16


def asked(requests: socket.socket) -> Request | None:
    """Fork a process for each request.

    In each process, return what it is to run; in the nursery, `None` when nobody is left to ask.
    """
    waits: dict[int, int] = {}
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, _ANY)
            _tell_ends(waits)
        if requests not in ready:
            continue
        received = Request.received(requests)
        if received is None:
            _end(waits)
            return None
        request, files = received
        pid = os.fork()
        if not pid:
            _begin(request, files)
            return request
        with contextlib.suppress(ProcessLookupError):
            os.setpgid(pid, pid)  # whoever asked may signal the group before the process has come that far
        *theirs, waits[pid] = files
        for file in theirs:
            os.close(file)
        requests.sendall(PID.pack(pid))


def _tell_ends(waits: dict[int, int]) -> None:
    """Tell with what those processes ended that have done so."""
    while waits:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        file = waits.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(file, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(file)


def _end(waits: dict[int, int]) -> None:
    for pid in waits:
        os.kill(pid, signal.SIGKILL)


def _begin(request: Request, files: Sequence[int]) -> None:
    """Leave what is the nursery's, and make this process what was asked for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, _FILES_UP_TO)
    # Those that are there know what the nursery's files could do.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = ["-c", *request.arguments]


def main(arguments: Sequence[str]) -> None:
    """Import what is named, fork, and in what was forked run what was asked for."""
    file, *modules = arguments
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # else each process would copy the pages of all these objects when it collects
    with socket.socket(fileno=int(file)) as requests:
        request = asked(requests)
        if request is not None:
            requests.detach()  # in what was forked it is closed already
    if request is None:
        return
    if request.is_module:
        runpy.run_module(request.code, run_name="__main__", alter_sys=True)
    else:
        exec(compile(request.code, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main(sys.argv[1:])
