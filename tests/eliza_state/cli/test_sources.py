"""Which files lines are taken from, and what their ids call them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eliza_state.cli.sources import open_sources
from eliza_state.cli.terminal import Misuse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "chat.jsonl").write_text("{}\n")
    return tmp_path / "chat.jsonl"


def test_a_file_is_called_by_its_own_name_and_shown_as_it_was_typed(file: Path) -> None:
    with open_sources([file], None) as (source,):
        assert source.name == "chat.jsonl"
        assert source.shown == str(file)
        assert source.stream.read() == b"{}\n"
    assert source.stream.closed


def test_a_single_file_may_be_given_a_name(file: Path) -> None:
    with open_sources([file], "monday") as (source,):
        assert source.name == "monday"


def test_standard_input_needs_a_name(file: Path) -> None:
    with pytest.raises(Misuse, match="--source NAME"), open_sources([Path("-")], None):
        pass
    with open_sources([file, Path("-")], "live") as sources:
        assert [source.name for source in sources] == ["chat.jsonl", "live"]


def test_a_name_for_several_files_is_refused(file: Path) -> None:
    (file.parent / "other.jsonl").touch()
    with (
        pytest.raises(Misuse, match="one at a time"),
        open_sources([file, file.parent / "other.jsonl"], "monday"),
    ):
        pass


def test_different_files_of_one_name_are_refused(file: Path) -> None:
    (file.parent / "sub").mkdir()
    other = file.parent / "sub" / "chat.jsonl"
    other.write_text("{}\n")
    with (
        pytest.raises(Misuse, match=r"would both be called 'chat\.jsonl'"),
        open_sources([file, other], None),
    ):
        pass


def test_one_file_by_two_paths_is_one_source(file: Path) -> None:
    detour = file.parent / "sub" / ".." / "chat.jsonl"
    (file.parent / "sub").mkdir()
    with open_sources([file, detour], None) as sources:
        assert [source.name for source in sources] == ["chat.jsonl", "chat.jsonl"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Misuse, match=f"cannot read '{path}'"), open_sources([path], None):
            pass
