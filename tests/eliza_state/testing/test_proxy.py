"""A network that fails on demand: what the client sees, and what the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state.testing import FaultProxy
from eliza_state.testing.proxy import Direction

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


@pytest.fixture
def socket_path() -> Iterator[str]:
    """A path short enough for a unix socket, which `tmp_path` is not on macOS."""
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "server.sock")


@pytest.fixture
async def line() -> AsyncIterator[tuple[Server, FaultProxy]]:
    async with serving() as opened:
        yield opened


@pytest.fixture
def server(line: tuple[Server, FaultProxy]) -> Server:
    return line[0]


@pytest.fixture
def proxy(line: tuple[Server, FaultProxy]) -> FaultProxy:
    return line[1]


@contextlib.asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, limit=1 << 24)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# Without faults


async def test_requests_and_replies_pass_and_are_counted(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client, connected(proxy) as other:
        assert ("re: a", "re: b") == (await client.ask("a"), await client.ask("b"))
        assert "re: c" == await other.ask("c")

        assert (2, 2, 6, 18) == (
            proxy.connections,
            proxy.open_connections,
            proxy.request_bytes,
            proxy.reply_bytes,
        )
    assert (f"127.0.0.1:{proxy.port}", 0) == (proxy.address, proxy.dropped_replies)


async def test_a_unix_socket_is_a_server_as_well(socket_path: str) -> None:
    async with serving(socket_path) as (server, proxy), connected(proxy) as client:
        assert "re: a" == await client.ask("a")

        proxy.reset()
        assert [b"a\n"] == await server.hears()
        assert [b"(end)"] == await server.hears()
        with pytest.raises(ConnectionResetError):
            await client.answer()


async def test_much_passes_whole(server: Server, proxy: FaultProxy) -> None:
    text = "".join(f"{number:x}." for number in range(500_000))
    async with connected(proxy) as client:
        server_reads = asyncio.create_task(client.ask(text[:60_000]))
        assert f"re: {text[:60_000]}" == await server_reads
        assert server.writer is not None
        server.writer.write(text.encode() + b"\n")

        assert text == await client.answer()


async def test_a_side_that_has_ended_still_hears_the_other(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        client.send("last")
        client.writer.write_eof()

        assert ("re: last", "") == (await client.answer(), await client.answer())
    assert [b"last\n", b"(end)"] == await server.hears(2)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_clients_of_a_server_that_is_not_there_are_reset(host: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with FaultProxy(host, nobody.getsockname()[1]) as proxy, connected(proxy) as client:
            with pytest.raises(ConnectionResetError):
                await client.answer()

    assert 0 == proxy.open_connections


async def test_a_client_hears_that_the_server_has_reset(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.ask("a")
        assert server.writer is not None
        abort(server.writer)

        with pytest.raises(ConnectionResetError):
            await client.answer()


async def test_a_server_hears_that_a_client_has_reset(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.ask("a")
        abort(client.writer)

        assert [b"a\n", b"(reset)"] == await server.hears(2)


# Dropped replies


async def test_a_dropped_reply_belongs_to_a_request_that_was_done(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.drop_replies(1)
        client.send("a")
        assert [b"a\n"] == await server.hears()
        assert await client.hears_nothing()

        assert "re: b" == await client.ask("b")
    assert (1, 6) == (proxy.dropped_replies, proxy.reply_bytes)


async def test_replies_are_dropped_on_every_connection_until_the_number_is_reached(
    server: Server, proxy: FaultProxy
) -> None:
    proxy.drop_replies(2)
    for text in ("a", "b"):
        async with connected(proxy) as client:
            client.send(text)
            assert await client.hears_nothing()
    async with connected(proxy) as client:
        assert "re: c" == await client.ask("c")

    assert 2 == proxy.dropped_replies


async def test_replies_are_dropped_until_it_heals(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.drop_replies()
        for text in (b"a\n", b"b\n", b"c\n"):
            client.writer.write(text)
            assert [text] == await server.hears()
            assert await client.hears_nothing()
        proxy.heal()

        assert "re: d" == await client.ask("d")
    assert 3 == proxy.dropped_replies


async def test_a_reply_is_dropped_whole_or_not_at_all(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.ask("a")
        assert server.writer is not None
        proxy.drop_replies()
        server.writer.write(b"the rest of the first reply\n")
        assert "the rest of the first reply" == await client.answer()

        client.send("b")
        assert await client.hears_nothing()
        proxy.heal()
        server.writer.write(b"the rest of a dropped one\n")
        assert await client.hears_nothing()
        assert "re: c" == await client.ask("c")


async def test_what_a_server_says_unasked_is_a_reply(server: Server, proxy: FaultProxy) -> None:
    server.greeting = b"hello\n"
    proxy.drop_replies(1)
    async with connected(proxy) as client:
        assert await client.hears_nothing()
        assert "re: a" == await client.ask("a")


# Resets


async def test_a_reset_breaks_all_connections_and_no_later_ones(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client, connected(proxy) as other:
        await client.ask("a"), await other.ask("b")
        proxy.reset()
        for broken in (client, other):
            with pytest.raises(ConnectionResetError):
                await broken.answer()
    assert [b"a\n", b"b\n", b"(reset)", b"(reset)"] == await server.hears(4)

    async with connected(proxy) as client:
        assert "re: c" == await client.ask("c")
        assert (3, 1) == (proxy.connections, proxy.open_connections)


async def test_what_is_sent_after_a_reset_does_not_arrive(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.ask("a")
        proxy.reset()
        client.send("b")
        with pytest.raises(ConnectionResetError):
            await client.answer()

    assert [b"a\n", b"(reset)"] == await server.hears(2)


# The black hole


async def test_a_black_hole_passes_nothing_until_it_heals(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.ask("a")
        assert [b"a\n"] == await server.hears()
        proxy.black_hole()
        client.send("b")
        assert server.writer is not None
        server.writer.write(b"news\n")
        assert await client.hears_nothing()

        async with connected(proxy) as other:
            other.send("c")
            assert await other.hears_nothing()
            assert await server.hears_nothing()
            proxy.heal()
            assert ("re: c", "news", "re: b") == (
                await other.answer(),
                await client.answer(),
                await client.answer(),
            )


async def test_in_a_black_hole_nobody_hears_that_the_other_has_gone(
    server: Server, proxy: FaultProxy
) -> None:
    async with connected(proxy) as client, connected(proxy) as other:
        await client.ask("a"), await other.ask("b")
        proxy.black_hole()
        client.send("late")
        client.writer.close()
        abort(other.writer)
        assert [b"a\n", b"b\n"] == await server.hears(2)
        assert await server.hears_nothing()

        proxy.heal()
        assert {b"late\n", b"(end)", b"(reset)"} == set(await server.hears(3))


# Delays


@pytest.mark.parametrize(("direction", "expected_ms"), [(None, 60), ("requests", 30), ("replies", 30)])
async def test_a_delay_is_that_of_each_direction(
    server: Server, proxy: FaultProxy, direction: Direction | None, expected_ms: float
) -> None:
    loop = asyncio.get_running_loop()
    async with connected(proxy) as client:
        await client.ask("a")
        proxy.delay(ms=30, direction=direction)
        start_s = loop.time()
        await client.ask("b")

        assert expected_ms <= (loop.time() - start_s) * 1_000


async def test_messages_in_a_row_are_late_together_and_in_order(server: Server, proxy: FaultProxy) -> None:
    proxy.delay(ms=200, direction="requests")
    loop = asyncio.get_running_loop()
    async with connected(proxy) as client:
        start_s = loop.time()
        for number in range(20):
            client.send(str(number))
            await asyncio.sleep(0)
        answers = [await client.answer() for _ in range(20)]

        assert [f"re: {number}" for number in range(20)] == answers
        assert 0.2 <= loop.time() - start_s < 20 * 0.2


async def test_what_is_delayed_arrives_when_it_heals(server: Server, proxy: FaultProxy) -> None:
    proxy.delay(ms=1_000_000)
    async with connected(proxy) as client:
        client.send("a")
        assert await client.hears_nothing()
        proxy.delay(ms=2_000_000)
        assert await client.hears_nothing()
        proxy.heal()

        assert "re: a" == await client.answer()


# Cuts


async def test_a_reply_is_cut_in_its_middle(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.ask("a")
        proxy.cut(after_bytes=8, direction="replies")

        assert "re: b" == await client.ask("b")
        assert "re" == await client.ask("c")
        assert client.reader.at_eof()
    assert [b"a\n", b"b\n", b"c\n", b"(end)"] == await server.hears(4)


async def test_a_request_is_cut_in_its_middle(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.cut(after_bytes=3, direction="requests")

        assert "" == await client.ask("abcdef")
    assert [b"abc", b"(end)"] == await server.hears(2)
    assert (3, 0) == (proxy.request_bytes, proxy.reply_bytes)


async def test_a_request_is_done_and_its_client_hears_the_end(server: Server, proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.cut(after_bytes=0, direction="replies")

        assert "" == await client.ask("a")
    assert [b"a\n"] == await server.hears()


async def test_each_connection_is_cut_behind_its_own_bytes(server: Server, proxy: FaultProxy) -> None:
    proxy.cut(after_bytes=6, direction="replies")
    for _ in range(2):
        async with connected(proxy) as client:
            assert ("re: a", "") == (await client.ask("a"), await client.ask("b"))
    async with connected(proxy) as client:
        assert "re: a" == await client.ask("a")
        proxy.heal()

        assert "re: b" == await client.ask("b")


async def test_a_number_of_connections_is_cut(server: Server, proxy: FaultProxy) -> None:
    proxy.cut(after_bytes=2, direction="replies", count=2)
    answers = []
    for _ in range(3):
        async with connected(proxy) as client:
            answers.append(await client.ask("a"))

    assert ["re", "re", "re: a"] == answers


# Refused connections


async def test_new_connections_are_refused_until_it_heals(server: Server, proxy: FaultProxy) -> None:
    port = proxy.port
    async with connected(proxy) as client:
        for _ in range(2):
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(proxy.host, proxy.port)
            assert "re: a" == await client.ask("a")

        proxy.heal()
        proxy.heal()
        async with connected(proxy) as other:
            assert "re: b" == await other.ask("b")
    assert (port, 2) == (proxy.port, proxy.connections)


async def test_a_port_that_refuses_is_nobody_elses(server: Server, proxy: FaultProxy) -> None:
    proxy.refuse()

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((proxy.host, proxy.port))


async def test_a_proxy_may_refuse_from_its_start(server: Server, proxy: FaultProxy) -> None:
    second = FaultProxy(proxy.host, proxy.port)
    second.refuse()
    async with second:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(second.host, second.port)
        second.heal()
        async with connected(second) as client:
            assert "re: a" == await client.ask("a")


# Several at a time


async def test_faults_add_up(server: Server, proxy: FaultProxy) -> None:
    loop = asyncio.get_running_loop()
    proxy.delay(ms=30, direction="requests")
    proxy.drop_replies(1)
    proxy.cut(after_bytes=4, direction="replies")
    async with connected(proxy) as client:
        start_s = loop.time()
        client.send("a")
        assert [b"a\n"] == await server.hears()
        assert 0.03 <= loop.time() - start_s
        assert await client.hears_nothing()

        assert "re: " == await client.ask("b")


# Lifetime


def sockets() -> int:
    return sum(1 for number in os.listdir("/dev/fd") if is_socket(int(number)))


def is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:  # that of the listing itself
        return False


FAULTS: dict[str, Callable[[FaultProxy], object]] = {
    "nothing": lambda proxy: None,
    "everything held": lambda proxy: proxy.black_hole(),
    "everything late": lambda proxy: proxy.delay(ms=1_000_000),
    "replies dropped": lambda proxy: proxy.drop_replies(),
    "connections refused": lambda proxy: proxy.refuse(),
    "connections reset": lambda proxy: proxy.reset(),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_it_leaves_no_task_and_no_socket_behind(fault: str) -> None:
    loop, tasks = asyncio.get_running_loop(), asyncio.all_tasks()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket() as client,
        socket.socket() as late,
    ):
        for end in (listening, client, late):
            end.setblocking(False)
        before = sockets()
        async with FaultProxy("127.0.0.1", listening.getsockname()[1]) as proxy, asyncio.timeout(TIMEOUT_S):
            await loop.sock_connect(client, (proxy.host, proxy.port))
            await loop.sock_sendall(client, b"a")
            accepted, _ = await loop.sock_accept(listening)
            await loop.sock_recv(accepted, 1)
            await loop.sock_connect(late, (proxy.host, proxy.port))
            FAULTS[fault](proxy)
            await loop.sock_sendall(client, b"b")
        accepted.close()

        assert (before, 0) == (sockets(), proxy.open_connections)
    assert tasks == asyncio.all_tasks()


async def test_clients_hear_the_end_of_the_proxy(server: Server, proxy: FaultProxy) -> None:
    async with FaultProxy(proxy.host, proxy.port) as second:
        client = Client(*await asyncio.open_connection(second.host, second.port))
        await client.ask("a")

    assert "" == await client.answer()
    client.writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(second.host, second.port)


def test_event_loops_may_follow_one_another(socket_path: str) -> None:
    proxy = FaultProxy(FilePath(socket_path))

    async def ask() -> str:
        async with serving(socket_path, proxy), connected(proxy) as client:
            proxy.black_hole()
            client.send("a")
            assert await client.hears_nothing()
            proxy.heal()
            return await client.answer()

    assert ["re: a", "re: a"] == [asyncio.run(ask()), asyncio.run(ask())]
    assert (2, 4, 12) == (proxy.connections, proxy.request_bytes, proxy.reply_bytes)


def test_faults_last_from_one_event_loop_to_the_next(socket_path: str) -> None:
    proxy = FaultProxy(socket_path)
    proxy.cut(after_bytes=2, direction="replies")

    async def ask() -> str:
        async with serving(socket_path, proxy), connected(proxy) as client:
            return await client.ask("a")

    assert ["re", "re"] == [asyncio.run(ask()), asyncio.run(ask())]


async def test_what_is_raised_inside_goes_through(server: Server, proxy: FaultProxy) -> None:
    second = FaultProxy(proxy.host, proxy.port)

    async def fail() -> None:
        async with second, connected(second) as client:
            await client.ask("a")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert 0 == second.open_connections


async def test_it_is_entered_once_at_a_time(server: Server, proxy: FaultProxy) -> None:
    with pytest.raises(RuntimeError, match="the proxy is running already"):
        await proxy.__aenter__()


def test_a_host_needs_a_port() -> None:
    with pytest.raises(ValueError, match="expected a host and its port, or the path of a unix socket"):
        FaultProxy("localhost")


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("drop_replies", {"count": 0}, "expected a number of replies of at least 1, got 0"),
        ("delay", {"ms": -1}, "expected a delay of at least 0 ms, got -1"),
        ("delay", {"ms": 1, "direction": "up"}, "expected 'requests' or 'replies', got 'up'"),
        ("cut", {"after_bytes": -1, "direction": "replies"}, "expected a number of bytes, got -1"),
        ("cut", {"after_bytes": 1, "direction": "up"}, "expected 'requests' or 'replies', got 'up'"),
        (
            "cut",
            {"after_bytes": 1, "direction": "replies", "count": 0},
            "expected a number of connections of at least 1, got 0",
        ),
    ],
)
def test_faults_that_cannot_be_are_refused(method: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(FaultProxy("127.0.0.1", 1), method)(**arguments)
