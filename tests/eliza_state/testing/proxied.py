"""A server, and clients that come to it through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from eliza_state.testing import FaultProxy

TIMEOUT_S = 20.0
"""What takes longer has failed."""
SILENCE_S = 0.05
"""How long a client waits that shall not be answered."""


class Server:
    """Answer each line with `re: ` and the line; tell of lines, of ends and of resets in their order."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.greeting = b""
        self.writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.writer = writer
        try:
            writer.write(self.greeting)
            while line := await reader.readline():
                self._heard.put_nowait(line)
                if line.endswith(b"\n"):
                    writer.write(b"re: " + line)
                    await writer.drain()
            self._heard.put_nowait(b"(end)")
        except ConnectionError:
            self._heard.put_nowait(b"(reset)")
        finally:
            writer.close()

    async def hears(self, count: int = 1) -> list[bytes]:
        async with asyncio.timeout(TIMEOUT_S):
            return [await self._heard.get() for _ in range(count)]

    async def hears_nothing(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await self._heard.get()
                return False
        return True

    async def end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT_S)


class Client:
    """One connection, and lines through it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, text: str) -> None:
        self.writer.write(text.encode() + b"\n")

    async def ask(self, text: str) -> str:
        self.send(text)
        return await self.answer()

    async def answer(self) -> str:
        async with asyncio.timeout(TIMEOUT_S):
            return (await self.reader.readline()).decode().removesuffix("\n")

    async def hears_nothing(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await self.reader.read(1)
                return False
        return True


def abort(writer: asyncio.StreamWriter) -> None:
    """Leave with a reset."""
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    path: str | None = None, proxy: FaultProxy | None = None
) -> AsyncIterator[tuple[Server, FaultProxy]]:
    server = Server()
    if path is None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    else:
        listening = await asyncio.start_unix_server(server.serve, path)
    if proxy is None:
        proxy = FaultProxy(path) if path else FaultProxy("127.0.0.1", listening.sockets[0].getsockname()[1])
    async with proxy:
        yield server, proxy
    await server.end()
    listening.close()
    await listening.wait_closed()


@contextlib.asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, limit=1 << 24)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
