"""Files in memory answer as those on the disk do: every operation anywhere, and in every order."""

from __future__ import annotations

import contextlib
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.files import Files
from eliza_state.testing import CrashFiles
from tests.effort import examples

FOLDERS = (".", "folder", "folder/empty")
PLACES = (
    *FOLDERS, "file", "file/a", "file/a/b", "none", "none/a", "none/a/b",
    "folder/file", "folder/file/a", "folder/none", "folder/none/a", "folder/empty/a",
)  # fmt: skip


def answer(files: Files, root: FilePath, handles: list[int], call: tuple[Any, ...]) -> Any:
    """Return what an operation returns, or the class of its error."""
    method, first, *rest = call
    if isinstance(first, int) and first >= len(handles):
        return None
    try:
        match method:
            case "write" | "sync" | "close":
                result = getattr(files, method)(handles[first], *rest)
            case "read":
                result = files.read(root / first, limit_bytes=rest[0])
            case "create like":
                result = handles.append(files.create(root / first, like=root / rest[0]))
            case "create":
                result = handles.append(files.create(root / first))
            case _:
                result = getattr(files, method)(root / first, *(root / name for name in rest))
    except ValueError as error:
        return type(error)
    except OSError as error:
        return type(error) if method != "remove" else OSError  # of a folder: EISDIR, or EPERM on macOS
    if method == "close":
        del handles[first]
    return result


def on_disk(root: FilePath) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the contents by path, and the folders."""
    paths = sorted(root.rglob("*"))
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}
    return files, tuple(path.relative_to(root).as_posix() for path in paths if path.is_dir())


def in_memory(crash: CrashFiles) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the same of files in memory, once all of it is durable."""
    for folder in (".", "folder", "folder/empty", "folder/none", "none"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            crash.sync_folder(crash.root / folder)
    (state,) = crash.states(after=len(crash.operations))
    return dict(state.files), state.folders


def grown(files: Files, root: FilePath) -> None:
    """Make a file, and a folder with another and with an empty folder."""
    for folder in FOLDERS[1:]:
        files.make_folder(root / folder)
    for name in ("file", "folder/file"):
        handle = files.create(root / name)
        files.write(handle, name.encode())
        files.sync(handle)
        files.close(handle)


SINGLE = [
    (method, place)
    for method in ("create", "remove", "list", "exists", "sync_folder", "make_folder")
    for place in PLACES
]
DOUBLE = [
    *(("read", place, limit_bytes) for place in PLACES for limit_bytes in (-2, -1, 0, 2, 99)),
    *(("create like", place, like) for place in PLACES for like in ("file", "folder", "none", "file/a")),
    # Folders are not renamed.
    *(("replace", place, target) for place in PLACES if place not in FOLDERS for target in PLACES),
]


@pytest.mark.parametrize("method", sorted({call[0] for call in (*SINGLE, *DOUBLE)}))
def test_an_operation_does_the_same_anywhere(tmp_path: FilePath, method: str) -> None:
    calls: list[tuple[Any, ...]] = [call for call in (*SINGLE, *DOUBLE) if call[0] == method]
    for number, call in enumerate(calls):
        root = tmp_path / str(number)
        root.mkdir()
        crash, real, handles, real_handles = CrashFiles(root), Files(), list[int](), list[int]()
        grown(real, root)
        grown(crash, root)
        answers = answer(real, root, real_handles, call), answer(crash, root, handles, call)
        for handle in real_handles:
            real.close(handle)

        assert answers[0] == answers[1], call
        assert on_disk(root) == in_memory(crash), call


NAMES = st.sampled_from([".", "a", "a/a", "b", "folder", "folder/a", "folder/folder", "folder/folder/a"])
CALLS = st.one_of(
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("create like"), NAMES, NAMES),
    st.tuples(st.just("read"), NAMES, st.integers(-2, 4)),
    st.tuples(st.sampled_from(["remove", "list", "exists", "sync_folder", "make_folder"]), NAMES),
    st.tuples(st.just("replace"), NAMES, NAMES),
    st.tuples(st.just("write"), st.integers(0, 2), st.binary(max_size=3)),
    st.tuples(st.sampled_from(["sync", "close"]), st.integers(0, 2)),
)


@settings(max_examples=examples(100))
@given(calls=st.lists(CALLS, max_size=16))
def test_operations_in_any_order_answer_alike_and_may_survive_as_they_are(
    calls: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("files")
    crash, real, handles, real_handles = CrashFiles(root), Files(), list[int](), list[int]()
    for call in calls:
        if call[0] == "replace" and (root / call[1]).is_dir():
            continue  # folders are not renamed
        assert answer(real, root, real_handles, call) == answer(crash, root, handles, call)
    for handle in real_handles:
        real.close(handle)

    with contextlib.suppress(ValueError):  # too many
        states = crash.states(after=len(crash.operations), limit=2_000)
        assert on_disk(root) in [(state.files, state.folders) for state in states]
