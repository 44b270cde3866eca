"""Code that writes files is held against every power cut and every error; the usual bugs are found."""

from __future__ import annotations

import contextlib
import doctest
import itertools
import os
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_state.files import Files, make_folders, replace_file, set_aside
from eliza_state.testing import CrashFiles, CrashState, FailingFiles, crashes

ROOT = FilePath("/store")
PATH = ROOT / "state.json"
OLD, NEW = b"the old content", b"the new content, which is longer"

Write = Callable[[Files, FilePath, bytes], None]


def recovered(state: CrashState) -> bytes | None:
    """Read what the next process finds."""
    files = state.mount()
    return files.read(PATH) if files.exists(PATH) else None


def crashed(write: Write, before: bytes | None = OLD) -> CrashFiles:
    crash = CrashFiles(ROOT, {} if before is None else {PATH.name: before})
    write(crash, PATH, NEW)
    assert crash.open_handles == 0
    return crash


def outcomes(crash: CrashFiles, after: int = 0) -> set[bytes | None]:
    return {recovered(state) for state in crash.states(after=after)}


# The algorithm, and the bugs that it has not


def test_a_replaced_file_is_the_old_or_the_new_one_and_in_the_end_the_new_one() -> None:
    crash = crashed(replace_file)

    assert {OLD, NEW} == outcomes(crash)
    assert {NEW} == outcomes(crash, after=len(crash.operations))


def test_a_first_file_is_missing_or_whole() -> None:
    assert {None, NEW} == outcomes(crashed(replace_file, before=None))


def test_what_else_a_power_cut_leaves_is_the_temporary_file() -> None:
    names = {name for state in crashed(replace_file).states() for name in state.files}

    assert {"state.json", "state.json.temporary-1"} == names


def test_the_second_of_two_writes_finds_the_first() -> None:
    crash = crashed(replace_file)
    done = len(crash.operations)
    replace_file(crash, PATH, b"third")

    assert {NEW, b"third"} == outcomes(crash, after=done)


def in_place(files: Files, path: FilePath, content: bytes) -> None:
    files.remove(path)
    handle = files.create(path)
    files.write(handle, content)
    files.sync(handle)
    files.close(handle)
    files.sync_folder(path.parent)


def renaming(*, sync_first: bool, sync_folder: bool) -> Write:
    def write(files: Files, path: FilePath, content: bytes) -> None:
        temporary = path.with_suffix(".tmp")
        handle = files.create(temporary)
        files.write(handle, content)
        if sync_first:
            files.sync(handle)
        files.close(handle)
        files.replace(temporary, path)
        if sync_folder:
            files.sync_folder(path.parent)

    return write


def test_a_file_written_in_place_may_be_gone_or_torn() -> None:
    found = outcomes(crashed(in_place))

    assert {None, b"", OLD, NEW, NEW[:-1], bytes(len(NEW))} <= found


def test_renaming_without_a_sync_before_is_found_out() -> None:
    found = outcomes(crashed(renaming(sync_first=False, sync_folder=True)))

    assert {OLD, NEW, b"", NEW[:1], bytes(len(NEW))} <= found


def test_a_sync_behind_the_renaming_comes_too_late() -> None:
    def write(files: Files, path: FilePath, content: bytes) -> None:
        handle = files.create(path.with_suffix(".tmp"))
        files.write(handle, content)
        files.replace(path.with_suffix(".tmp"), path)
        files.sync(handle)
        files.close(handle)
        files.sync_folder(path.parent)

    crash = crashed(write)

    assert {OLD, NEW} < outcomes(crash)
    assert {NEW} == outcomes(crash, after=len(crash.operations))


def test_renaming_without_a_sync_of_the_folder_is_found_out() -> None:
    crash = crashed(renaming(sync_first=True, sync_folder=False))

    assert {OLD, NEW} == outcomes(crash)
    assert {OLD, NEW} == outcomes(crash, after=len(crash.operations))


def test_nothing_is_missing_from_the_right_order() -> None:
    crash = crashed(renaming(sync_first=True, sync_folder=True))

    assert {OLD, NEW} == outcomes(crash)
    assert {NEW} == outcomes(crash, after=len(crash.operations))


def test_a_new_folder_without_a_sync_of_the_one_above_is_found_out() -> None:
    crash = CrashFiles(ROOT)
    crash.make_folder(ROOT / "folder")
    replace_file(crash, ROOT / "folder" / "a", NEW)

    assert {(), ("folder",)} == {state.folders for state in crash.states(after=len(crash.operations))}


