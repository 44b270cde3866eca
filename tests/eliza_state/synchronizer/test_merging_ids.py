"""Records that come to one path with one id, and those that were erased."""

from __future__ import annotations

import pytest

from eliza_serializers import Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.event import event
from eliza_state.module import StateModule, reduces
from tests.eliza_state.chat import OTHER, TALK
from tests.eliza_state.synchronizer.replicas import bring, meet

# One id


async def test_the_same_message_that_both_took_in_counts_once(laptop, phone, clock):
    await laptop.say("hello", id="mail-1")
    clock.turn(1)
    await phone.say("hello", id="mail-1")

    merged = bring(phone, laptop)
    meet(laptop, phone)

    assert (1, ()) == (merged.repeated, merged.same_ids)
    assert ["hello"] == await laptop.texts() == await phone.texts()
    assert await laptop.records() == await phone.records()


async def test_different_messages_with_one_id_both_count_and_are_told(laptop, phone, clock):
    await laptop.say("hello", id="mail-1")
    clock.turn(1)
    await phone.say("goodbye", id="mail-1")

    (same,) = bring(phone, laptop).same_ids
    meet(laptop, phone)
    first, second = await laptop.records()

    assert ["hello", "goodbye"] == await laptop.texts() == await phone.texts()
    assert ("mail-1", TALK.encode(), (second.id,)) == (same.id, same.path, same.others)
    assert (first.writer, second.writer) == same.writers
    assert [first, second] == await phone.records()


async def test_the_first_of_them_keeps_the_id_whichever_came_first(laptop, phone, make, clock):
    tablet = make("tablet")
    for replica, text in ((tablet, "first"), (laptop, "second"), (phone, "third")):
        clock.turn(1)
        await replica.say(text, id="mail-1")

    meet(laptop, phone)
    meet(laptop, tablet)
    meet(phone, laptop)

    assert ["first", "second", "third"] == await laptop.texts()
    assert "mail-1" == (await laptop.records())[0].id
    assert await laptop.records() == await phone.records() == await tablet.records()


async def test_the_same_id_at_another_path_is_another_record(laptop, phone):
    await laptop.say("hello", id="mail-1")
    await phone.say("hello", id="mail-1", to=OTHER)

    meet(laptop, phone)

    assert [["hello"], ["hello"]] == [await laptop.texts(), await phone.texts(OTHER)]


@event("token_set")
class TokenSet:
    token: Secret[str]


class TokenModule(StateModule[int]):
    name = "tokens"
    level = "conversation"

    def initial_state(self) -> int:
        return 0

    @reduces(TokenSet)
    def set_token(self, state: int, _event: TokenSet) -> int:
        return state + 1


async def test_a_secret_that_each_side_sealed_for_itself_makes_no_difference(laptop, phone):
    options = {"modules": [TokenModule()], "secret_keys": SecretKeys({"k": b"x" * 32})}
    for replica in (laptop, phone):
        token = TokenSet(token=Secret("s3cret"))
        await replica.use(lambda manager, token=token: manager.dispatch(token, to=TALK, id="t"), **options)

    merged = bring(phone, laptop)

    assert 1 == merged.repeated


# Erasures


async def test_an_erasure_travels_and_takes_what_is_there(laptop, phone):
    await laptop.say("my number is 555-0100")
    meet(laptop, phone)
    await laptop.erase()

    merged = bring(laptop, phone)

    assert (1, ()) == (merged.erased, merged.remains)
    assert [] == await phone.texts()
    assert b"555-0100" not in phone.file.read_bytes()
    assert await laptop.records() == await phone.records()


async def test_what_came_after_an_erasure_or_beside_it_stays(laptop, phone, clock):
    await laptop.say("gone")
    meet(laptop, phone)
    await phone.say("beside")
    clock.turn(1)
    await laptop.erase()
    await laptop.say("after")

    meet(laptop, phone)

    assert ["beside", "after"] == await laptop.texts() == await phone.texts()


async def test_what_was_erased_does_not_come_back_from_a_third(laptop, phone, make):
    tablet = make("tablet")
    await laptop.say("gone", id="mail-1")
    meet(laptop, phone)
    meet(laptop, tablet)
    await laptop.erase()
    meet(laptop, phone)

    bring(tablet, phone)
    bring(phone, tablet)

    assert [] == await phone.texts() == await tablet.texts()


async def test_an_erased_id_stays_taken_for_a_repetition_that_comes_later(laptop, phone, clock):
    await laptop.say("gone", id="mail-1")
    await laptop.erase()
    clock.turn(1)
    await phone.say("gone", id="mail-1")

    merged = bring(phone, laptop)
    meet(laptop, phone)

    assert 1 == merged.erased
    assert [] == await laptop.texts() == await phone.texts()
    assert b"gone" not in laptop.file.read_bytes() + phone.file.read_bytes()


@pytest.mark.parametrize("first", ["erase", "repeat"])
async def test_a_repetition_is_erased_with_what_it_repeats(laptop, phone, first):
    await laptop.say("gone", id="mail-1")
    await phone.say("gone", id="mail-1")
    if first == "repeat":
        meet(laptop, phone)
    await laptop.erase()

    meet(laptop, phone)

    assert [] == await laptop.texts() == await phone.texts()
    assert await laptop.records() == await phone.records()
    assert b"gone" not in laptop.file.read_bytes() + phone.file.read_bytes()


async def test_snapshots_with_what_was_erased_are_removed_when_the_store_is_opened(laptop, phone):
    await laptop.say(*map(str, range(70)), user="planted")
    meet(laptop, phone)
    await phone.say("more")  # snapshots are taken when it is closed
    await laptop.erase()
    snapshots = phone.file.with_name(f"{phone.file.name}-snapshots")
    before = snapshots.read_bytes()

    bring(laptop, phone)
    texts = await phone.texts()

    assert b"planted" in before
    assert ["more"] == texts
    assert b"planted" not in snapshots.read_bytes()
