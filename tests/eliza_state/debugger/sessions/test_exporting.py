"""Writing a session: which records, what of their secrets, and the file as one piece."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_serializers import Secret
from eliza_serializers.sealing import SecretKeys
from eliza_state.debugger import Debugger, NoSuchPoint
from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from tests.eliza_state.chat import AGENT, TALK
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.sessions.conftest import SignedIn, modules, text_of

KEYS = SecretKeys({"k": b"1" * 32})


def told(file: FilePath) -> list[dict[str, Any]]:
    """The records in a file."""
    return [json.loads(line) for line in text_of(file).splitlines()[1:-1]]


def write(file: FilePath, text: str) -> None:
    file.write_text(text, "utf-8")


async def test_it_holds_the_records_at_and_below_a_scope(debugger: Debugger, session: FilePath) -> None:
    exported = await debugger.export_session(session, TALK)

    assert [2, 3, 6, 7] == [record["position"] for record in told(session)]
    assert (4, 0, 0, len(text_of(session))) == (
        exported.records,
        exported.erased,
        exported.damaged,
        exported.size_bytes,
    )


async def test_it_holds_those_of_a_range(debugger: Debugger, session: FilePath) -> None:
    await debugger.export_session(session, first=3, last=5)

    assert [3, 4, 5] == [record["position"] for record in told(session)]


async def test_the_same_again_is_the_same_file(debugger: Debugger, session: FilePath) -> None:
    await debugger.export_session(session)
    before = text_of(session)

    await debugger.export_session(session)

    assert before == text_of(session)


async def test_erased_records_are_there_without_content(
    debugger: Debugger, manager: StateManager, session: FilePath
) -> None:
    await manager.erase(TALK, until=2)

    exported = await debugger.export_session(session)

    assert 1 == exported.erased
    assert [2] == [record["position"] for record in told(session) if "payload" not in record]


async def open_with_secrets(opened: Open, url: str, **options: Any) -> StateManager:
    manager: StateManager = await opened(url, modules=modules(), **options)
    await manager.dispatch(SignedIn(token=Secret("hunter2"), pin=Secret(1234)), to=AGENT)
    return manager


@pytest.mark.parametrize("options", [{}, {"secret_keys": KEYS}])
async def test_secrets_are_masked(opened: Open, url: str, session: FilePath, options: Any) -> None:
    manager = await open_with_secrets(opened, url, **options)

    exported = await Debugger(manager).export_session(session)

    text = text_of(session)
    assert "hunter2" not in text
    assert "1234" not in text
    assert "sealed" not in text
    assert 2 == exported.masked


@pytest.mark.parametrize("options", [{}, {"secret_keys": KEYS}])
async def test_they_are_revealed_on_demand(opened: Open, url: str, session: FilePath, options: Any) -> None:
    manager = await open_with_secrets(opened, url, **options)

    await Debugger(manager).export_session(session, reveal_secrets=True)

    assert {"_type": "Secret", "data": "hunter2"} == told(session)[0]["payload"]["token"]
    assert {"_type": "Secret", "data": 1234} == told(session)[0]["payload"]["pin"]


async def test_a_secret_whose_key_is_not_given_cannot_be_revealed(
    opened: Open, sqlite_url: str, session: FilePath
) -> None:
    await (await open_with_secrets(opened, sqlite_url, secret_keys=KEYS)).close()
    manager = await opened(sqlite_url, modules=modules())

    with pytest.raises(StateError, match="position 1 cannot be exported with secrets"):
        await Debugger(manager).export_session(session, reveal_secrets=True)


async def test_an_export_that_fails_leaves_what_was_there(
    opened: Open, sqlite_url: str, session: FilePath
) -> None:
    write(session, "before")
    await (await open_with_secrets(opened, sqlite_url, secret_keys=KEYS)).close()
    manager = await opened(sqlite_url, modules=modules())

    with pytest.raises(StateError):
        await Debugger(manager).export_session(session, reveal_secrets=True)

    assert "before" == text_of(session)
    assert [] == list(session.parent.glob("*temporary*"))


async def test_no_records_are_no_session(debugger: Debugger, session: FilePath) -> None:
    with pytest.raises(StateError, match="no records at or below"):
        await debugger.export_session(session, "agent:nobody")

    assert not text_of(session)


async def test_positions_beyond_the_journal_are_refused(debugger: Debugger, session: FilePath) -> None:
    with pytest.raises(NoSuchPoint):
        await debugger.export_session(session, last=len(HISTORY) + 1)
