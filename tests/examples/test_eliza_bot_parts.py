"""What the bot's pure parts make of words and events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eliza_state import Rejected
from eliza_state.testing import TreeDriver
from examples.eliza_bot.listening import mood, reflected, reply
from examples.eliza_bot.notes import MAX_NOTES, NoteDeleted, NotesModule, NoteWritten

ROOM = "agent:clerk/room:office"


def note(name: str) -> NoteWritten:
    return NoteWritten(id=name, text=name, by="ada", at=datetime(2024, 1, 1, tzinfo=UTC))


def test_words_are_given_back_as_the_other_would_say_them():
    assert "you lost your keys" == reflected("I lost my keys.")


def test_what_was_said_comes_back_in_the_reply():
    assert "Since when are you tired of your job?" == reply("I am tired of my job.", turn=0)


def test_what_fits_no_pattern_is_listened_to():
    assert "I am listening." == reply("...", turn=3)


@pytest.mark.parametrize(("text", "expected"), [("great, thanks", 1), ("sad but happy", 0), ("rain", 0)])
def test_a_mood_lies_between_the_words_that_tell(text, expected):
    assert expected == mood([text])


def test_notes_hang_in_their_order_and_come_back_from_a_snapshot():
    driver = TreeDriver(NotesModule())
    driver.send(ROOM, note("milk"), note("bread"), note("tea"), NoteDeleted(id="bread"))

    assert ("milk", "tea") == driver.state(NotesModule, of=ROOM).notes.ids()
    assert driver.restored(NotesModule, of=ROOM) == driver.state(NotesModule, of=ROOM)


def test_a_note_is_written_and_deleted_once():
    driver = TreeDriver(NotesModule())
    driver.send(ROOM, note("milk"))

    with pytest.raises(Rejected, match="'milk' hangs there already"):
        driver.send(ROOM, note("milk"))
    with pytest.raises(Rejected, match="no note 'tea'"):
        driver.send(ROOM, NoteDeleted(id="tea"))


def test_a_full_wall_takes_no_more():
    driver = TreeDriver(NotesModule())
    driver.send(ROOM, *(note(str(number)) for number in range(MAX_NOTES)))

    with pytest.raises(Rejected, match="100 notes hang there"):
        driver.send(ROOM, note("milk"))
