"""Delivery to receivers; what managers and plugins make of it is tested with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eliza_state.delivery import Delivery, Queue, is_coroutine_function
from eliza_state.errors import StateError


class Recorded(Delivery[int]):
    """A delivery that remembers who failed, and whom it told further."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[tuple[object, int]] = []
        self.further: list[int] = []

    def connect(self, receiver: Any) -> Any:
        return self._connect(receiver)

    def connect_queue(self, queue: Queue[int], receiver: Any) -> Any:
        return self._connect_queue(queue, receiver)

    def _failed(self, receiver: object, item: int, error: Exception) -> None:
        self.failed.append((receiver, item))

    def _deliver_further(self, item: int) -> None:
        self.further.append(item)


def queue(size: int = 10, **options: Any) -> Queue[int]:
    lost = options.pop("lost", lambda: None)
    return Queue(lambda _: True, size=size, overflow=options.pop("overflow", "raise"), lost=lost)


def test_it_knows_whether_anybody_hears():
    delivery = Recorded()
    heard = [delivery.is_heard]
    disconnect = delivery.connect(print)
    heard.append(delivery.is_heard)
    disconnect()

    assert [False, True, False] == [*heard, delivery.is_heard]


def test_disconnecting_twice_ends_one_connection_alone():
    delivery, told = Recorded(), []
    disconnect = delivery.connect(told.append)
    delivery.connect(told.append)
    disconnect()
    disconnect()
    delivery.publish(1)

    assert [1] == told


def test_what_a_receiver_publishes_comes_after_what_all_are_told():
    delivery, told = Recorded(), []
    delivery.connect(lambda item: delivery.publish(item + 1) if item < 3 else None)
    delivery.connect(told.append)
    delivery.publish(1)

    assert [1, 2, 3] == told == delivery.further


def test_a_receiver_that_raises_stops_nobody():
    delivery, told = Recorded(), []

    def broken(item: int) -> None:
        raise ValueError(item)

    delivery.connect(broken)
    delivery.connect(told.append)
    delivery.publish(1)

    assert ([1], [(broken, 1)]) == (told, delivery.failed)


async def test_closing_drops_what_waits_for_coroutine_receivers():
    delivery, told = Recorded(), []

    async def receive(item: int) -> None:
        told.append(item)

    cancel = delivery.connect_queue(queue(), receive)
    delivery.publish(1)
    delivery.close()
    cancel()
    delivery.publish(2)
    await delivery.settled()
    await asyncio.sleep(0)

    assert ([], False) == (told, delivery.is_heard)


@pytest.mark.parametrize(("overflow", "left"), [("drop_oldest", [2, 3]), ("drop_newest", [1, 2])])
async def test_a_full_queue_loses_what_its_policy_says(overflow: str, left: list[int]):
    lost: list[None] = []
    full = queue(2, overflow=overflow, lost=lambda: lost.append(None))
    for item in (1, 2, 3):
        full.put(item)

    assert left == [await full.get() for _ in range(2)]
    assert 1 == len(lost)


async def test_a_full_queue_that_may_lose_nothing_fails_once_it_is_empty():
    full = queue(1)
    for item in (1, 2):
        full.put(item)

    assert 1 == await full.get()
    with pytest.raises(StateError, match="more than 1 waited"):
        await full.get()


def test_a_queue_of_nothing_and_an_unknown_policy_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        queue(0)
    with pytest.raises(ValueError, match="overflow"):
        queue(1, overflow="explode")


def test_coroutine_functions_are_known_as_functions_methods_and_objects():
    class Asked:
        async def __call__(self) -> None: ...

        async def method(self) -> None: ...

        def plain(self) -> None: ...

    asked = Asked()

    assert [True, True, False, False] == [
        is_coroutine_function(item) for item in (asked, asked.method, asked.plain, print)
    ]
