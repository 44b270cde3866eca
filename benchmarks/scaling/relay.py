"""A relay between a driver and a PostgreSQL server that counts round trips."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any, Final, Self

_NAME: Final = ".s.PGSQL.5432"
_BYTES: Final = 1 << 16


class Relay:
    """Listen on a socket in a folder of its own, and pass on what comes to a server's socket and back.

    `trips` counts, over all connections, how often something is sent after something was received.
    """

    def __init__(self, server: Path) -> None:
        self._server = str(server / _NAME)
        self._made = tempfile.TemporaryDirectory(prefix="relay-")
        self.folder = Path(self._made.name)
        self.trips = 0
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.folder / _NAME))
        self._listening.listen()
        self._reading, self._ending = os.pipe()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ending)
        for thread in self._threads:
            thread.join()
        self._listening.close()
        os.close(self._reading)
        self._made.cleanup()

    def _accept(self) -> None:
        while self._listening in _readable(self._listening, self._reading):
            client, _ = self._listening.accept()
            thread = threading.Thread(target=self._pass, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._server)
            was_answered = True
            while self._reading not in (ready := _readable(client, server, self._reading)):
                for source, other in ((client, server), (server, client)):
                    if source not in ready:
                        continue
                    sent = source.recv(_BYTES)
                    if not sent:
                        return
                    other.sendall(sent)
                    self.trips += source is client and was_answered
                    was_answered = source is server


def _readable(*sources: socket.socket | int) -> list[Any]:
    """Wait until something can be read, and return from where."""
    waited_for: list[Any] = list(sources)
    return select.select(waited_for, [], [])[0]
