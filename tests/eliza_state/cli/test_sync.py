"""`eliza-state sync`: what it does, what it tells, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eliza_state.cli.command import everything, invoke, line, said

LAPTOP, PHONE = "sqlite:///laptop.db", "sqlite:///phone.db"


def ingest(store: str, *lines: str, name: str) -> None:
    Path(f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    assert invoke("ingest", f"{name}.jsonl", "--store", store).exit_code == 0


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stores in the current folder that have one record in common, and one each of their own."""
    monkeypatch.chdir(tmp_path)
    ingest(LAPTOP, said("m1"), name="first")
    assert invoke("sync", LAPTOP, PHONE, "--create").exit_code == 0
    ingest(LAPTOP, line("topic_updated", {"topic": "green"}), name="laptop")
    ingest(PHONE, line("topic_updated", {"topic": "black"}), name="phone")


def test_it_makes_two_stores_equal_and_tells_what_they_did_not_agree_on() -> None:
    result = invoke("sync", LAPTOP, PHONE)
    told = result.stdout.splitlines()

    assert (0, "") == (result.exit_code, result.stderr)
    assert told[0].startswith(f"{LAPTOP}: 1 record came (")
    assert "1 slice changed on both sides" in told
    assert '    topic: "green" | "black" → "black"' == told[-1]
    assert everything(LAPTOP) == everything(PHONE)


def test_a_dry_run_stores_nothing() -> None:
    before = everything(LAPTOP)

    result = invoke("sync", LAPTOP, PHONE, "--dry-run")

    assert 0 == result.exit_code
    assert "1 record would come" in result.stdout
    assert '    topic: "green" | "black"' == result.stdout.splitlines()[-1]
    assert before == everything(LAPTOP)


def test_as_json_it_is_an_object() -> None:
    told = json.loads(invoke("sync", LAPTOP, PHONE, "--json").stdout)
    (found,) = told["conflicts"][0]["disagreements"]

    assert (True, False, [1, 1]) == (
        told["whole"],
        told["dry_run"],
        [side["records"] for side in told["sides"]],
    )
    assert {"place": "topic", "local": "green", "remote": "black", "chosen": "black"}.items() <= found.items()


def test_a_name_is_a_file_that_carries_records() -> None:
    for store in (LAPTOP, PHONE, LAPTOP):
        assert invoke("sync", store, "stick.replica").exit_code == 0

    assert everything(LAPTOP) == everything(PHONE)


def test_what_is_left_for_later_is_told_by_the_exit_code() -> None:
    result = invoke("sync", LAPTOP, PHONE, "--max-drift", "0")

    assert result.exit_code == 0  # none is from the future

    Path("late.db").unlink(missing_ok=True)
    lines = [json.loads(text) for text in _exported()]
    lines[1]["at"][0] += 10**12
    _write(lines)

    result = invoke("sync", "late.replica", "sqlite:///late.db", "--create")

    assert 1 == result.exit_code
    assert "from the future left for later" in result.stdout


def _exported() -> list[str]:
    assert invoke("sync", LAPTOP, "late.replica").exit_code == 0
    return Path("late.replica").read_text("utf-8").splitlines()


def _write(lines: list[dict[str, object]]) -> None:
    import hashlib

    text = "".join(f"{json.dumps(told)}\n" for told in lines[:-1])
    end = {**lines[-1], "sha256": hashlib.sha256(text.encode()).hexdigest()}
    Path("late.replica").write_text(text + json.dumps(end) + "\n", "utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((LAPTOP, "sqlite:///none.db"), "error: there is no store at "),
        (("a.replica", "b.replica"), "error: of two replicas one is a store"),
        ((LAPTOP, LAPTOP), "error: another manager has "),
        (("memory://", LAPTOP), "error: a replica is a SQLite file"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, str], reason: str) -> None:
    result = invoke("sync", *arguments)

    assert (1, 1) == (result.exit_code, result.stderr.count("\n"))
    assert result.stderr.startswith(reason)


def test_stores_without_a_common_record_are_joined_when_that_is_said() -> None:
    ingest("sqlite:///other.db", said("m9"), name="other")

    refused = invoke("sync", LAPTOP, "sqlite:///other.db")
    joined = invoke("sync", LAPTOP, "sqlite:///other.db", "--join")

    assert (1, 0) == (refused.exit_code, joined.exit_code)
    assert "no record in common" in refused.stderr
