"""What becomes of the file: thrown away, damaged, foreign, outdated, locked, only read."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path as FilePath
from typing import Any, ClassVar

import pytest

from eliza_state import StateManager
from eliza_state.indexes import Index
from eliza_state.query import F
from tests.eliza_state.query.forum import ForumModule, post, talk

ADA = F.author == "ada"


class WiderModule(ForumModule):
    indexes: ClassVar[Any] = {"posts": (Index("author"), Index("score"), Index("topic"))}


class NewerModule(ForumModule):
    version = 2


@pytest.fixture
def index_file(tmp_path) -> FilePath:
    return tmp_path / "state.db-indexes"


async def filled(manager: StateManager, count: int = 8) -> None:
    for number in range(count):
        author = "ada" if number % 2 else "bob"
        await manager.dispatch(post(f"m{number}", author=author), to=talk(f"c{number}"))


async def found(manager: Any) -> list[str]:
    return [match.key for match in await manager.query("forum", of="posts", where=ADA)]


ALL = ["m1", "m3", "m5", "m7"]


def kinds(manager: StateManager) -> list[str]:
    return [problem.kind for problem in manager.problems if problem.kind == "index"]


async def test_a_reopened_store_opens_only_the_scopes_that_are_found(open_forum):
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    await manager.close()
    again = await open_forum()
    none = await again.queries.explain(ForumModule, where=F.author == "nobody")
    some = await again.queries.explain(ForumModule, where=ADA)

    assert (none.opened, none.found) == (0, 0)
    assert (some.opened, some.found) == (4, 4)
    assert some.stored == "index file: author"


async def test_counting_opens_no_scope(open_forum, monkeypatch):
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    await manager.close()
    again = await open_forum()
    opened = []
    recover = again.core.reading.recover_here
    monkeypatch.setattr(
        again.core.reading, "recover_here", lambda *place: opened.append(place) or recover(*place)
    )

    assert await again.queries.count(ForumModule, where=ADA) == 4
    assert await again.queries.groups(ForumModule, by="author") == {"ada": 4, "bob": 4}
    assert not opened


async def test_nothing_is_made_before_the_first_query(open_forum, index_file):
    manager = await open_forum()
    await filled(manager)

    assert not index_file.exists()


async def test_a_file_that_was_thrown_away_is_made_again(open_forum, index_file):
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    await manager.close()
    index_file.unlink()
    again = await open_forum()

    assert await found(again) == ALL
    assert index_file.exists()
    assert not kinds(again)


@pytest.mark.parametrize("damage", ["garbage", "cut", "tables gone", "pages gone"])
async def test_a_damaged_file_is_made_again_and_reported(open_forum, index_file, damage):
    manager = await open_forum()
    await filled(manager, 40)
    before = await found(manager)
    await manager.close()
    content = index_file.read_bytes()
    if damage == "garbage":
        index_file.write_bytes(b"no database at all" * 100)
    elif damage == "cut":
        index_file.write_bytes(content[: len(content) // 2])
    elif damage == "pages gone":
        index_file.write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
    else:
        with sqlite3.connect(index_file) as connection:
            connection.execute("DROP TABLE entry")
        connection.close()
    again = await open_forum()

    assert await found(again) == before
    assert kinds(again)
    assert (await again.queries.explain(ForumModule, where=ADA)).stored == "index file: author"


async def test_the_file_of_another_store_is_made_again_and_reported(open_forum, tmp_path, index_file):
    async with StateManager.open(f"sqlite:///{tmp_path}/other.db", modules=[ForumModule()]) as other:
        await other.dispatch(post("foreign", author="ada"), to=talk())
        await found(other)
    shutil.copy(tmp_path / "other.db-indexes", index_file)
    manager = await open_forum()
    await filled(manager)

    assert await found(manager) == ALL
    assert kinds(manager) == ["index"]


@pytest.mark.parametrize("module", [WiderModule, NewerModule])
async def test_another_declaration_makes_its_rows_anew_and_says_so(open_forum, module):
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    await manager.close()
    again = await open_forum(module())

    assert await found(again) == ALL
    assert kinds(again) == ["index"]


async def test_a_restored_older_copy_is_brought_up_to_date(open_forum, index_file, tmp_path):
    manager = await open_forum()
    await filled(manager, 2)
    await found(manager)
    await manager.close()
    shutil.copy(index_file, tmp_path / "copy")
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    await manager.close()
    shutil.copy(tmp_path / "copy", index_file)

    assert await found(await open_forum()) == ALL


async def test_a_reading_manager_makes_no_file(open_forum, index_file):
    await filled(await open_forum())
    reader = await open_forum(read_only=True)

    assert await found(reader) == ALL
    assert not index_file.exists()


async def test_a_reading_manager_opens_what_has_changed_since_the_file_was_written(open_forum, index_file):
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    before = index_file.stat().st_mtime_ns
    await manager.dispatch(post("m9", author="ada"), to=talk("c0"))
    await manager.dispatch(post("m1", author="eve"), to=talk("c1"))
    reader = await open_forum(read_only=True)
    explanation = await reader.queries.explain(ForumModule, where=ADA)

    assert await found(reader) == ["m9", "m3", "m5", "m7"]
    assert await reader.queries.count(ForumModule, where=ADA) == 4
    assert await reader.queries.groups(ForumModule, by="author") == {"ada": 4, "bob": 4, "eve": 1}
    assert explanation.opened == 5
    assert index_file.stat().st_mtime_ns == before


async def test_a_locked_file_makes_it_slower_and_nothing_else(open_forum, index_file):
    manager = await open_forum()
    await filled(manager)
    await found(manager)
    await manager.dispatch(post("m9", author="ada"), to=talk("c9"))
    holder = sqlite3.connect(index_file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    assert await found(manager) == [*ALL, "m9"]
    assert "cannot be used now" in (await manager.queries.explain(ForumModule, where=ADA)).stored
    holder.execute("ROLLBACK")
    holder.close()
    assert await found(manager) == [*ALL, "m9"]
    assert (await manager.queries.explain(ForumModule, where=ADA)).stored == "index file: author"


async def test_a_file_that_cannot_be_made_is_done_without(open_forum, index_file):
    manager = await open_forum()
    await filled(manager)
    os.mkdir(index_file)

    assert await found(manager) == ALL
