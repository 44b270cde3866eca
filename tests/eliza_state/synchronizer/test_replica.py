"""A store in use that gives way while it is synchronised."""

from __future__ import annotations

import asyncio

import pytest

from eliza_state.errors import StoreError
from eliza_state.synchronizer import Replica, ReplicaLog, Unrelated
from tests.eliza_state import chat
from tests.eliza_state.chat import TALK, Said


def opened(store, **options):
    return Replica.open(store.url, modules=chat.modules(), clock=store.clock, **options)


async def say(replica: Replica, text: str) -> None:
    await replica.manager.dispatch(Said(user="ada", text=text), to=TALK)


async def texts(replica: Replica) -> list[str]:
    return list((await replica.manager.at(TALK).state(chat.TalkModule)).texts)


async def test_it_is_used_before_and_after_through_its_manager(laptop, phone, clock):
    await phone.say("from the phone")
    clock.turn(1)

    async with opened(laptop) as replica:
        await say(replica, "from the laptop")
        report = await replica.sync(phone.url, join=True)
        await say(replica, "after")

        assert ["from the phone", "from the laptop", "after"] == await texts(replica)
    assert (1, 1) == (report.first.records, report.second.records)
    assert ["from the phone", "from the laptop"] == await phone.texts()


async def test_a_new_manager_takes_the_place_of_the_one_before(laptop, phone):
    async with opened(laptop) as replica:
        before = replica.manager
        await replica.sync(phone.url, create=True)

        assert before is not replica.manager
        with pytest.raises(StoreError, match="closed"):
            await before.dispatch(Said(user="ada", text="late"), to=TALK)


async def test_there_is_no_manager_in_a_pause_and_the_log_can_be_had(laptop):
    async with opened(laptop) as replica:
        await say(replica, "one")
        async with replica.paused() as url:
            with pytest.raises(StoreError, match="no manager now"):
                _ = replica.manager
            with ReplicaLog(url) as log:
                count = sum(log.summary().clock.counts().values())

        assert (1, ["one"]) == (count, await texts(replica))


async def test_it_goes_on_after_a_synchronisation_that_failed(laptop, phone):
    await phone.say("two")

    async with opened(laptop) as replica:
        await say(replica, "one")
        with pytest.raises(Unrelated):
            await replica.sync(phone.url)

        assert ["one"] == await texts(replica)


async def test_one_synchronisation_at_a_time(laptop, phone, make):
    async with opened(laptop) as replica:
        await say(replica, "one")
        reports = await asyncio.gather(
            *(replica.sync(other.url, create=True) for other in (phone, make("tablet")))
        )

        assert [1, 1] == [report.second.records for report in reports]
        assert ["one"] == await texts(replica)


async def test_closed_twice_is_closed(laptop):
    replica = await opened(laptop)

    await replica.close()
    await replica.close()

    with pytest.raises(StoreError, match="closed"):
        await replica.sync("x.replica")


async def test_a_store_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(StoreError, match="no folder"):
        await Replica.open(f"sqlite:///{tmp_path}/none/state.db")
