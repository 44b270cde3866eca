"""Tests written from records: they run as they stand, and say what they are about."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_state.debugger import Debugger, NoSuchPoint
from eliza_state.errors import RegistrationError, StateError
from eliza_state.manager import StateManager
from eliza_state.module import StateModule, compose, reduces
from eliza_state.path import Hierarchy
from tests.eliza_state.chat import AGENT, OTHER, ROOM, TALK, Said, Talk, TalkModule
from tests.eliza_state.cli.command import environment
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.written_tests.shop import (
    Cancelled,
    OrdersModule,
    PricedModule,
    ordered,
)

RUFF = shutil.which("ruff") or shutil.which("ruff", path=FilePath(sys.executable).parent)


def passes(text: str, folder: FilePath) -> bool:
    """Tell whether a test passes, as a file of its own; it is formatted in any case."""
    file = folder / "test_written.py"
    file.write_text(text, "utf-8")
    if RUFF is not None:
        done = subprocess.run(
            [RUFF, "format", "--isolated", "--diff", file], capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, done.stdout
    (test,) = (value for name, value in runpy.run_path(str(file)).items() if name.startswith("test_"))
    try:
        test()
    except AssertionError:
        return False
    return True


def run_by_pytest(file: FilePath) -> subprocess.CompletedProcess[str]:
    """Run the tests of a file in a process of their own."""
    plain = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:xdist", "--rootdir", file.parent)
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", *plain, file],
        cwd=file.parent,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def url(sqlite_url: str) -> str:
    """One kind of store is enough: the tests that are written are the same."""
    return sqlite_url


@pytest.fixture
async def shop(opened: Open, url: str) -> StateManager:
    """A store with orders that hold all kinds of values."""
    manager: StateManager = await opened(url, modules=[OrdersModule()])
    for event in (ordered("a"), ordered("b", note=None), Cancelled(id="a"), ordered("c", extras={})):
        await manager.dispatch(event, to=ROOM)
    return manager


async def test_it_tells_the_events_and_the_states_they_lead_to(debugger: Debugger) -> None:
    text = await debugger.make_test(TALK, first=1, last=2)

    assert (
        '"""The records of agent:eliza/room:general/conversation:c1 from position 1 to 2."""\n'
        "\n"
        "from eliza_state.collections import Log, Map\n"
        "from eliza_state.testing import TreeDriver\n"
        "from tests.eliza_state.chat import Said, Talk, TalkModule\n"
        "\n"
        'CONVERSATION = "agent:eliza/room:general/conversation:c1"\n'
        "\n"
        "\n"
        "def test_conversation_from_position_1_to_2():\n"
        "    driver = TreeDriver(TalkModule())\n"
        "\n"
        "    # when\n"
        '    driver.send(CONVERSATION, Said(user="ada", text="hello"))\n'
        "\n"
        "    # then\n"
        "    found = driver.state(TalkModule, of=CONVERSATION)\n"
        '    expected = Talk(texts=Log(["hello"]), counts=Map({"ada": 1}))\n'
        "    assert expected == found\n"
    ) == text


@pytest.mark.parametrize(
    "wanted", [{}, {"path": TALK, "first": 6}, {"path": ROOM, "first": 3, "last": 5}, {"module": "talk"}]
)
async def test_it_passes(debugger: Debugger, tmp_path: FilePath, wanted: Any) -> None:
    assert passes(await debugger.make_test(**wanted), tmp_path)


async def test_it_is_a_test_to_pytest(debugger: Debugger, tmp_path: FilePath) -> None:
    text = await debugger.make_test()
    (tmp_path / "test_written.py").write_text(text, "utf-8")
    (tmp_path / "test_broken.py").write_text(text.replace("said=4", "said=5"), "utf-8")

    assert (0, 1) == tuple(
        run_by_pytest(tmp_path / name).returncode for name in ("test_written.py", "test_broken.py")
    )


async def test_it_fails_once_a_state_is_another(debugger: Debugger, tmp_path: FilePath) -> None:
    text = await debugger.make_test()

    assert not passes(text.replace("said=4", "said=5"), tmp_path)


@pytest.mark.parametrize("first", [1, 4])
async def test_all_kinds_of_values_are_told(shop: StateManager, tmp_path: FilePath, first: int) -> None:
    assert passes(await Debugger(shop).make_test(first=first), tmp_path)


async def test_the_state_before_the_range_is_given(shop: StateManager) -> None:
    text = await Debugger(shop).make_test(first=4)

    assert 1 == text.count("# given")
    assert 1 == text.count("driver.send(")


async def test_one_module_alone_may_be_told(debugger: Debugger) -> None:
    text = await debugger.make_test(module=TalkModule)

    assert "TreeDriver(TalkModule())" in text
    assert "Drawn" not in text


async def test_secrets_are_placeholders_with_a_comment(shop: StateManager, tmp_path: FilePath) -> None:
    await shop.dispatch(ordered("d", card=Secret("4111")), to=ROOM)
    await shop.dispatch(Cancelled(id="d"), to=ROOM)
    debugger = Debugger(shop)

    for first in (1, 6):
        text = await debugger.make_test(first=first)

        assert "4111" not in text
        assert 'card=Secret("[SECRET]")' in text
        assert "# each Secret holds a placeholder" in text
        assert passes(text, tmp_path)


async def test_erased_records_are_left_out_with_a_comment(
    debugger: Debugger, manager: StateManager, tmp_path: FilePath
) -> None:
    await manager.erase(TALK, until=2)

    text = await debugger.make_test(TALK)

    assert "# said at position 2 is left out: it was erased" in text
    assert passes(text, tmp_path)


async def test_what_is_refused_today_is_left_out_with_a_comment(opened: Open, sqlite_url: str) -> None:
    class Lenient(TalkModule):
        @reduces(Said)
        def say(self, state: Talk, event: Said) -> Talk:
            return state

    manager = await opened(sqlite_url, modules=[Lenient()])
    for text in ("", "x"):
        await manager.dispatch(Said(user="ada", text=text), to=TALK)
    await manager.close()
    manager = await opened(sqlite_url, modules=[TalkModule()], snapshots=False)

    text = await Debugger(manager).make_test()

    assert "# said at position 1 is left out: it is refused: nothing was said" in text


async def test_a_composition_is_put_together_again(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened(modules=[compose("all", TalkModule())])
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)

    text = await Debugger(manager).make_test()

    assert 'TreeDriver(compose("all", TalkModule()))' in text
    assert passes(text, tmp_path)


async def test_a_hierarchy_of_ones_own_is_told(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened(modules=[OrdersModule()], hierarchy=Hierarchy({"house": {"room": {}}}))
    await manager.dispatch(ordered("a"), to="room:kitchen")

    assert passes(await Debugger(manager).make_test(), tmp_path)


async def test_a_module_at_another_level_is_told(opened: Open, tmp_path: FilePath) -> None:
    manager = await opened(modules=[OrdersModule().at("agent"), OrdersModule()])
    await manager.dispatch(ordered("a"), to=ROOM)

    text = await Debugger(manager).make_test(AGENT)

    assert 'OrdersModule().at("agent")' in text
    assert passes(text, tmp_path)


async def test_a_class_that_cannot_be_imported_is_refused(opened: Open) -> None:
    class Local(TalkModule):
        pass

    manager = await opened(modules=[Local()])
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)

    with pytest.raises(StateError, match=r"<locals>\.Local cannot be imported"):
        await Debugger(manager).make_test()


async def test_a_module_made_with_arguments_is_refused(opened: Open) -> None:
    manager = await opened(modules=[PricedModule(2)])
    await manager.dispatch(ordered("a"), to=ROOM)

    with pytest.raises(StateError, match="'priced' was made with arguments"):
        await Debugger(manager).make_test()


async def test_records_that_reach_no_module_there_are_refused(debugger: Debugger) -> None:
    with pytest.raises(StateError, match="reach no module"):
        await debugger.make_test(AGENT, module="totals")


async def test_a_state_that_the_events_alone_do_not_lead_to_is_refused(opened: Open) -> None:
    class Since(StateModule[Talk]):
        name = "since"
        level = "conversation"
        since_position = 1

        @reduces(Said)
        def say(self, state: Talk, event: Said) -> Talk:
            return Talk(texts=state.texts.append(event.text))

    manager = await opened(modules=[Since()])
    for text in "xy":
        await manager.dispatch(Said(user="ada", text=text), to=TALK)

    with pytest.raises(StateError, match="the events alone do not lead to the state of 'since'"):
        await Debugger(manager).make_test()


async def test_a_range_that_is_not_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(NoSuchPoint):
        await debugger.make_test(last=len(HISTORY) + 1)
    with pytest.raises(StateError, match="no records"):
        await debugger.make_test(OTHER, last=2)


async def test_a_module_that_is_not_there_is_refused(debugger: Debugger) -> None:
    with pytest.raises(RegistrationError, match="no module 'nobody'"):
        await debugger.make_test(module="nobody")
