"""A store's log as a replica: what it holds, what goes out, what comes in."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from eliza_state.errors import StoreError
from eliza_state.synchronizer import Diverged, NotAReplica, ReplicaLog
from eliza_state.synchronizer.messages import NOTHING, Summary
from eliza_state.synchronizer.sending import Sent
from tests.eliza_state.chat import TALK, Said
from tests.eliza_state.synchronizer.replicas import SECOND_US, bring, meet


def lines(log: ReplicaLog, other: Summary = NOTHING) -> list[bytes]:
    return b"".join(log.lacking(other)).splitlines(keepends=True)


# What it holds


async def test_a_summary_counts_the_records_of_each_opening(laptop):
    await laptop.say("one", "two")
    await laptop.say("three")
    writers = [record.writer for record in await laptop.records()]

    with laptop.log() as log:
        counts = log.summary().clock.counts()

    assert {writers[0]: 2, writers[2]: 1} == counts


async def test_what_was_received_counts_before_it_is_merged(laptop, phone):
    await laptop.say("one")

    with laptop.log() as log, phone.log() as other:
        for batch in log.lacking(other.summary()):
            other.receive(batch)

        assert log.summary() == other.summary()


async def test_a_store_that_is_opened_again_holds_the_same(laptop):
    await laptop.say("one")
    with laptop.log() as log:
        first = log.summary()

    with laptop.log() as log:
        assert first == log.summary()


# What goes out


async def test_only_what_is_lacking_goes_out_in_the_order_of_the_records(laptop, phone):
    await laptop.say("one")
    meet(laptop, phone)
    await laptop.say("two", "three")

    with laptop.log() as log, phone.log() as other:
        found = lines(log, other.summary())

    assert [b"two", b"three"] == [text.rpartition(b'"text":"')[2].partition(b'"')[0] for text in found]


async def test_batches_are_bounded_and_nothing_is_left_out(laptop, phone):
    said = [(Said(user="ada", text=str(number)), TALK) for number in range(1_200)]
    await laptop.use(lambda manager: manager.dispatch_all(said))

    with laptop.log() as log, phone.log() as other:
        sent = Sent()
        batches = list(log.lacking(NOTHING, sent=sent))
        for batch in batches:
            other.receive(batch)
        merged = other.merge()

    assert [500, 500, 200] == [batch.count(b"\n") for batch in batches]
    assert (1_200, sum(map(len, batches))) == (sent.records, sent.size_bytes)
    assert 1_200 == merged.records


async def test_it_ends_before_a_record_that_is_damaged(laptop, phone):
    await laptop.say("one", "two", "three")
    with contextlib.closing(sqlite3.connect(laptop.file)) as connection, connection:
        connection.execute("UPDATE record SET payload = x'7b7d' WHERE position = 2")

    with laptop.log() as log, phone.log() as other:
        sent = Sent()
        for batch in log.lacking(NOTHING, sent=sent):
            other.receive(batch)
        other.merge()

    assert (1, 2) == (sent.records, sent.damaged)
    assert ["one"] == await phone.texts()


# What comes in


async def test_a_batch_may_come_again(laptop, phone):
    await laptop.say("one", "two")

    with laptop.log() as log, phone.log() as other:
        (batch,) = log.lacking(NOTHING)
        received = [other.receive(batch), other.receive(batch)]
        other.merge()
        received.append(other.receive(batch))

    assert [(2, 0), (0, 2), (0, 2)] == [(found.records, found.present) for found in received]
    assert ["one", "two"] == await phone.texts()


async def test_what_was_received_before_a_crash_is_not_sent_again(laptop, phone):
    await laptop.say("one", "two", "three")
    with laptop.log() as log, phone.log() as other:
        first, *_ = lines(log)
        other.receive(first)

    with laptop.log() as log, phone.log() as other:
        rest = lines(log, other.summary())
        other.receive(b"".join(rest))
        other.merge()

    assert 2 == len(rest)
    assert ["one", "two", "three"] == await phone.texts()


async def test_a_record_whose_predecessor_is_missing_is_refused_with_its_batch(laptop, phone):
    await laptop.say("one", "two", "three")
    with laptop.log() as log, phone.log() as other:
        first, _, third = lines(log)

        with pytest.raises(NotAReplica, match="records 2 to 2 of writer"):
            other.receive(first + third)

        assert NOTHING == other.summary()


async def test_a_record_outside_the_hierarchy_is_refused(laptop, phone):
    await laptop.say("one")
    with laptop.log() as log, phone.log() as other:
        (line,) = lines(log)

        with pytest.raises(NotAReplica, match="no level 'planet'"):
            other.receive(line.replace(b"conversation:", b"planet:"))


async def test_a_record_of_where_followers_stand_is_refused(laptop, phone):
    await laptop.say("one")
    with laptop.log() as log, phone.log() as other:
        (line,) = lines(log)

        with pytest.raises(NotAReplica, match="where followers stand"):
            other.receive(line.replace(b'"said"', b'"follower_advanced"'))


async def test_a_record_from_the_future_and_what_comes_behind_it_wait(laptop, phone, clock):
    await laptop.say("now")
    clock.turn(3_600)
    await laptop.say("in an hour")
    clock.turn(-3_600)
    await laptop.say("behind it")

    with laptop.log() as log, phone.log() as other:
        received = other.receive(b"".join(lines(log)))
        other.merge()
    first = await phone.texts()
    clock.turn(3_590)
    bring(laptop, phone)

    assert (1, 2) == (received.records, received.ahead)
    assert ["now"] == first
    assert ["now", "in an hour", "behind it"] == await phone.texts()


async def test_local_records_after_a_merge_come_behind_it_whatever_the_clock_says(laptop, phone, clock):
    clock.turn(30)
    await laptop.say("ahead by half a minute")
    clock.turn(-30)
    meet(laptop, phone)
    await phone.say("an answer")

    meet(laptop, phone)

    assert ["ahead by half a minute", "an answer"] == await laptop.texts() == await phone.texts()
    assert clock() + 30 * SECOND_US == (await phone.records())[-1].recorded_at_us


# What cannot be


async def test_a_writer_that_wrote_on_in_two_places_is_told(laptop, phone):
    await laptop.say("one")
    laptop.copy_to(phone.file)
    writer = (await laptop.records())[0].writer
    for replica, text in ((laptop, "two"), (phone, "three")):
        await replica.say(text)
        with contextlib.closing(sqlite3.connect(replica.file)) as connection, connection:
            connection.execute("UPDATE record SET writer = 1")

    with laptop.log() as log, phone.log() as other, pytest.raises(Diverged) as raised:
        log.check(other.summary())

    assert (writer, 2) == (raised.value.writer, raised.value.sequence)


async def test_a_store_that_a_manager_has_open_is_refused(laptop):
    await laptop.say("one")

    async def work(_manager):
        with pytest.raises(StoreError, match="close it first"):
            laptop.log()

    await laptop.use(work)


@pytest.mark.parametrize("options", [{"create": False}, {"dry_run": True}])
def test_a_store_that_is_not_there_is_refused_and_not_made(laptop, options):
    with pytest.raises(StoreError, match="there is no store"):
        laptop.log(**options)

    assert not laptop.file.exists()


def test_a_store_in_memory_is_refused():
    with pytest.raises(StoreError, match="a replica is a SQLite file"):
        ReplicaLog("memory://")


def test_another_database_is_refused(laptop):
    with contextlib.closing(sqlite3.connect(laptop.file)) as connection, connection:
        connection.execute("CREATE TABLE other (x)")

    with pytest.raises(StoreError, match="not a store of states"):
        laptop.log()


def test_a_newer_schema_is_refused(laptop):
    with laptop.log():
        pass
    with contextlib.closing(sqlite3.connect(laptop.file)) as connection, connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")

    with pytest.raises(StoreError, match="run the newer code"):
        laptop.log()


def test_a_closed_one_says_so(laptop):
    with laptop.log() as log:
        pass

    with pytest.raises(StoreError, match="closed"):
        log.summary()


async def test_a_dry_run_stores_nothing(laptop, phone):
    await laptop.say("one")
    before = laptop.file.read_bytes()
    await phone.say("two")

    with laptop.log(dry_run=True) as log, phone.log() as other:
        for batch in other.lacking(log.summary()):
            log.receive(batch)
        merged = log.merge()
    content = laptop.file.read_bytes()

    assert 1 == merged.records
    assert ["one"] == await laptop.texts()
    assert before == content
