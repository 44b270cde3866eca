"""The steps of writing files, on a disk and in memory, and the algorithms made of them."""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path as FilePath

import pytest

from eliza_state.files import Files, StrPath, make_folders, replace_file, set_aside
from eliza_state.testing import CrashFiles, FailingFiles

OLD, NEW = b"old", b"the new content"

Run = Callable[[Files], object]


@pytest.fixture(params=["disk", "memory", "counted"])
def files(request: pytest.FixtureRequest, tmp_path: FilePath) -> Files:
    """The real files, those of a test, and a test's face to the real ones."""
    made = {"disk": Files(), "memory": CrashFiles(tmp_path), "counted": FailingFiles(Files())}
    return made[request.param]


def written(files: Files, path: FilePath, *parts: bytes) -> FilePath:
    handle = files.create(path)
    for part in parts:
        files.write(handle, part)
    files.close(handle)
    return path


def open_descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


# The steps


@pytest.mark.parametrize("other", [CrashFiles, FailingFiles])
def test_the_files_of_tests_have_every_step_of_their_own(other: type[Files]) -> None:
    steps = [name for name, _ in inspect.getmembers(Files, inspect.isfunction)]

    assert [] == [name for name in steps if getattr(other, name) is getattr(Files, name)]
    assert [inspect.signature(getattr(Files, name)) for name in steps] == [
        inspect.signature(getattr(other, name)) for name in steps
    ]


def test_what_is_written_is_read(files: Files, tmp_path: FilePath) -> None:
    path = written(files, tmp_path / "a", b"one ", b"", b"two")

    assert b"one two" == files.read(path)
    assert files.exists(path)
    assert ("a",) == files.list(tmp_path)


@pytest.mark.parametrize(("limit_bytes", "expected"), [(-1, NEW), (0, b""), (3, NEW[:3]), (99, NEW)])
def test_the_beginning_of_a_file_is_read(
    files: Files, tmp_path: FilePath, limit_bytes: int, expected: bytes
) -> None:
    path = written(files, tmp_path / "a", NEW)

    assert expected == files.read(path, limit_bytes=limit_bytes)


def test_a_limit_is_a_number_of_bytes_or_minus_one(files: Files, tmp_path: FilePath) -> None:
    path = written(files, tmp_path / "a", NEW)

    with pytest.raises(ValueError, match="read length must be non-negative or -1"):
        files.read(path, limit_bytes=-2)


def test_a_limit_finds_no_file_that_is_missing(files: Files, tmp_path: FilePath) -> None:
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "a", limit_bytes=0)


def test_a_handle_is_synced_and_folders_are(files: Files, tmp_path: FilePath) -> None:
    handle = files.create(tmp_path / "a")
    files.write(handle, NEW)
    files.sync(handle)
    files.sync_folder(tmp_path)
    files.close(handle)

    assert NEW == files.read(tmp_path / "a")


def test_a_path_may_be_text(files: Files, tmp_path: FilePath) -> None:
    replace_file(files, f"{tmp_path}/a", NEW)

    assert NEW == files.read(f"{tmp_path}/a")


def test_a_file_takes_the_name_of_another(files: Files, tmp_path: FilePath) -> None:
    written(files, tmp_path / "a", NEW)
    written(files, tmp_path / "b", OLD)
    files.make_folder(tmp_path / "folder")
    files.replace(tmp_path / "a", tmp_path / "b")
    files.replace(tmp_path / "b", tmp_path / "folder" / "c")

    assert (("folder",), ("c",)) == (files.list(tmp_path), files.list(tmp_path / "folder"))
    assert NEW == files.read(tmp_path / "folder" / "c")


def test_names_are_listed_in_order(files: Files, tmp_path: FilePath) -> None:
    for name in ("b", "c", "a"):
        written(files, tmp_path / name)
    files.remove(tmp_path / "c")
    files.make_folder(tmp_path / "ab")

    assert ("a", "ab", "b") == files.list(tmp_path)


