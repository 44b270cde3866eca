"""A process that has imported everything, and forks off those that are to run it: they begin at once.

    python -m tests.faults.nursery FILE MODULE …

What a worker imports takes more of the processor than what it does in a short run, and it is started again
each time that it was killed. `FILE` is the number of the socket on which `tests.faults.forked` asks for
processes. The nursery ends when that socket does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

FILES: Final = 4
"""What comes with each request: input, output and errors of the process, and where its end is told."""
_MESSAGE_BYTES: Final = 1 << 16
_FILES_UP_TO: Final = 1_024


def asked(requests: socket.socket) -> tuple[str, str] | None:
    """Fork a process for each request.

    In each process, return the module that it is to run, with its argument; in the nursery, `None` when
    nobody is left to ask.
    """
    waits: dict[int, int] = {}
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, _MESSAGE_BYTES)
            _tell_ends(waits)
        if requests in ready:
            message, files, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, FILES)
            if not message:
                return None
            pid = os.fork()
            if not pid:
                _begin(files)
                module, argument = json.loads(message)
                return module, argument
            *theirs, waits[pid] = files
            for file in theirs:
                os.close(file)


def _tell_ends(waits: dict[int, int]) -> None:
    """Tell with what those processes ended that have done so."""
    while waits:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        file = waits.pop(pid)
        os.write(file, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(file)


def _begin(files: Sequence[int]) -> None:
    """Leave what is the nursery's, and say which process this is."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)  # if the nursery dies, the kernel lets one that stands still go on, and end
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    os.closerange(3, _FILES_UP_TO)
    os.write(1, b"%d\n" % os.getpid())


def main(arguments: Sequence[str]) -> None:
    """Import what is named, fork, and in what was forked run it."""
    file, *modules = arguments
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # else each process would copy the pages of all these objects when it collects
    with socket.socket(fileno=int(file)) as requests:
        task = asked(requests)
        if task is not None:
            requests.detach()  # in what was forked it is closed already
    if task is not None:
        module, argument = task
        importlib.import_module(module).run(argument)


if __name__ == "__main__":
    main(sys.argv[1:])
