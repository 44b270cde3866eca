"""One thing for each event loop."""

from __future__ import annotations

import asyncio
import gc
import socket

from eliza_state.storage.redis.loops import PerLoop


class Thing:
    """A connection to a socket that listens."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.writer: asyncio.StreamWriter | None = None
        self.closed_in: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        _, self.writer = await asyncio.open_connection(*self._address)

    async def close(self) -> None:
        if self.writer is not None:
            writer, self.writer = self.writer, None
            writer.close()
            await writer.wait_closed()
        self.closed_in = asyncio.get_running_loop()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_a_loop_has_one_thing() -> None:
    things = PerLoop(lambda: Thing(("", 0)), Thing.close)
    first, second = await asyncio.gather(things.get(), things.get())

    assert first is second
    await things.close()
    assert first.closed_in is asyncio.get_running_loop()


def test_each_loop_has_a_thing_that_ends_with_it() -> None:
    things = PerLoop(lambda: Thing(("", 0)), Thing.close)
    first = asyncio.run(things.get())
    second = asyncio.run(things.get())

    assert first is not second
    assert first.closed_in is not None
    assert second.closed_in not in (None, first.closed_in)


def test_the_thing_of_a_loop_that_was_torn_down_is_dropped_in_silence() -> None:
    with listening() as server:
        things = PerLoop(lambda: Thing(server.getsockname()), Thing.close)

        async def use() -> None:
            await (await things.get()).open()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(use())
        loop.close()
        asyncio.run(use())
        gc.collect()


def test_what_is_closed_may_be_made_anew() -> None:
    things = PerLoop(lambda: Thing(("", 0)), Thing.close)

    async def use() -> tuple[Thing, Thing]:
        first = await things.get()
        await things.close()
        return first, await things.get()

    first, second = asyncio.run(use())

    assert first is not second
    assert second.closed_in is not None
