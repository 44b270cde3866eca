"""The synchronous face: the same manager, for threads that wait."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.change import Change
from eliza_state.dispatcher import Dispatch
from eliza_state.errors import InvalidPath, RegistrationError, Rejected, StateError, StoreError
from eliza_state.lifecycle import Phase
from eliza_state.manager import StateManager
from eliza_state.path import Path
from eliza_state.portal import SyncScope, SyncStateManager
from eliza_state.query import F
from eliza_state.query.queries import Queries
from eliza_state.scope import Scope
from eliza_state.telling import Telling
from eliza_state.testing import RecordingReceiver
from tests.eliza_state import chat
from tests.eliza_state.chat import OTHER, ROOM, TALK, Closed, Drawn, Exploded, Joined, Said

ROOT = FilePath(__file__).parents[2]


@pytest.fixture
def manager(url: str) -> Iterator[SyncStateManager]:
    """An open store of each kind in which nothing has happened yet."""
    with SyncStateManager.open(url, modules=chat.modules()) as manager:
        yield manager


@pytest.fixture
def talk(manager: SyncStateManager) -> SyncScope:
    """The handle on a conversation."""
    return manager.agent("eliza").room("general").conversation("c1")


# One manager, another face


def parameters(function: Any) -> dict[str, Any]:
    return {
        name: (parameter.kind, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }


@pytest.mark.parametrize(("face", "original"), [(SyncStateManager, StateManager), (SyncScope, Scope)])
def test_every_method_has_its_counterpart_with_the_same_parameters(face: type, original: type) -> None:
    names = [name for name, _ in inspect.getmembers(original, inspect.isfunction) if not name.startswith("_")]
    assert names

    missing = [name for name in names if not hasattr(face, name)]
    different = [
        name
        for name in names
        if name not in missing and parameters(getattr(face, name)) != parameters(getattr(original, name))
    ]
    assert (missing, different) == ([], [])
    assert parameters(SyncStateManager.open) == parameters(StateManager.open)


def test_who_is_told_of_changes_asks_with_the_same_parameters() -> None:
    assert parameters(Telling.subscribe) == parameters(SyncStateManager.subscribe)
    assert parameters(Telling.changes).items() <= parameters(SyncStateManager.changes).items()


def test_a_query_has_the_parameters_of_queries() -> None:
    asked = parameters(Queries.find)

    assert asked == parameters(SyncStateManager.query)


def test_entries_are_found_wherever_they_are(manager: SyncStateManager, talk: SyncScope) -> None:
    talk.dispatch(Said(user="ada", text="hello"))
    manager.dispatch(Said(user="ada", text="hello"), to=OTHER)

    answer = manager.query("talk", of="texts", where=F.value == "hello", limit=1)
    rest = manager.query("talk", of="texts", where=F.value == "hello", limit=1, after=answer.cursor)
    below = manager.query("talk", of="texts", below=talk)

    assert [[match.path for match in found] for found in (answer, rest, below)] == [[TALK], [OTHER], [TALK]]


def test_events_go_in_and_states_come_out(manager: SyncStateManager, talk: SyncScope) -> None:
    change = talk.dispatch(Said(user="ada", text="hello"))
    again = manager.dispatch("said", {"user": "bo", "text": "hi"}, to=talk, id="x")

    assert (change.position, again.position, again.record.id) == (1, 2, "x")
    assert list(talk.state(chat.TalkModule).texts) == ["hello", "hi"]
    assert list(talk.state(chat.TalkModule, at=1).texts) == ["hello"]
    assert talk.state("talk") == talk.state()["talk"]
    assert talk.version() == 2
    assert talk.phase() is Phase.ACTIVE
    assert talk.path == TALK
    assert talk.level == "conversation"
    assert [record.event for record in talk.records(newest_first=True)] == ["said", "said"]
    activity = talk.last_activity()
    assert activity is not None
    assert manager.position_at(activity) == manager.position() == 2
    assert manager.position_at(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)) == 0


def test_handles_lead_everywhere(manager: SyncStateManager) -> None:
    manager.at(TALK).dispatch(Said(user="ada", text="hello"))

    assert [child.path for child in manager.at(ROOM).children()] == [TALK]
    assert manager.root.path == Path()
    assert manager.agent("a").user("u").path == manager.root.child("agent", "a").child("user", "u").path
    message = manager.at(TALK).message("m").path
    assert message.encode() == "agent:eliza/room:general/conversation:c1/message:m"
    assert manager.state() == manager.root.tree()
    assert manager.at(ROOM).tree(depth=0).children == ()
    with pytest.raises(InvalidPath):
        manager.root.room("general")


def test_several_events_go_in_as_one(manager: SyncStateManager) -> None:
    first, second = manager.dispatch_all(
        [(Joined(user="ada"), ROOM), Dispatch(Said(user="ada", text="x"), TALK)]
    )
    refused, taken = manager.dispatch_all(
        [(Said(user="ada"), TALK), (Said(user="ada", text="y"), TALK)], return_exceptions=True
    )

    assert (first.position, second.position) == (1, 2)
    assert isinstance(refused, Rejected)
    assert isinstance(taken, Change)


def test_a_decision_is_made_on_the_present_state(manager: SyncStateManager, talk: SyncScope) -> None:
    talk.execute(lambda state: [Said(user="ada", text=str(len(state.texts)))], module=chat.TalkModule)
    manager.execute(talk, lambda state: [Said(user="ada", text=str(len(state["talk"].texts)))])

    assert list(talk.state(chat.TalkModule).texts) == ["0", "1"]


def test_a_module_may_come_later(url: str) -> None:
    totals, *others = chat.modules()
    with SyncStateManager.open(url, modules=others) as manager:
        manager.dispatch(Said(user="ada", text="x"), to=TALK)
        manager.register_module(totals)

        assert manager.root.state(chat.TotalsModule).said == 1
        assert manager.tree.slice_name("totals", level="global") == "totals"


def test_what_others_wrote_is_taken_in(sqlite_url: str) -> None:
    with (
        SyncStateManager.open(sqlite_url, modules=chat.modules()) as one,
        SyncStateManager.open(sqlite_url, modules=chat.modules(), read_only=True) as other,
    ):
        one.dispatch(Said(user="ada", text="x"), to=TALK)

        assert other.refresh() == 1
        assert other.at(TALK).version() == 1
        assert other.journal.head() == 1


# Errors


def test_errors_come_as_they_are_with_the_way_they_took(talk: SyncScope) -> None:
    with pytest.raises(Rejected) as caught:
        talk.dispatch(Said(user="ada"))

    assert caught.value.reason == "nothing was said"
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[0] == "test_errors_come_as_they_are_with_the_way_they_took"
    assert "run" in frames
    assert "reduce" in frames


def test_a_bug_in_a_module_does_not_harm_the_portal(talk: SyncScope) -> None:
    with pytest.raises(StateError, match="failed to reduce"):
        talk.dispatch(Exploded(level="conversation"))

    assert talk.version() == 0


def test_what_cannot_be_opened_is_told_where_it_is_opened(tmp_path: FilePath) -> None:
    threads = threading.active_count()
    with pytest.raises(StoreError, match="there is no store"):
        SyncStateManager.open(f"sqlite:///{tmp_path}/none.db", read_only=True)
    with pytest.raises(RegistrationError):
        SyncStateManager.open(modules=[chat.TalkModule(), chat.TalkModule()])

    assert threading.active_count() <= threads + 1  # the first one's thread may be ending


# Closing


def test_a_closed_manager_says_so(manager: SyncStateManager, talk: SyncScope) -> None:
    talk.dispatch(Said(user="ada", text="x"))
    manager.close()
    manager.close()

    for call in (talk.version, talk.children, manager.position, manager.flush, manager.changes):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_closing_ends_the_threads(sqlite_url: str) -> None:
    before = set(threading.enumerate())
    with SyncStateManager.open(sqlite_url, modules=chat.modules()) as manager:
        manager.at(TALK).dispatch(Said(user="ada", text="x"))
        assert len(set(threading.enumerate()) - before) > 1

    assert set(threading.enumerate()) - before == set()


def test_closing_writes_what_is_buffered(sqlite_url: str) -> None:
    with SyncStateManager.open(sqlite_url, modules=chat.modules(), durability="buffered") as manager:
        manager.dispatch(Said(user="ada", text="x"), to=TALK)

    with SyncStateManager.open(sqlite_url, modules=chat.modules()) as manager:
        assert manager.position() == 1


def test_several_threads_may_close(manager: SyncStateManager) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: manager.close(), range(8)))

    with pytest.raises(StoreError, match="closed"):
        manager.position()


SCRIPT = """
from eliza_state.portal import SyncStateManager
from tests.eliza_state import chat
manager = SyncStateManager.open({url!r}, modules=chat.modules(), durability={durability!r})
manager.dispatch(chat.Said(user="ada", text="x"), to=chat.TALK)
print("done")
"""


@pytest.mark.parametrize("durability", ["committed", "buffered"])
def test_a_manager_that_nobody_closes_is_written_and_lets_the_interpreter_end(
    sqlite_url: str, durability: str
) -> None:
    sources = os.pathsep.join(str(ROOT / name) for name in (".", "modules", "serializers"))

    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", SCRIPT.format(url=sqlite_url, durability=durability)],
        env={**os.environ, "PYTHONPATH": sources},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout, "Traceback" in ended.stderr) == (0, "done\n", False)
    with SyncStateManager.open(sqlite_url, modules=chat.modules()) as manager:
        assert manager.position() == 1


# Threads and loops


def test_threads_may_share_a_manager(manager: SyncStateManager, talk: SyncScope) -> None:
    def work(number: int) -> list[int]:
        scope = manager.at(TALK if number % 2 else OTHER)
        return [scope.dispatch(Said(user=f"u{number}", text=str(count))).position for count in range(20)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(8)))

    assert sorted(position for positions in found for position in positions) == list(range(1, 161))
    assert all(positions == sorted(positions) for positions in found)
    counts = talk.state(chat.TalkModule).counts
    assert dict(counts.items()) == {f"u{number}": 20 for number in (1, 3, 5, 7)}


async def test_it_works_inside_a_running_event_loop(url: str) -> None:
    await asyncio.sleep(0)

    with SyncStateManager.open(url, modules=chat.modules()) as manager:
        manager.dispatch(Said(user="ada", text="x"), to=TALK)

        assert manager.position() == 1


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_an_interrupted_call_leaves_the_manager_usable(manager: SyncStateManager, talk: SyncScope) -> None:
    interrupted = threading.Event()

    def decide(_state: Any) -> list[Any]:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        interrupted.wait(10)
        return [Said(user="ada", text="x")]

    with pytest.raises(KeyboardInterrupt):
        talk.execute(decide)
    interrupted.set()
    talk.dispatch(Said(user="ada", text="y"))

    texts = list(talk.state(chat.TalkModule).texts)
    assert texts in (["x", "y"], ["y"])
    assert talk.version() == manager.position() == len(texts)


# Being told


def test_a_plain_receiver_is_told_before_the_dispatch_returns(
    manager: SyncStateManager, talk: SyncScope
) -> None:
    receiver = RecordingReceiver()
    with manager.subscribe(receiver, below=manager.at(ROOM), event=Said) as subscription:
        talk.dispatch(Said(user="ada", text="x"))
        manager.dispatch(Drawn(amount=1), to="agent:eliza")
    talk.dispatch(Said(user="ada", text="y"))
    subscription.cancel()

    assert receiver.positions == [1]


def test_a_coroutine_receiver_may_be_waited_for(manager: SyncStateManager, talk: SyncScope) -> None:
    heard: list[int] = []

    async def receiver(change: Change) -> None:
        await asyncio.sleep(0)
        heard.append(change.position)

    manager.subscribe(receiver)
    talk.dispatch(Said(user="ada", text="x"))
    manager.settled()

    assert heard == [1]


def test_a_receiver_that_calls_the_manager_is_told_instead_of_waiting_for_ever(
    manager: SyncStateManager, talk: SyncScope
) -> None:
    def receiver(_change: Change) -> None:
        talk.dispatch(Said(user="eliza", text="echo"))

    def closer(_change: Change) -> None:
        manager.close()

    manager.subscribe(receiver)
    manager.subscribe(closer)
    talk.dispatch(Said(user="ada", text="x"))

    told = [problem.message for problem in manager.problems]
    assert "cannot wait there" in told[0]
    assert "cannot close" in told[1]


def test_a_receiver_may_cancel_itself(manager: SyncStateManager, talk: SyncScope) -> None:
    heard: list[int] = []

    def once(change: Change) -> None:
        heard.append(change.position)
        subscription.cancel()

    subscription = manager.subscribe(once)
    talk.dispatch(Said(user="ada", text="x"))
    talk.dispatch(Said(user="ada", text="y"))

    assert heard == [1]
    assert list(manager.problems) == []


def test_a_subscription_may_be_cancelled_after_the_end(manager: SyncStateManager) -> None:
    subscription = manager.subscribe(RecordingReceiver())
    changes = manager.changes()
    manager.close()

    subscription.cancel()
    changes.close()

    assert list(changes) == []


def test_changes_are_waited_for(manager: SyncStateManager, talk: SyncScope) -> None:
    changes = manager.changes(below=TALK, module="talk")

    def work() -> None:
        for count in range(3):
            manager.at(OTHER).dispatch(Said(user="ada", text="elsewhere"))
            talk.dispatch(Said(user="ada", text=str(count)))

    thread = threading.Thread(target=work)
    thread.start()
    found = [next(changes).event.text for _ in range(3)]
    thread.join()

    assert found == ["0", "1", "2"]


def test_changes_end_when_none_comes_in_time_and_may_be_taken_up_again(
    manager: SyncStateManager, talk: SyncScope
) -> None:
    with manager.changes(timeout_s=0.01) as changes:
        talk.dispatch(Said(user="ada", text="x"))
        assert [change.position for change in changes] == [1]
        talk.dispatch(Said(user="ada", text="y"))
        assert [change.position for change in changes] == [2]
    talk.dispatch(Said(user="ada", text="z"))

    assert list(changes) == []


def test_changes_end_with_the_manager(manager: SyncStateManager, talk: SyncScope) -> None:
    changes = manager.changes()
    found: list[Change] = []
    started = threading.Event()

    def listen() -> None:
        for change in changes:
            found.append(change)
            started.set()

    thread = threading.Thread(target=listen)
    thread.start()
    talk.dispatch(Said(user="ada", text="x"))
    started.wait(10)
    manager.close()
    thread.join(10)

    assert not thread.is_alive()
    assert len(found) == 1


def test_changes_that_were_lost_are_told(manager: SyncStateManager, talk: SyncScope) -> None:
    changes = manager.changes(queue_size=1)
    for count in range(3):
        talk.dispatch(Said(user="ada", text=str(count)))

    assert next(changes).position == 1
    with pytest.raises(StateError, match="changes were lost"):
        next(changes)


def test_a_scope_that_ended_says_so(talk: SyncScope) -> None:
    talk.dispatch(Closed())

    assert talk.phase() is Phase.ARCHIVED
    with pytest.raises(StateError, match="has ended"):
        talk.dispatch(Said(user="ada", text="x"))