STEPS_THAT_FAIL: dict[str, tuple[Callable[[Files, FilePath], object], type[OSError]]] = {
    "read a missing file": (lambda files, root: files.read(root / "none"), FileNotFoundError),
    "read below a file": (lambda files, root: files.read(root / "file" / "a"), NotADirectoryError),
    "read a folder": (lambda files, root: files.read(root / "folder"), IsADirectoryError),
    "create what is there": (lambda files, root: files.create(root / "file"), FileExistsError),
    "create in a missing folder": (lambda files, root: files.create(root / "none" / "a"), FileNotFoundError),
    "create below a file": (lambda files, root: files.create(root / "file" / "a"), NotADirectoryError),
    "write to nothing": (lambda files, root: files.write(1 << 20, b"x"), OSError),
    "sync nothing": (lambda files, root: files.sync(1 << 20), OSError),
    "close nothing": (lambda files, root: files.close(1 << 20), OSError),
    "rename a missing file": (
        lambda files, root: files.replace(root / "none", root / "a"),
        FileNotFoundError,
    ),
    "rename into nothing": (
        lambda files, root: files.replace(root / "file", root / "none" / "a"),
        FileNotFoundError,
    ),
    "rename a missing file below another": (
        lambda files, root: files.replace(root / "none", root / "file" / "a"),
        NotADirectoryError,
    ),
    "rename onto a folder": (
        lambda files, root: files.replace(root / "file", root / "folder"),
        IsADirectoryError,
    ),
    "rename onto the folder that it is in": (  # ENOTEMPTY, or EISDIR
        lambda files, root: files.replace(root / "file", root),
        OSError,
    ),
    "remove a missing file": (lambda files, root: files.remove(root / "none"), FileNotFoundError),
    "remove a folder": (lambda files, root: files.remove(root / "folder"), OSError),
    "sync a missing folder": (lambda files, root: files.sync_folder(root / "none"), FileNotFoundError),
    "sync a file as a folder": (lambda files, root: files.sync_folder(root / "file"), NotADirectoryError),
    "make a folder that is there": (lambda files, root: files.make_folder(root / "folder"), FileExistsError),
    "make a folder in none": (lambda files, root: files.make_folder(root / "no" / "no"), FileNotFoundError),
    "list a missing folder": (lambda files, root: files.list(root / "none"), FileNotFoundError),
    "list a file": (lambda files, root: files.list(root / "file"), NotADirectoryError),
}


@pytest.mark.parametrize("what", STEPS_THAT_FAIL)
def test_errors_are_those_of_the_operating_system(files: Files, tmp_path: FilePath, what: str) -> None:
    fail, error = STEPS_THAT_FAIL[what]
    written(files, tmp_path / "file", OLD)
    files.make_folder(tmp_path / "folder")

    with pytest.raises(error) as raised:
        fail(files, tmp_path)

    assert raised.value.errno is not None
    assert (("file", "folder"), OLD) == (files.list(tmp_path), files.read(tmp_path / "file"))


def test_nothing_is_below_a_file(files: Files, tmp_path: FilePath) -> None:
    written(files, tmp_path / "file")

    assert not files.exists(tmp_path / "file" / "a")
    assert not files.exists(tmp_path / "none" / "a")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a file system that does not sync folders")
def test_a_folder_that_cannot_be_synced_is_left_as_it_is() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        os.fsync(descriptor := os.open("/proc", os.O_RDONLY))
    os.close(descriptor)

    Files().sync_folder("/proc")


def test_a_folder_whose_sync_fails_is_told(tmp_path: FilePath) -> None:
    class Broken(Files):
        def sync(self, handle: int) -> None:
            raise OSError(errno.EIO, "broken")

    before = open_descriptors()
    with pytest.raises(OSError, match="broken"):
        Broken().sync_folder(tmp_path)
    assert before == open_descriptors()


# Writing a file whole


def test_a_file_is_made_and_replaced(files: Files, tmp_path: FilePath) -> None:
    replace_file(files, tmp_path / "a", OLD)
    replace_file(files, tmp_path / "a", NEW)

    assert NEW == files.read(tmp_path / "a")
    assert ("a",) == files.list(tmp_path)


def test_who_has_the_old_file_open_reads_on(tmp_path: FilePath) -> None:
    replace_file(Files(), tmp_path / "a", OLD)
    with open(tmp_path / "a", "rb") as reading:
        replace_file(Files(), tmp_path / "a", NEW)

        assert OLD == reading.read()


def test_each_writer_has_a_temporary_file_of_its_own(files: Files, tmp_path: FilePath) -> None:
    left = written(files, tmp_path / "a.temporary-1", OLD)
    replace_file(files, tmp_path / "a", NEW)

    assert (OLD, NEW) == (files.read(left), files.read(tmp_path / "a"))
    assert ("a", "a.temporary-1") == files.list(tmp_path)


def test_a_link_is_replaced_and_not_followed(tmp_path: FilePath) -> None:
    elsewhere = written(Files(), tmp_path / "elsewhere", OLD)
    (tmp_path / "link").symlink_to(elsewhere)
    replace_file(Files(), tmp_path / "link", NEW)

    assert (NEW, OLD) == ((tmp_path / "link").read_bytes(), elsewhere.read_bytes())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("partial_bytes", [0, 5])
