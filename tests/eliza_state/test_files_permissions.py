"""Who may read a file that is written whole: those who might before. And what there is on Windows."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest

from eliza_state import files as source
from eliza_state.files import Files, replace_file

OLD, NEW = b"old", b"the new content"
NOBODY = 65_534

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files to others"
)


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def made(path: FilePath, permissions: int) -> FilePath:
    path.write_bytes(OLD)
    path.chmod(permissions)
    return path


def permissions_of(path: FilePath) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@posix_only
@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o604, 0o666, 0o400])
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_replaced_file_keeps_its_permissions(tmp_path: FilePath, permissions: int, mask: int) -> None:
    path = made(tmp_path / "a", permissions)
    with umask(mask):
        replace_file(Files(), path, NEW)

    assert (NEW, permissions) == (path.read_bytes(), permissions_of(path))


@posix_only
@pytest.mark.parametrize(("mask", "permissions"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_a_file_that_was_not_there_gets_those_of_new_files(
    tmp_path: FilePath, mask: int, permissions: int
) -> None:
    with umask(mask):
        replace_file(Files(), tmp_path / "a", NEW)

    assert permissions == permissions_of(tmp_path / "a")


@posix_only
def test_nobody_else_may_open_the_temporary_file_either(tmp_path: FilePath) -> None:
    class Watched(Files):
        def write(self, handle: int, data: bytes) -> None:
            found.append(permissions_of(tmp_path / "a.temporary-1"))
            super().write(handle, data)

    found: list[int] = []
    replace_file(Watched(), made(tmp_path / "a", 0o600), NEW)

    assert [0o600] == found


@posix_only
def test_what_replaces_a_link_gets_the_permissions_of_a_new_file(tmp_path: FilePath) -> None:
    elsewhere = made(tmp_path / "elsewhere", 0o600)
    (tmp_path / "link").symlink_to(elsewhere)
    with umask(0o022):
        replace_file(Files(), tmp_path / "link", NEW)

    assert (0o644, 0o600) == (permissions_of(tmp_path / "link"), permissions_of(elsewhere))


@posix_only
def test_a_file_whose_permissions_cannot_be_given_is_not_left(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("refused")

    path = made(tmp_path / "a", 0o640)
    monkeypatch.setattr(os, "fchmod", refuse)

    with pytest.raises(PermissionError, match="refused"):
        replace_file(Files(), path, NEW)
    assert (["a"], OLD) == (os.listdir(tmp_path), path.read_bytes())


@root_only
def test_a_replaced_file_keeps_its_owner_and_group(tmp_path: FilePath) -> None:
    path = made(tmp_path / "a", 0o640)
    os.chown(path, 1_234, 2_345)
    replace_file(Files(), path, NEW)

    status = path.stat()
    assert (1_234, 2_345, 0o640) == (status.st_uid, status.st_gid, permissions_of(path))


@root_only
def test_where_the_group_cannot_stay_another_gets_no_more_than_all_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = made(FilePath(folder, "a"), 0o664)
        os.chown(path, 1_234, 2_345)
        os.seteuid(NOBODY)
        try:
            replace_file(Files(), path, NEW)
        finally:
            os.seteuid(0)

        status = path.stat()
        assert (NOBODY, 0o644) == (status.st_uid, permissions_of(path))
        assert status.st_gid != 2_345


def test_without_what_windows_lacks_files_are_written_all_the_same(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("O_DIRECTORY", "fchmod", "fchown"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("files_on_windows", source.__file__)
    assert spec is not None
    assert spec.loader is not None
    windows = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(windows)
    files = windows.Files()
    windows.make_folders(files, tmp_path / "folder")
    for content in (OLD, NEW):
        windows.replace_file(files, tmp_path / "folder" / "a", content)

    assert NEW == files.read(tmp_path / "folder" / "a")