def test_folders_are_made_durable() -> None:
    crash = CrashFiles(ROOT)
    make_folders(crash, ROOT / "a" / "b")
    replace_file(crash, ROOT / "a" / "b" / "c", NEW)

    states = crash.states(after=len(crash.operations))
    assert [({"a/b/c": NEW}, ("a", "a/b"))] == [(state.files, state.folders) for state in states]


@pytest.mark.parametrize("taken", [{}, {"state.json.damaged-1": b"kept from before"}])
def test_a_damaged_file_that_is_set_aside_is_never_lost(taken: dict[str, bytes]) -> None:
    crash = CrashFiles(ROOT, {PATH.name: OLD, **taken})
    aside = set_aside(crash, PATH)

    for state in crash.states():
        assert OLD in (state.files.get(PATH.name), state.files.get(aside.name))
        assert taken.items() <= state.files.items()
    assert {aside.name: OLD, **taken} == crash.states(after=len(crash.operations))[0].files


def test_a_second_power_cut_during_the_recovery_is_survived() -> None:
    def recover(files: Files) -> None:
        if files.exists(PATH) and files.read(PATH) not in (OLD, NEW):
            set_aside(files, PATH)
        replace_file(files, PATH, NEW)

    for first in crashed(in_place).states():
        again = first.mount()
        recover(again)
        for second in again.states():
            files = second.mount()
            recover(files)
            assert NEW == files.read(PATH)


def test_the_examples_are_true() -> None:
    outcome = doctest.testmod(crashes, extraglobs={"replace_file": replace_file})

    assert (0, True) == (outcome.failed, outcome.attempted > 5)


# The states


def test_before_anything_is_done_there_is_one_state() -> None:
    crash = CrashFiles(ROOT, {"a": OLD, "folder/b": NEW}, folders=["empty"])

    assert (CrashState(ROOT, 0, {"a": OLD, "folder/b": NEW}, ("empty", "folder")),) == crash.states()


def test_reading_and_closing_are_no_moments() -> None:
    crash = CrashFiles(ROOT)
    handle = crash.create(ROOT / "a")
    crash.write(handle, NEW)
    crash.sync(handle)
    assert crash.open_handles == 1
    crash.close(handle)
    crash.read(ROOT / "a"), crash.exists(ROOT / "b"), crash.list(ROOT)
    crash.make_folder(ROOT / "folder")
    crash.replace(ROOT / "a", ROOT / "folder" / "b")
    crash.sync_folder(ROOT)
    crash.remove(ROOT / "folder" / "b")

    assert crash.operations == (
        "create a",
        "write 32 bytes to a",
        "sync a",
        "make the folder folder",
        "replace folder/b by a",
        "sync the folder .",
        "remove folder/b",
    )


def test_a_state_tells_the_first_moment_at_which_it_may_be_found() -> None:
    crash = crashed(replace_file)
    first = {recovered(state): state.after for state in reversed(crash.states())}

    assert {OLD: 0, NEW: crash.operations.index("replace state.json by state.json.temporary-1") + 1} == first


def test_states_are_different_and_always_in_the_same_order() -> None:
    states = crashed(in_place).states()
    keys = [(tuple(state.files.items()), state.folders) for state in states]

    assert len(set(keys)) == len(keys) == 12
    assert crashed(in_place).states() == states


def test_a_failed_operation_changes_nothing() -> None:
    crash = CrashFiles(ROOT, {"a": OLD})
    with pytest.raises(FileExistsError):
        crash.create(ROOT / "a")

    assert (1, ()) == (len(crash.states()), crash.operations)


def test_a_removed_file_may_come_back() -> None:
    crash = CrashFiles(ROOT, {PATH.name: OLD})
    crash.remove(PATH)

    assert {OLD, None} == outcomes(crash)
    crash.sync_folder(ROOT)
    assert {None} == outcomes(crash, after=len(crash.operations))


def test_a_file_that_is_written_on_after_its_removal_stays_away() -> None:
    crash = CrashFiles(ROOT)
    handle = crash.create(PATH)
    crash.remove(PATH)
    crash.write(handle, NEW)

    assert not crash.exists(PATH)
    assert {None, NEW} <= outcomes(crash)


def test_files_that_are_open_when_the_power_is_cut_may_be_torn() -> None:
    crash = CrashFiles(ROOT)
    handle = crash.create(PATH)
    crash.write(handle, b"ab")
    crash.sync(handle)
    crash.sync_folder(ROOT)
    done = len(crash.operations)
    crash.write(handle, b"c")

    assert {b"ab", b"ab\0", b"abc"} == outcomes(crash, after=done)


def test_a_mounted_state_is_durable() -> None:
    crash = crashed(in_place)

    for state in crash.states():
        mounted = state.mount()
        assert [(state.files, state.folders)] == [(same.files, same.folders) for same in mounted.states()]


