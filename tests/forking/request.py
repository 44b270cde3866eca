"""What is asked of the nursery: a program, and the files that become its input, output and errors."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final, Self

import attrs

FILES: Final = 4
"""Input, output and errors of the process, and where its end is told."""
_LENGTH: Final = struct.Struct("!I")


@attrs.frozen
class Request:
    """A program to run: its text, or the name of a module, with what it finds in `sys.argv`."""

    code: str
    is_module: bool
    arguments: list[str]
    folder: str
    environment: dict[str, str]

    def send(self, to: socket.socket, files: list[int]) -> None:
        """Ask for a process."""
        content = json.dumps(attrs.asdict(self)).encode()
        socket.send_fds(to, [_LENGTH.pack(len(content))], files)
        to.sendall(content)

    @classmethod
    def received(cls, requests: socket.socket) -> tuple[Self, list[int]] | None:
        """Wait for a request, and return it with its files; `None` when nobody is left to ask."""
        head, files, _, _ = socket.recv_fds(requests, _LENGTH.size, FILES)
        if not head:
            return None
        (length,) = _LENGTH.unpack(head)
        content = requests.recv(length, socket.MSG_WAITALL)
        asked: dict[str, Any] = json.loads(content)
        return cls(**asked), files
