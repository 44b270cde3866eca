"""What a power cut may leave of contents and of names."""

from __future__ import annotations

import itertools
import sys
from typing import Any

from eliza_state.testing.disk import Disk, File, Folder

LIMIT = 10_000


def file(synced: bytes = b"", *unsynced: bytes) -> File:
    return File(synced, list(unsynced))


def names(disk: Disk) -> list[list[str]]:
    return sorted({(*files, *folders) for files, folders in disk.remains(LIMIT)})


def made(disk: Disk, folder: Folder, name: str, node: Any = None) -> Any:
    node = File() if node is None else node
    disk.change(folder, {name: node})
    return node


# Contents


def test_what_is_synced_remains() -> None:
    assert (b"abc",) == file(b"abc").remains(LIMIT)


def test_a_write_is_lost_or_torn_or_out_of_order_or_whole() -> None:
    left = file(b"", b"abcd").remains(LIMIT)

    assert {
        b"",
        b"a",
        b"ab",
        b"abc",
        b"abcd",
        b"a\0\0\0",
        b"ab\0\0",
        b"abc\0",
        b"\0\0\0\0",
        b"\0\0cd",
    } == set(left)
    assert len(left) == len(set(left))


def test_what_was_synced_before_a_write_is_not_torn() -> None:
    assert {b"ab", b"abc", b"ab\0"} == set(file(b"ab", b"c").remains(LIMIT))


def test_writes_reach_the_disk_in_any_order() -> None:
    assert {b"", b"x", b"\0", b"xy", b"x\0", b"\0y", b"\0\0"} == set(file(b"", b"x", b"y").remains(LIMIT))


def test_a_write_of_nothing_leaves_nothing() -> None:
    assert (b"",) == file(b"", b"").remains(LIMIT)


def test_synced_writes_are_there() -> None:
    written = file(b"", b"x", b"y")
    written.sync()

    assert (b"xy", (b"xy",)) == (written.content(), written.remains(LIMIT))


def test_contents_past_the_limit_are_not_made() -> None:
    assert LIMIT < len(file(b"", *(b"%04d" % number for number in range(100))).remains(LIMIT)) < 2 * LIMIT


# Names


def test_names_that_were_not_synced_may_be_missing_each_by_itself() -> None:
    disk = Disk()
    for name in "ab":
        made(disk, disk.root, name)

    assert [(), ("a",), ("a", "b"), ("b",)] == names(disk)


def test_synced_names_are_there() -> None:
    disk = Disk()
    made(disk, disk.root, "a")
    disk.sync(disk.root)
    made(disk, disk.root, "b")

    assert [("a",), ("a", "b")] == names(disk)


def test_changes_of_one_name_keep_their_order() -> None:
    disk = Disk()
    moved = made(disk, disk.root, "a")
    disk.change(disk.root, {"a": None, "b": moved})
    disk.change(disk.root, {"b": None})
    made(disk, disk.root, "b")

    assert [(), ("a",), ("b",)] == names(disk)


def test_a_folder_that_is_missing_takes_what_it_holds_with_it() -> None:
    disk = Disk()
    folder = made(disk, disk.root, "folder", Folder())
    made(disk, folder, "a")
    disk.sync(folder)

    assert [(), ("folder/a", "folder")] == names(disk)


def test_a_file_between_two_folders_is_in_both_rather_than_in_none() -> None:
    disk = Disk()
    new, old = made(disk, disk.root, "new", Folder()), made(disk, disk.root, "old", Folder())
    moved = made(disk, old, "a")
    disk.sync(disk.root)
    disk.sync(old)
    disk.change(old, {"a": None}, disk.change(new, {"a": moved}))

    found = [sorted(files) for files, _ in disk.remains(LIMIT)]
    disk.sync(old)
    assert [["old/a"], ["new/a", "old/a"], ["new/a"]] == found
    assert [["new/a"]] == [sorted(files) for files, _ in disk.remains(LIMIT)]


def test_one_file_of_two_names_has_one_content() -> None:
    disk = Disk()
    disk.change(disk.root, {"a": (both := file(b"", b"x")), "b": both})
    disk.sync(disk.root)

    assert all(files["a"] == files["b"] for files, _ in disk.remains(LIMIT))


def test_a_long_row_of_changes_is_no_deep_recursion() -> None:
    disk = Disk()
    for _ in range(sys.getrecursionlimit() + 1):
        made(disk, disk.root, "a")

    assert [[], ["a"]] == [list(files) for files, _ in itertools.islice(disk.remains(LIMIT), 2)]
    disk.sync(disk.root)
    assert [("a",)] == names(disk)