def test_a_state_is_written_to_a_real_folder(tmp_path: FilePath) -> None:
    crash = CrashFiles(ROOT, {"a": OLD})
    make_folders(crash, ROOT / "b" / "c")
    replace_file(crash, ROOT / "b" / "d", NEW)
    crash.states()[-1].write_to(tmp_path)

    assert ["a", "b", "b/c", "b/d"] == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")
    )
    assert (OLD, NEW) == ((tmp_path / "a").read_bytes(), (tmp_path / "b" / "d").read_bytes())


def test_too_many_states_are_refused() -> None:
    crash = CrashFiles(ROOT)
    handle = crash.create(PATH)
    for number in range(20):
        crash.write(handle, b"record %d\n" % number)

    with pytest.raises(ValueError, match="expected at most 5,000 states, got more after 6 operations"):
        crash.states(limit=5_000)


# What a test's files take


@pytest.mark.parametrize("path", ["/stor", "/store/../a", "/", "a"])
def test_there_is_nothing_outside_the_root(path: str) -> None:
    with pytest.raises(ValueError, match="expected a path in '/store', got"):
        CrashFiles(ROOT).exists(path)


def test_a_way_back_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a path without '\.\.', got '/store/none/\.\./a'"):
        CrashFiles(ROOT, {"a": OLD}).exists("/store/none/../a")


def test_the_root_is_a_folder() -> None:
    crash = CrashFiles(ROOT)

    assert (crash.exists(ROOT), crash.list("/store/")) == (True, ())
    with pytest.raises(FileExistsError):
        crash.make_folder(ROOT)
    with pytest.raises(IsADirectoryError):
        crash.remove(ROOT)


@pytest.mark.parametrize(
    "arguments", [({"a": OLD, "a/b": NEW}, ()), ({"a/b": NEW, "a": OLD}, ()), ({"a": OLD}, ("a",))]
)
def test_a_name_is_a_file_or_a_folder(arguments: Any) -> None:
    content, folders = arguments

    with pytest.raises(ValueError, match="expected a file or a folder, got both as 'a'"):
        CrashFiles(ROOT, content, folders=folders)


# One operation that fails


def test_the_operation_with_the_number_fails_once() -> None:
    failing = FailingFiles(CrashFiles(ROOT), fail_at=2)

    assert (False, False) == (failing.exists(PATH), failing.has_failed)
    with pytest.raises(OSError, match="No space left on device"):
        failing.exists(PATH)
    assert (False, True, 3) == (failing.exists(PATH), failing.has_failed, failing.operations)


def test_without_a_number_operations_are_counted() -> None:
    counted = FailingFiles(CrashFiles(ROOT))
    replace_file(counted, PATH, NEW)

    assert (6, False) == (counted.operations, counted.has_failed)


def test_what_fails_has_not_happened_but_for_a_part_of_a_write_and_a_close() -> None:
    crash = CrashFiles(ROOT)
    handle = FailingFiles(crash, fail_at=2).create(PATH)
    with pytest.raises(BlockingIOError):
        FailingFiles(crash, fail_at=1, error=BlockingIOError(), partial_bytes=3).write(handle, NEW)
    with pytest.raises(OSError, match="No space left"):
        FailingFiles(crash, fail_at=1).remove(PATH)
    with pytest.raises(OSError, match="No space left"):
        FailingFiles(crash, fail_at=1).close(handle)

    assert (NEW[:3], 0) == (crash.read(PATH), crash.open_handles)


@pytest.mark.parametrize("partial_bytes", [0, 3])
def test_an_error_at_any_step_and_a_power_cut_at_any_moment_leave_one_of_the_two(partial_bytes: int) -> None:
    for number in itertools.count(1):
        crash = CrashFiles(ROOT, {PATH.name: OLD})
        failing = FailingFiles(crash, fail_at=number, partial_bytes=partial_bytes)
        with contextlib.suppress(OSError):
            replace_file(failing, PATH, NEW)
        assert outcomes(crash) <= {OLD, NEW}
        assert crash.open_handles == 0
        if not failing.has_failed:
            break
        replace_file(crash, PATH, b"again")
        assert {b"again"} == outcomes(crash, after=len(crash.operations))

    assert number == 7


def test_the_paths_of_errors_are_told() -> None:
    with pytest.raises(IsADirectoryError, match=r"'/store/a' -> '/store/folder'"):
        CrashFiles(ROOT, {"a": OLD}, folders=["folder"]).replace(ROOT / "a", os.fspath(ROOT / "folder"))
