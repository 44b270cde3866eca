"""Making two stores equal, and what is told of it."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from eliza_serializers import Secret
from eliza_state.errors import StateError, StoreError
from eliza_state.event import event
from eliza_state.module import StateModule, reduces
from eliza_state.synchronizer import Diverged, NotAReplica, Unrelated, VectorClock, synchronize
from tests.eliza_state import chat
from tests.eliza_state.chat import TALK
from tests.eliza_state.synchronizer.replicas import Replica


async def sync(first: Replica, second: Replica, **options):
    return await synchronize(
        first.url, second.url, **{"modules": chat.modules(), "clock": first.clock, "create": True, **options}
    )


# What goes over


async def test_it_tells_what_went_over_and_what_that_did(laptop, phone, clock):
    await laptop.say("one")
    await sync(laptop, phone)
    await phone.say("two", "three")
    clock.turn(1)
    await laptop.say("four")

    report = await sync(laptop, phone)

    assert ((2, 1), (1, 0)) == tuple(
        (side.records, side.merged.moved) for side in (report.first, report.second)
    )
    assert 0 < report.second.size_bytes < report.first.size_bytes < 1_000
    assert (laptop.url, True) == (report.first.name, report.is_whole)
    assert await laptop.records() == await phone.records()


async def test_to_do_it_again_takes_nothing(laptop, phone):
    await laptop.say("one")
    await sync(laptop, phone)
    before = [laptop.file.read_bytes(), phone.file.read_bytes()]

    report = await sync(laptop, phone)

    assert (0, 0, 0, 0) == tuple(
        number for side in (report.first, report.second) for number in (side.records, side.size_bytes)
    )
    assert before == [laptop.file.read_bytes(), phone.file.read_bytes()]


async def test_an_old_backup_gets_what_it_lost_and_keeps_what_is_new(laptop, phone, tmp_path):
    await laptop.say("one")
    laptop.copy_to(tmp_path / "backup")
    await laptop.say("two")
    await sync(laptop, phone)
    Replica(tmp_path / "backup").copy_to(laptop.file)
    laptop.clock.turn(1)
    await laptop.say("three")

    await sync(laptop, phone)

    assert ["one", "two", "three"] == await laptop.texts() == await phone.texts()


async def test_a_dry_run_tells_the_same_and_stores_nothing(laptop, phone, clock):
    await laptop.say("one")
    await sync(laptop, phone)
    await laptop.say("two")
    clock.turn(1)
    await phone.say("three")
    before = [await replica.records() for replica in (laptop, phone)]

    dry = await sync(laptop, phone, dry_run=True)
    after = [await replica.records() for replica in (laptop, phone)]
    done = await sync(laptop, phone)

    assert before == after
    assert (dry.first, dry.second) == (done.first, done.second)
    assert (True, False) == (dry.is_dry_run, done.is_dry_run)


async def test_what_a_crash_left_unmerged_is_merged_first(laptop, phone):
    await laptop.say("one")
    with laptop.log() as log, phone.log() as other:
        for batch in log.lacking(other.summary()):
            other.receive(batch)

    report = await sync(laptop, phone)

    assert 0 == report.second.records
    assert ["one"] == await phone.texts()


async def test_a_caller_that_is_cancelled_leaves_both_closed(laptop, phone):
    await laptop.say("one")

    task = asyncio.create_task(sync(laptop, phone))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await sync(laptop, phone)).is_whole
    assert ["one"] == await phone.texts()


async def test_records_from_the_future_are_told_and_left(laptop, phone, clock):
    clock.turn(3_600)
    await laptop.say("in an hour")
    clock.turn(-3_600)

    report = await sync(laptop, phone)

    assert (1, False) == (report.second.ahead, report.is_whole)
    assert [] == await phone.texts()


async def test_a_file_that_holds_what_is_left_for_later_is_not_written(laptop, phone, clock, tmp_path):
    stick = tmp_path / "stick.replica"
    clock.turn(3_600)
    await laptop.say("in an hour")
    await synchronize(laptop.url, stick, clock=clock)
    before = stick.read_bytes()
    clock.turn(-3_600)
    await phone.say("now")

    report = await synchronize(phone.url, stick, clock=clock, join=True)

    assert (1, False) == (report.first.ahead, report.second.is_stored)
    assert before == stick.read_bytes()


async def test_a_damaged_record_is_told(laptop, phone):
    await laptop.say("one", "two")
    laptop.damage(2)

    report = await sync(laptop, phone)

    assert (2, False) == (report.first.damaged, report.is_whole)
    assert ["one"] == await phone.texts()


# Conflicts


async def test_a_slice_that_both_changed_is_told_with_both_values_and_the_choice(laptop, phone, clock):
    await laptop.say("one")
    await sync(laptop, phone)
    await laptop.say("l", user="ada")
    clock.turn(1)
    await phone.say("p", user="bo")
    clock.turn(1)
    await phone.say("q", user="bo")

    report = await sync(laptop, phone)
    (conflict, *_) = report.conflicts
    writers = [record.writer for record in await laptop.records()]

    assert ("talk", TALK.encode(), 4) == (conflict.module, conflict.path, conflict.count)
    assert [
        ("texts[1]", "l", "p", "l"),
        ("counts[ada]", 2, 1, 2),
    ] == [(found.place, found.local, found.remote, found.chosen) for found in conflict.disagreements[::2]]
    assert {"all records of both, in the order of their stamps"} == {
        found.why for found in conflict.disagreements
    }
    assert VectorClock({writers[0]: 1, writers[1]: 1}) == conflict.local_clock
    assert conflict.local_clock.is_concurrent_with(conflict.remote_clock)
    assert ["talk", "people", "totals"] == [found.module for found in report.conflicts]


async def test_what_one_side_alone_changed_is_no_conflict(laptop, phone):
    await laptop.say("one")
    await sync(laptop, phone)
    await phone.say("two")

    report = await sync(laptop, phone)

    assert (0, ()) == (report.concurrent, report.conflicts)


async def test_concurrent_changes_that_come_to_the_same_are_no_conflict(laptop, phone):
    for replica in (laptop, phone):
        await replica.use(lambda manager: manager.dispatch(chat.Joined(user="ada"), to=chat.ROOM))

    report = await sync(laptop, phone, join=True)

    assert (2, ()) == (report.concurrent, report.conflicts)


async def test_conflicts_with_a_file_are_told_as_well(laptop, phone, tmp_path):
    stick = tmp_path / "stick.replica"
    await laptop.say("l")
    await synchronize(laptop.url, stick)
    await phone.say("p")

    report = await synchronize(phone.url, stick, modules=chat.modules(), join=True)
    (found, *_) = report.conflicts[0].disagreements

    assert ("texts[0]", "p", "l") == (found.place, found.local, found.remote)


@event("token_set")
class TokenSet:
    token: Secret[str]


@attrs.frozen
class Tokens:
    token: Secret[str] | None = None


class TokenModule(StateModule[Tokens]):
    name = "tokens"
    level = "conversation"

    @reduces(TokenSet)
    def set_token(self, _state: Tokens, event: TokenSet) -> Tokens:
        return Tokens(event.token)


async def test_secrets_are_masked(laptop, phone):
    modules = [TokenModule()]
    for replica in (laptop, phone):
        token = TokenSet(token=Secret(f"s3cret of {replica.file.stem}"))
        await replica.use(lambda manager, token=token: manager.dispatch(token, to=TALK), modules=modules)

    report = await sync(laptop, phone, join=True, modules=modules)
    (found,) = report.conflicts[0].disagreements

    assert "s3cret" not in repr(report)
    assert "[SECRET]" == found.local == found.remote


# What cannot be


async def test_stores_without_a_common_record_are_refused_unless_they_join(laptop, phone):
    await laptop.say("one")
    await phone.say("two")

    with pytest.raises(Unrelated):
        await sync(laptop, phone)
    before = await laptop.texts()
    await sync(laptop, phone, join=True)

    assert ["one"] == before
    assert ["one", "two"] == sorted(await laptop.texts())
    assert (await sync(laptop, phone)).is_whole


@pytest.mark.parametrize("longer", ["laptop", "phone"])
async def test_a_writer_that_wrote_on_in_two_places_is_told(laptop, phone, longer):
    await laptop.say("one")
    laptop.copy_to(phone.file)
    for replica in (laptop, phone):
        await replica.say(*(["two", "more"] if replica.file.stem == longer else ["three"]))
        replica.run("UPDATE record SET writer = 1")

    with pytest.raises(Diverged):
        await sync(laptop, phone)


async def test_a_store_is_not_synchronised_with_itself(laptop):
    await laptop.say("one")

    with pytest.raises(StoreError, match="open"):
        await sync(laptop, laptop)


async def test_two_files_are_refused(tmp_path):
    with pytest.raises(StateError, match="one is a store"):
        await synchronize(tmp_path / "a.replica", tmp_path / "b.replica")


async def test_a_file_that_is_none_leaves_the_store_free(laptop, tmp_path):
    await laptop.say("one")
    (tmp_path / "notes.txt").write_text("milk")

    with pytest.raises(NotAReplica):
        await synchronize(laptop.url, tmp_path / "notes.txt")

    assert ["one"] == await laptop.texts()


@event("said", version=2, upcasters={1: lambda payload: {**payload, "tone": ""}})
class NewerSaid:
    user: str
    text: str = ""
    tone: str = ""


class NewerTalkModule(StateModule[chat.Talk]):
    name = "talk"
    level = "conversation"

    @reduces(NewerSaid)
    def say(self, state: chat.Talk, event: NewerSaid) -> chat.Talk:
        return attrs.evolve(state, texts=state.texts.append(event.text + event.tone))


async def test_an_event_of_a_newer_schema_is_kept_and_counts_for_newer_code(laptop, phone):
    newer = {"modules": [NewerTalkModule()]}
    said = NewerSaid(user="ada", text="one", tone="!")
    await laptop.use(lambda manager: manager.dispatch(said, to=TALK), **newer)

    await sync(laptop, phone)
    states, problems = await phone.states()

    assert () == tuple(states[TALK]["talk"].texts)
    assert any("known here up to schema version 1" in problem for problem in problems)
    assert ["one!"] == await phone.texts(**newer)
