"""The example is driven as its users drive it: lines in, lines out, and a signal 9 now and then."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eliza_modules import ConversationModule
from eliza_modules.conversation import Message
from eliza_modules.workspace import WorkspaceModule
from eliza_state import StateManager
from examples.eliza_bot.agents import MODULES, ROOMS
from examples.eliza_bot.terminal import main
from tests.forking.process import Process, start_module

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "example-bot.md"
HIDDEN = "(not shown)"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'bot.db'}"


@contextlib.contextmanager
def bot(url: str) -> Iterator[Process]:
    """Start the bot; it is killed in the end, if it has not ended."""
    process = start_module("examples.eliza_bot", "--store", url, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def talk(url: str, *lines: str) -> str:
    """Type lines into the bot, in this process, until they are over; return what is on the screen then."""
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(screen):
        patch.setattr(sys, "argv", ["eliza_bot", "--store", url])
        patch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, ""])))
        with pytest.raises(SystemExit) as ended:
            main()

    assert ended.value.code is None
    return screen.getvalue()


def type_in(process: Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def said(url: str, room: str) -> list[Message]:
    """Return what the journal has of the talk in a room."""

    async def read() -> list[Message]:
        async with StateManager.open(url, modules=MODULES) as manager:
            conversation = manager.agent(ROOMS[room]).room(room).conversation("you")
            return [*(await conversation.state(ConversationModule)).messages]

    return asyncio.run(read())


def test_a_talk_is_what_its_page_shows(url):
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    typed = [
        "4711" if line == HIDDEN else line[5:]
        for line in shown.splitlines()
        if line.startswith(("you> ", HIDDEN))
    ]
    pattern = "\n".join(".*".join(map(re.escape, line.split("…"))) for line in shown.splitlines())

    with bot(url) as process:
        screen, _ = process.communicate("\n".join([*typed, ""]), timeout=60)
    screen = "\n".join(line.rstrip() for line in screen.splitlines())

    assert 0 == process.returncode
    assert re.fullmatch(pattern, screen), screen
    assert "4711" not in screen


def test_a_secret_shows_nowhere_and_is_there(url):
    screen = talk(
        url,
        "/secret bike pin",
        "4711",
        "what is my bike pin",
        "/memory",
        "/debug",
        "/why bike pin",
        "/history",
    )

    async def pin():
        async with StateManager.open(url, modules=MODULES) as manager:
            return (await manager.agent("eliza").user("you").state(WorkspaceModule)).memory["bike pin"].value

    assert "4711" not in screen
    assert "eliza: Your bike pin is [SECRET]." in screen
    assert "4711" == asyncio.run(pin()).reveal()


def test_a_reset_forgets_what_was_remembered_and_goes_on(url):
    screen = talk(url, "my name is Ada", "/reset", "what is my name", "/memory").splitlines()

    assert [
        "eliza has forgotten you.",
        "you> what is my name",
        "eliza: You have not told me your name.",
    ] == screen[4:7]
    assert "Nothing is remembered." == screen[-1]


def test_an_agent_knows_what_it_was_told_and_the_other_does_not(url):
    screen = talk(url, "my name is Ada", "/room office", "what is my name", "/set tone dry all", "/why tone")

    assert "clerk: You have not told me your name." in screen
    assert "tone = dry, set at the root" in screen
    assert "+ ['settings'].settings['tone']: 'dry'" in screen


def test_a_room_a_question_and_a_cooldown_outlive_the_process(url):
    talk(url, "/set cooldown 600 all", "/room office", "note: buy milk", "/delete 1", "a saying")

    screen = talk(url, "a saying", "/approve", "/approve", "notes").splitlines()

    assert "You are in the office with clerk. /help shows what you can do." == screen[0]
    assert "/approve or /deny: the deletion of “buy milk”" in screen
    after = screen[screen.index("you> a saying") :]
    assert [
        "you> a saying",
        "clerk: One saying at a time. Ask again later.",
        "you> /approve",
        "clerk: “buy milk” is gone.",
        "you> /approve",
        "clerk has asked nothing.",
        "you> notes",
        "clerk: There are no notes.",
    ] == after


def test_a_cooldown_ends(url):
    screen = talk(url, "/room office", "/set cooldown 0", "a saying", "a saying")

    assert ["clerk: A watched queue never drains.", "clerk: Write it down before you say it is done."] == [
        line for line in screen.splitlines() if line.startswith("clerk: ")
    ]


def test_what_makes_no_sense_is_told(url):
    screen = talk(
        url,
        "",
        "/nope",
        "/room cellar",
        "/set tone loud",
        "/approve",
        "/secret pin",
        "",
        "x" * 3_000,
        "/why x",
    )

    assert [
        "There is no /nope. /help shows what there is.",
        "There are the rooms parlour and office.",
        "As in: /set tone dry, /set pause 2.5 agent, /set cooldown 60 all",
        "eliza has asked nothing.",
        "A secret takes a key, and then a value: /secret pin",
        "That is too long: a line has at most 2,000 characters.",
        "Nothing here under 'x' is other than it was at first.",
    ] == [line for line in screen.splitlines()[1:] if not line.startswith(("you> ", HIDDEN))]


async def is_running(manager: StateManager) -> bool:
    await manager.refresh()
    return (await manager.agent("eliza").user("you").state(WorkspaceModule)).active_run is not None


def test_what_a_killed_run_was_about_is_answered_by_the_next_process(url):
    talk(url, "/set pause 0.3")

    async def kill_while_it_thinks(process):
        async with StateManager.open(url, modules=MODULES) as manager, asyncio.timeout(20):
            while not await is_running(manager):  # noqa: ASYNC110  # another process tells nobody
                await asyncio.sleep(0.02)
        process.kill()

    with bot(url) as process:
        type_in(process, "are you there?")
        asyncio.run(kill_while_it_thinks(process))

    assert ["you"] == [message.user for message in said(url, "parlour")]
    assert "eliza: What do you think?" in talk(url)
    assert ["you", "eliza"] == [message.user for message in said(url, "parlour")]


LINES = {
    "parlour": [f"i am number {number}" for number in range(8)],
    "office": [f"note: number {number}" for number in range(8)],
}


def lines_to_say(url: str) -> list[str]:
    """What a user types who sees what is there, and says the rest."""
    script: list[str] = []
    for room, lines in LINES.items():
        there = [message.text for message in said(url, room)]
        script += [f"/room {room}", *(line for line in lines if line not in there)]
    return script


def test_killed_at_any_moment_each_line_is_kept_and_answered_once(url):
    chance = random.Random(1966)
    shown = ""
    for _ in range(4):
        with bot(url) as process:
            type_in(process, "\n".join(lines_to_say(url)))
            for _ in range(chance.randint(3, 9)):
                shown += process.stdout.readline()
            time.sleep(chance.uniform(0, 0.02))  # whatever it does by then
            process.kill()
            shown += process.stdout.read()
    last = talk(url, *lines_to_say(url), "/room office", "notes")

    texts: list[str] = []
    for room, agent in ROOMS.items():
        messages = said(url, room)
        asked = [message for message in messages if message.user == "you" and message.text != "notes"]
        answers = [message for message in messages if message.user == agent]
        assert LINES[room] == [message.text for message in asked]
        assert [message.id for message in asked] == [message.reply_to for message in answers][: len(asked)]
        texts += [f"{agent}: {message.text}" for message in answers]
    assert {line for line in shown.splitlines() if line.startswith(("eliza: ", "clerk: "))} <= {*texts}
    assert [f"{number + 1}. number {number}" for number in range(8)] == re.findall(r"\d+\. number \d+", last)
