"""A network that fails on demand: what it leaves behind, and how it begins and ends."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest

from eliza_state.testing import FaultProxy
from tests.eliza_state.testing.proxied import TIMEOUT_S, Client, Server, connected, serving


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
