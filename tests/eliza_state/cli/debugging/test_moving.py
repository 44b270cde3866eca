"""`export`, `import` and `fork` as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import everything, invoke
from tests.eliza_state.cli.debugging.asking import WEEKEND, refused, shown, told

COPY = ("--store", "sqlite:///copy.db")


def test_a_session_goes_from_store_to_store() -> None:
    text = shown("export", "-o", "session.jsonl")
    done = shown("import", "session.jsonl", *COPY)

    assert text.startswith("55 records: ")
    assert "55 stored, 0 already there; position 55\n" == done
    assert everything("sqlite:///state.db") == everything("sqlite:///copy.db")


def test_an_import_again_stores_nothing() -> None:
    shown("export", "-o", "session.jsonl")
    shown("import", "session.jsonl", *COPY)

    assert (0, 55) == ((found := told("import", "session.jsonl", *COPY))["records"], found["present"])


def test_a_scope_goes_to_another_path() -> None:
    exported = told("export", WEEKEND, "--first", 22, "--last", 30, "-o", "weekend.jsonl")
    imported = told("import", "weekend.jsonl", "--to", "agent:eliza/room:copy/conversation:c")

    assert exported["records"] == imported["records"]
    assert "session" not in exported["file"]
    assert exported["records"] == len(
        shown("log", "agent:eliza/room:copy", "--json", "--limit", 99).splitlines()
    )


def test_what_no_module_knows_is_refused_or_left_out(tmp_path: Path) -> None:
    write_stranger(tmp_path / "stranger.jsonl")

    code, text = refused("import", "stranger.jsonl", *COPY)
    assert 1 == code
    assert "error: line 2: no module here knows the event 'unheard_of'" in text
    assert "0 stored, 0 already there, 1 left out; position 0\n" == shown(
        "import", "stranger.jsonl", "--skip-unknown", *COPY
    )


def write_stranger(file: Path) -> None:
    """A session with an event that nobody knows."""
    import hashlib

    shown("export", "--last", 1, "-o", str(file))
    header, record, _ = file.read_text("utf-8").splitlines()
    known = json.loads(record)["event"]
    text = f"{header}\n{record.replace(known, 'unheard_of', 1)}\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(f'{text}{{"records":1,"sha256":"{digest}"}}\n', "utf-8")


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    shown("export", "-o", "session.jsonl")
    file = tmp_path / "session.jsonl"
    file.write_bytes(file.read_bytes()[:5_000])

    code, text = refused("import", "session.jsonl", *COPY)

    assert 1 == code
    assert "the file was cut off in this line" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["import", "none.jsonl"], 1, "none.jsonl"),
        (["import", "chat.jsonl"], 1, "line 1: it is no session"),
        (["export"], 2, "--output"),
        (["export", "agent:nobody", "-o", "x"], 1, "nothing at 'agent:nobody'"),
        (["export", "--first", "9", "--last", "3", "-o", "x"], 1, "is empty"),
        (["fork", "sqlite:///chat.jsonl"], 1, "there is a file"),
        (["fork", "memory://"], 2, "would be gone with this command"),
        (["fork", "sqlite:///new.db", "--at", "99"], 1, "positions go from 0 to 55, got 99"),
        (["fork", "sqlite:///none/new.db"], 1, "there is no folder"),
    ],
)
def test_what_cannot_be(arguments: list[str], code: int, message: str) -> None:
    result = invoke(*arguments)

    assert code == result.exit_code
    assert message in result.stderr


def test_a_fork_holds_what_was_there() -> None:
    assert "20 records up to position 20 in sqlite:///fork.db\n" == shown(
        "fork", "sqlite:///fork.db", "--at", 20
    )

    past, fork = (
        shown("snapshot", "--at", 20, "--json"),
        shown("snapshot", "--json", "--store", "sqlite:///fork.db"),
    )
    assert json.loads(past)["scopes"] == json.loads(fork)["scopes"]


def test_a_fork_of_a_scope_holds_what_it_needs() -> None:
    found = told("fork", "sqlite:///fork.db", "--path", WEEKEND)

    rows = shown("log", "--json", "--limit", 99, "--store", "sqlite:///fork.db").splitlines()
    assert found["records"] == len(rows) < 55
    assert all(
        f"{WEEKEND}/".startswith(f"{path}/") or path.startswith(WEEKEND) or not path
        for path in (json.loads(row)["path"] for row in rows)
    )
