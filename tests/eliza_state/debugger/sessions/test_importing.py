"""Taking a session into a store: what is there is as it was, each record once."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.change import Record
from eliza_state.debugger import Debugger
from eliza_state.errors import StoreError
from eliza_state.manager import StateManager
from eliza_state.testing import ManualClock
from tests.effort import examples
from tests.eliza_state.chat import AGENT, ROOM, TALK, Joined, Said
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.sessions.conftest import OpenTarget, SignedIn, modules
from tests.eliza_state.debugger.test_past import EVENTS


async def export(manager: StateManager, file: FilePath, *arguments: Any, **options: Any) -> None:
    await Debugger(manager).export_session(file, *arguments, **options)


async def records(manager: StateManager) -> list[Record]:
    return await manager.root.records(limit=None)


def facts(record: Record) -> Any:
    return (
        record.key,
        record.path,
        record.version,
        record.event,
        record.payload,
        record.recorded_at,
        record.cause,
    )


async def test_another_store_gets_the_same_states(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    wanted, found = await Debugger(manager).snapshot(), await Debugger(target).snapshot()
    assert {path: scope.slices for path, scope in wanted.scopes.items()} == {
        path: {name: state for name, state in scope.slices.items() if name != "tokens"}
        for path, scope in found.scopes.items()
    }
    assert (len(HISTORY), 0) == (told.records, told.present)


async def test_records_keep_ids_times_causes_and_order(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await manager.dispatch(Joined(user="cy"), to=ROOM, id="own id", cause="because")
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    assert list(map(facts, await records(manager))) == list(map(facts, await records(target)))
    assert 0 == told.moved


async def test_to_import_again_changes_nothing(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await export(manager, session)
    await Debugger(target).import_session(session)
    before = await records(target)

    told = await Debugger(target).import_session(session)

    assert (0, len(HISTORY)) == (told.records, told.present)
    assert before == await records(target)


async def test_where_it_comes_from_it_is_there_already(manager: StateManager, session: FilePath) -> None:
    await export(manager, session)

    assert len(HISTORY) == (await Debugger(manager).import_session(session)).present


async def test_what_an_import_left_undone_the_next_one_does(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await export(manager, session, last=3)
    await Debugger(target).import_session(session)
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    assert (len(HISTORY) - 3, 3) == (told.records, told.present)
    assert list(map(facts, await records(manager))) == list(map(facts, await records(target)))


async def test_a_scope_goes_to_another_path(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await export(manager, session, ROOM)

    told = await Debugger(target).import_session(session, to="agent:other/room:copy")

    copied = await target.at("agent:other/room:copy/conversation:c1").state("talk")
    assert await manager.at(TALK).state("talk") == copied
    assert "agent:other/room:copy" == told.path.encode()


async def test_beside_others_versions_go_on_and_times_never_back(
    manager: StateManager, open_target: OpenTarget, session: FilePath
) -> None:
    target = await open_target(clock=ManualClock(1_800_000_000_000_000))
    await target.dispatch(Said(user="cy", text="first"), to=TALK)
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    found = await records(target)
    assert [1, 2, 3, 4, 5] == [record.version for record in found if record.path == TALK]
    assert len(HISTORY) == told.moved
    assert sorted(record.recorded_at_us for record in found) == [record.recorded_at_us for record in found]


async def test_live_scopes_and_receivers_learn_of_it(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    heard: list[Any] = []
    target.subscribe(heard.append, below=TALK)
    assert not (await target.at(TALK).state("talk")).texts
    await export(manager, session)

    await Debugger(target).import_session(session)

    assert ["hello", "Hello yourself", "bye"] == list((await target.at(TALK).state("talk")).texts)
    assert ["remote"] * 3 == [change.origin for change in heard]


async def test_dispatching_goes_on_after_it(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await export(manager, session)
    await Debugger(target).import_session(session)

    change = await target.dispatch(Said(user="ada", text="again"), to=TALK)

    assert (len(HISTORY) + 1, 5) == (change.position, change.version)


async def test_erased_records_stay_erased(
    manager: StateManager, target: StateManager, session: FilePath
) -> None:
    await manager.erase(TALK, until=3)
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    assert 2 == told.erased
    assert [2, 3] == [record.position for record in await records(target) if record.is_erased]
    assert await manager.at(TALK).state("talk") == await target.at(TALK).state("talk")


async def test_what_was_erased_does_not_come_back(manager: StateManager, session: FilePath) -> None:
    await export(manager, session)
    await manager.erase(TALK)
    before = await records(manager)

    await Debugger(manager).import_session(session)

    assert before == await records(manager)


async def test_masked_secrets_come_as_placeholders_with_a_warning(
    opened: Open, target: StateManager, session: FilePath
) -> None:
    manager = await opened(modules=modules())
    signed_in = SignedIn(token=Secret("hunter2"), pin=Secret(1234), key=Secret(b"key"))
    await manager.dispatch(signed_in, to=AGENT)
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    found = (await target.at(AGENT).state("tokens")).last
    assert ("[SECRET]", 0, b"") == (found.token.reveal(), found.pin.reveal(), found.key.reveal())
    assert 3 == told.masked
    assert ("3 secrets were masked: placeholders stand in their place",) == told.warnings


async def test_revealed_secrets_come_whole(opened: Open, target: StateManager, session: FilePath) -> None:
    manager = await opened(modules=modules())
    signed_in = SignedIn(token=Secret("hunter2"), pin=Secret(1234), key=Secret(b"key"))
    await manager.dispatch(signed_in, to=AGENT)
    await export(manager, session, reveal_secrets=True)

    told = await Debugger(target).import_session(session)

    assert signed_in == (await target.at(AGENT).state("tokens")).last
    assert (0, ()) == (told.masked, told.warnings)


async def test_where_followers_stood_is_left_out(
    opened: Open, target: StateManager, session: FilePath
) -> None:
    manager = await opened()
    await manager.follow("indexer", lambda _told, _write: None)
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)
    await export(manager, session)

    told = await Debugger(target).import_session(session)

    assert {"said"} == {record.event for record in await records(target)}
    assert told.skipped > 0


async def test_a_store_that_is_only_read_takes_nothing(
    opened: Open, sqlite_url: str, session: FilePath
) -> None:
    manager = await opened(sqlite_url)
    await manager.dispatch(Said(user="ada", text="x"), to=TALK)
    await export(manager, session)
    reader = await opened(sqlite_url, read_only=True)

    with pytest.raises(StoreError, match="open for reading only"):
        await Debugger(reader).import_session(session)


async def test_a_buffered_store_takes_it_too(
    manager: StateManager, opened: Open, session: FilePath, tmp_path: FilePath
) -> None:
    await export(manager, session)
    url = f"sqlite:///{tmp_path}/buffered.db"
    async with StateManager.open(url, modules=modules(), durability="buffered") as target:
        await target.dispatch(Said(user="cy", text="first"), to=TALK)
        await Debugger(target).import_session(session)
        await target.dispatch(Said(user="cy", text="last"), to=TALK)
    again = await opened(url)

    assert ["first", "hello", "Hello yourself", "bye", "last"] == list(
        (await again.at(TALK).state("talk")).texts
    )


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=12))
async def test_states_come_out_equal(tmp_path_factory: pytest.TempPathFactory, facts: Any) -> None:
    file = tmp_path_factory.mktemp("session") / "session.jsonl"
    async with (
        StateManager.open(modules=modules()) as manager,
        StateManager.open(modules=modules()) as target,
    ):
        for fact, path in facts:
            await manager.dispatch(fact, to=path)
        await export(manager, file)
        await Debugger(target).import_session(file)

        assert await manager.state() == await target.state()
