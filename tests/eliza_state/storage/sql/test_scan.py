"""Scans: every key once, page by page, whatever is written meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from eliza_state.storage.sql import SqlStorage
from eliza_state.storage.sql.scan import scans_of
from eliza_state.storage.sql.schema import key_value_table
from eliza_state.storage.sql.statements import PAGE_ROWS, Form, end_of, next_after, statements_for
from tests.eliza_state.storage.sql.support import OpenStorage, backend_of


async def pages_of(storage: SqlStorage[Any], space: str, **options: Any) -> list[list[str]]:
    return [[key for key, _ in page] async for page in backend_of(storage).scan(space, **options)]


@pytest.mark.parametrize("count", [0, 1, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS + 3])
async def test_all_keys_come_once_however_many_there_are(
    open_storage: OpenStorage, url: str, count: int
) -> None:
    storage = await open_storage(url)
    names = [f"{number:05}" for number in range(count)]
    await storage.set_many(dict.fromkeys(names, 1))
    pages = await pages_of(storage, "")

    assert names == [key for page in pages for key in page]
    assert all(0 < len(page) <= PAGE_ROWS for page in pages)


async def test_keys_below_come_once_as_well(open_storage: OpenStorage, url: str) -> None:
    storage = await open_storage(url)
    keys = {f"a/{number % 3}/{number}" for number in range(PAGE_ROWS + 300)}
    await storage.set_many({"top": 1})
    for number in range(3):
        names = [key.rpartition("/")[2] for key in keys if key.startswith(f"a/{number}/")]
        await storage.namespace("a", f"{number}").set_many(dict.fromkeys(names, 1))
    pages = await pages_of(storage, "a/", nested=True)

    assert sorted(keys) == sorted(key for page in pages for key in page)
    assert [["top"]] == await pages_of(storage, "")


async def test_what_is_there_all_the_time_comes_once_whatever_else_happens(
    open_storage: OpenStorage, url: str
) -> None:
    storage = await open_storage(url)
    stays = {f"{number:05} stays" for number in range(PAGE_ROWS + 100)}
    goes = {f"{number:05} goes" for number in range(PAGE_ROWS + 100)}
    await storage.set_many(dict.fromkeys(stays | goes, 1))
    seen: list[str] = []
    async for page in backend_of(storage).scan(""):
        seen += [key for key, _ in page]
        await storage.delete_many(goes)
        await storage.set_many({"00000 comes": 1, "99999 comes": 1})
        await storage.set_many(dict.fromkeys(stays, 2))

    assert len(seen) == len(set(seen))
    assert stays < set(seen)


LAST = "\U0010ffff"


@pytest.mark.parametrize("prefix", ["", "a", "ab", "%", "ä", "\ud7ff", "\ue000", LAST, f"a{LAST}", "😀", "_"])
async def test_a_prefix_finds_what_starts_with_it(open_storage: OpenStorage, url: str, prefix: str) -> None:
    storage = await open_storage(url)
    names = ["a", "ab", "abc", "b", "A", "%", "%%", "a%b", "ä", "äb", "\ud7ffx", "\ue000x", "\ue000", LAST]
    names += [f"{LAST}b", f"a{LAST}", f"a{LAST}{LAST}b", "😀", "😀 and more", "_", "a_b", "\x01", "~"]
    await storage.set_many(dict.fromkeys(names, 1))
    found = [name async for name in storage.keys(prefix=prefix)]

    assert sorted(name for name in names if name.startswith(prefix)) == sorted(found)


def test_nothing_lies_between_a_prefix_and_its_end() -> None:
    assert ("b", "b", "\ue000") == (end_of("a"), end_of(f"a{LAST}"), end_of("\ud7ff"))
    assert end_of("") == end_of(LAST) > LAST * 128
    assert "a" < next_after("a") < "a " < "aa"


def test_a_scan_of_one_namespace_is_one_query() -> None:
    statements = statements_for(key_value_table("kv", "sqlite"), Form.EACH)
    flat = scans_of(statements, "a/", prefix="", nested=False)
    nested = scans_of(statements, "a/", prefix="", nested=True)

    assert (1, 2) == (len(flat), len(nested))
