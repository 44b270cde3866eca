"""Files that are no session, or not a whole one: each is refused with the line, and nothing is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.debugger import Debugger
from eliza_state.debugger.sessions import InvalidSession
from eliza_state.manager import StateManager
from tests.eliza_state.chat import ROOM, TALK, TotalsModule
from tests.eliza_state.conftest import Open
from tests.eliza_state.debugger.conftest import HISTORY
from tests.eliza_state.debugger.sessions.conftest import text_of


@pytest.fixture
async def lines(manager: StateManager, session: FilePath) -> list[str]:
    """The lines of a session of the whole history."""
    await Debugger(manager).export_session(session)
    return text_of(session).splitlines(keepends=True)


def write(file: FilePath, lines: list[str], *, is_closed: bool = True) -> None:
    """Write a file of lines; a closed one has a checksum that fits."""
    if is_closed:
        digest = hashlib.sha256("".join(lines[:-1]).encode()).hexdigest()
        lines = [
            *lines[:-1],
            json.dumps({"records": len(lines) - 2, "sha256": digest}, separators=(",", ":")) + "\n",
        ]
    file.write_text("".join(lines), "utf-8")


def changed(line: str, **changes: Any) -> str:
    return json.dumps({**json.loads(line), **changes}) + "\n"


def test_it_has_a_header_a_record_a_line_and_a_checksum(lines: list[str]) -> None:
    header, record, end = (json.loads(lines[number]) for number in (0, 2, -1))

    assert ("eliza-state session", 1, "masked", 8) == (
        header["format"],
        header["version"],
        header["secrets"],
        header["last"],
    )
    assert {"user": "ada", "text": "hello"} == record["payload"]
    assert (2, TALK.encode(), "said", "2026-01-01T00:00:01Z") == (
        record["position"],
        record["path"],
        record["event"],
        record["recorded_at"],
    )
    assert (len(HISTORY), hashlib.sha256("".join(lines[:-1]).encode()).hexdigest()) == (
        end["records"],
        end["sha256"],
    )


Spoil = Callable[[list[str]], list[str]]

SPOILED: list[tuple[Spoil, int | None, str]] = [
    (lambda lines: [], 1, "it is no session"),
    (lambda lines: ["{}\n", *lines[1:]], 1, "it is no session"),
    (lambda lines: ["\x00\x01"], 1, "it is no session"),
    (
        lambda lines: [changed(lines[0], version=2), *lines[1:]],
        1,
        "version 2 of the format, known here up to 1",
    ),
    (lambda lines: [changed(lines[0], colour="red"), *lines[1:]], 1, "colour"),
    (lambda lines: [*lines[:3], lines[3][:20]], 4, "cut off in this line"),
    (lambda lines: [*lines[:3], "nonsense\n", *lines[4:]], 4, "no line of a session"),
    (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "position 2 comes after position 2"),
    (lambda lines: [*lines, lines[2]], 11, "ends before this line"),
]


@pytest.mark.parametrize(("spoil", "line", "reason"), SPOILED)
async def test_what_is_no_session_is_refused(
    lines: list[str], session: FilePath, target: StateManager, spoil: Spoil, line: int | None, reason: str
) -> None:
    write(session, spoil(lines), is_closed=False)

    with pytest.raises(InvalidSession, match=reason) as raised:
        await Debugger(target).import_session(session)

    assert line == raised.value.line
    assert 0 == await target.position()


async def test_a_file_that_was_cut_off_between_lines_is_refused(
    lines: list[str], session: FilePath, target: StateManager
) -> None:
    write(session, lines[:-1], is_closed=False)

    with pytest.raises(InvalidSession, match="cut off after line 9"):
        await Debugger(target).import_session(session)

    assert 0 == await target.position()


async def test_a_file_that_was_changed_is_refused(
    lines: list[str], session: FilePath, target: StateManager
) -> None:
    write(session, [lines[0], lines[1].replace("ada", "eve"), *lines[2:]], is_closed=False)

    with pytest.raises(InvalidSession, match="line 10: the checksum is another"):
        await Debugger(target).import_session(session)

    assert 0 == await target.position()


async def test_a_file_that_lacks_a_record_is_refused(
    lines: list[str], session: FilePath, target: StateManager
) -> None:
    write(session, [*lines[:3], *lines[4:]], is_closed=False)

    with pytest.raises(InvalidSession, match="8 records were written, there are 7"):
        await Debugger(target).import_session(session)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"path": "agent:other"}, "does not lie below"),
        ({"path": "agent"}, "a path is written"),
        ({"payload": {"nobody": 1}}, "said"),
        ({"payload": {"user": {"_type": "Secret", "sealed": True, "data": "k:x"}, "text": ""}}, "sealed"),
        ({"schema_version": 2}, "'said' of schema version 2, known up to 1"),
        ({"event": "unheard_of"}, "no module here knows the event 'unheard_of'"),
    ],
)
async def test_a_record_that_cannot_be_stored_is_refused_with_its_line(
    manager: StateManager, session: FilePath, target: StateManager, changes: Any, reason: str
) -> None:
    await Debugger(manager).export_session(session, ROOM, last=3)
    lines = text_of(session).splitlines(keepends=True)
    write(session, [*lines[:2], changed(lines[2], **changes), *lines[3:]])

    with pytest.raises(InvalidSession, match=reason) as raised:
        await Debugger(target).import_session(session)

    assert 3 == raised.value.line
    assert 0 == await target.position()


async def test_unknown_events_are_left_out_where_that_is_asked_for(
    lines: list[str], session: FilePath, opened: Open
) -> None:
    target = await opened(modules=[TotalsModule()])

    told = await Debugger(target).import_session(session, skip_unknown=True)

    assert 1 == told.skipped
    assert len(HISTORY) - 1 == told.records
    assert any("'talk' of the other store is not registered here" in warning for warning in told.warnings)


async def test_an_id_of_another_event_is_refused_with_its_line(
    lines: list[str], session: FilePath, manager: StateManager
) -> None:
    write(session, [*lines[:2], changed(lines[2], payload={"user": "eve", "text": "no"}), *lines[3:]])

    with pytest.raises(InvalidSession, match=r"line 3: the id .* belongs to another event"):
        await Debugger(manager).import_session(session)


async def test_a_path_that_leads_nowhere_is_refused(
    lines: list[str], session: FilePath, target: StateManager
) -> None:
    with pytest.raises(InvalidSession, match=r"line 2: .*leaves the hierarchy"):
        await Debugger(target).import_session(session, to="agent:other")


async def test_a_file_that_is_not_there_is_an_error(target: StateManager, session: FilePath) -> None:
    with pytest.raises(FileNotFoundError):
        await Debugger(target).import_session(session)
