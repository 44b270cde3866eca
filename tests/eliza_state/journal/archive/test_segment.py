"""Segment files: whole after a power cut, swept when nobody names them, told where the disk is full."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path as FilePath

import pytest

from eliza_state.errors import StoreError
from eliza_state.files import Files
from eliza_state.journal.archive.segment import Segments
from eliza_state.testing import CrashFiles, FailingFiles


def test_a_power_cut_leaves_no_part_of_one(tmp_path: FilePath) -> None:
    files = CrashFiles(tmp_path)
    segments = Segments(tmp_path / "archive", files)
    name, offsets = segments.write([b"first", b"second"])
    whole = b"first" + b"second"

    for state in files.states():
        left = Segments(tmp_path / "archive", state.mount())
        for found in left.names():
            assert whole == left.read(found, offset=offsets[0], length=99)
    for state in files.states(after=len(files.operations)):
        assert [name] == Segments(tmp_path / "archive", state.mount()).names()


def test_blocks_are_read_alone(tmp_path: FilePath) -> None:
    segments = Segments(tmp_path / "archive")
    name, (first, second) = segments.write([b"first", b"second"])

    assert b"first" == segments.read(name, offset=first, length=5)
    assert b"second" == segments.read(name, offset=second, length=6)


def test_it_is_known_what_else_a_file_holds(tmp_path: FilePath) -> None:
    segments = Segments(tmp_path)
    name, (first, second, third) = segments.write([b"first", b"second", b"third"])

    assert segments.is_packed(name, [(first, 5), (second, 6), (third, 5)])
    for named in ([(first, 5), (second, 6)], [(second, 6), (third, 5)], [(first, 5), (third, 5)], []):
        assert not segments.is_packed(name, named)


def test_what_nobody_names_is_swept_and_nothing_else(tmp_path: FilePath) -> None:
    segments = Segments(tmp_path)
    kept, _ = segments.write([b"kept"])
    left, _ = segments.write([b"left"])
    (tmp_path / f"{left}.temporary-1").write_bytes(b"torn")
    (tmp_path / "notes.txt").write_bytes(b"somebody else's")

    segments.sweep([kept])

    assert {kept, "notes.txt"} == {file.name for file in tmp_path.iterdir()}


def test_without_a_folder_there_is_nothing(tmp_path: FilePath) -> None:
    assert [] == Segments(None).names()
    with pytest.raises(StoreError, match="archive=folder"):
        Segments(None).write([b""])


def test_a_file_that_could_not_be_written_is_not_there(tmp_path: FilePath) -> None:
    for number in itertools.count(1):
        failing = FailingFiles(Files(), fail_at=number, partial_bytes=3)
        segments = Segments(tmp_path, failing)
        with contextlib.suppress(OSError):
            segments.write([b"first"])
        if not failing.has_failed:
            break

        contents = [file.read_bytes() for file in tmp_path.iterdir()]
        assert all(content.endswith(b"first") for content in contents)
        Segments(tmp_path).sweep([])

    assert number > 5


def test_later_formats_and_other_files_are_refused(tmp_path: FilePath) -> None:
    segments = Segments(tmp_path)
    name, _ = segments.write([b"first"])
    segments.check_head(name)
    content = (tmp_path / name).read_bytes()

    (tmp_path / name).write_bytes(content[:8] + b"\x02" + content[9:])
    with pytest.raises(StoreError, match="format 2"):
        segments.check_head(name)
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(StoreError, match="does not begin"):
        segments.check_head(name)
