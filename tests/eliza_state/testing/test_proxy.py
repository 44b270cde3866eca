"""A network that fails on demand: what the client sees, and what the server."""

from __future__ import annotations

import asyncio
import socket

import pytest

from eliza_state.testing import FaultProxy
from eliza_state.testing.proxy import Direction
from tests.eliza_state.testing.proxied import Server, abort, connected, serving

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