def test_an_error_at_any_step_goes_through_and_leaves_one_of_the_two_and_nothing_else(
    tmp_path: FilePath, error: BaseException, partial_bytes: int
) -> None:
    files, outcomes, before = Files(), [], open_descriptors()
    for number in range(1, 7):  # create, write, sync, close, replace, sync the folder
        replace_file(files, tmp_path / "a", OLD)
        failing = FailingFiles(files, fail_at=number, error=error, partial_bytes=partial_bytes)
        with pytest.raises(type(error)) as raised:
            replace_file(failing, tmp_path / "a", NEW)
        assert raised.value is error
        assert ("a",) == files.list(tmp_path)
        outcomes.append(files.read(tmp_path / "a"))

    assert [OLD, OLD, OLD, OLD, OLD, NEW] == outcomes
    assert before == open_descriptors()


def test_where_tidying_up_fails_as_well_the_first_error_is_told(tmp_path: FilePath) -> None:
    class Broken(Files):
        def remove(self, path: object) -> None:
            raise PermissionError("second")

    failing = FailingFiles(Broken(), fail_at=5)

    with pytest.raises(OSError, match="No space left"):
        replace_file(failing, tmp_path / "a", NEW)
    assert ("a.temporary-1",) == Files().list(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_leaves_the_old_file(tmp_path: FilePath) -> None:
    class Full(Files):
        def create(self, path: StrPath, *, like: StrPath | None = None) -> int:
            os.close(super().create(path, like=like))
            return os.open("/dev/full", os.O_WRONLY)

    replace_file(Files(), tmp_path / "a", OLD)
    with pytest.raises(OSError, match="No space left"):
        replace_file(Full(), tmp_path / "a", NEW)

    assert ({"a"}, OLD) == (set(os.listdir(tmp_path)), (tmp_path / "a").read_bytes())


# Setting a file aside


def test_a_file_is_set_aside_under_the_first_free_name(files: Files, tmp_path: FilePath) -> None:
    contents = [b"first", b"second", b"third"]
    kept = [set_aside(files, written(files, tmp_path / "a", content)) for content in contents]

    assert [tmp_path / f"a.damaged-{number}" for number in (1, 2, 3)] == kept
    assert contents == [files.read(path) for path in kept]
    assert not files.exists(tmp_path / "a")


def test_a_name_that_anything_has_is_not_free(files: Files, tmp_path: FilePath) -> None:
    files.make_folder(tmp_path / "a.damaged-1")
    written(files, tmp_path / "a.damaged-2", OLD)

    assert tmp_path / "a.damaged-3" == set_aside(files, written(files, tmp_path / "a", NEW))
    assert OLD == files.read(tmp_path / "a.damaged-2")


def test_a_missing_file_cannot_be_set_aside(files: Files, tmp_path: FilePath) -> None:
    with pytest.raises(FileNotFoundError):
        set_aside(files, tmp_path / "a")

    assert () == files.list(tmp_path)


@pytest.mark.parametrize("content", [OLD, b""])
def test_after_an_error_at_any_step_the_file_has_one_of_its_names(tmp_path: FilePath, content: bytes) -> None:
    before = open_descriptors()
    for number in range(1, 5):  # create, close, replace, sync the folder
        root = tmp_path / str(number)
        root.mkdir()
        path = written(Files(), root / "a", content)
        with pytest.raises(OSError, match="No space left"):
            set_aside(FailingFiles(Files(), fail_at=number), path)
        assert [content] == [(root / name).read_bytes() for name in os.listdir(root)]

    assert before == open_descriptors()


def test_an_interruption_behind_the_renaming_loses_nothing(tmp_path: FilePath) -> None:
    class Interrupted(Files):
        def replace(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
            super().replace(source, target)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        set_aside(Interrupted(), written(Files(), tmp_path / "a", OLD))

    assert OLD == (tmp_path / "a.damaged-1").read_bytes()


# Folders


def test_missing_folders_are_made(files: Files, tmp_path: FilePath) -> None:
    make_folders(files, tmp_path / "a" / "b" / "c")
    make_folders(files, tmp_path / "a" / "b" / "c")
    make_folders(files, tmp_path / "a" / "d")

    assert ("b", "d") == files.list(tmp_path / "a")
    assert ("c",) == files.list(tmp_path / "a" / "b")


def test_folders_are_made_below_the_working_folder(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folders(Files(), "a/b")

    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_somebody_else_makes_meanwhile_is_no_error(tmp_path: FilePath) -> None:
    class Late(Files):
        def make_folder(self, path: str | os.PathLike[str]) -> None:
            os.mkdir(path)
            super().make_folder(path)

    make_folders(Late(), tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()
