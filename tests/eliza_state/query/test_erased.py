from __future__ import annotations

from pathlib import Path

from eliza_state.query import F
from tests.eliza_state.query.forum import ForumModule, post, talk


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if "indexes" in file.name)


async def test_what_was_erased_is_not_found_and_not_in_the_file(open_forum, tmp_path):
    manager = await open_forum()
    for number in range(8):
        await manager.dispatch(post(f"secret-key-{number}", author="margaret"), to=talk(f"c{number}"))
    await manager.query(ForumModule, where=F.author == "margaret")
    assert b"margaret" in contents(tmp_path)
    erased = await manager.erase(talk().parent)

    assert not erased.remains
    assert b"margaret" not in contents(tmp_path)
    assert b"secret-key" not in contents(tmp_path)
    assert await manager.queries.count(ForumModule) == 0


async def test_what_was_erased_goes_from_a_file_that_nobody_has_asked_since(open_forum, tmp_path):
    manager = await open_forum()
    await manager.dispatch(post("m1", author="margaret"), to=talk("c1"))
    await manager.dispatch(post("m2", author="ada"), to=talk("c2"))
    await manager.query(ForumModule, where=F.author == "margaret")
    await manager.close()
    again = await open_forum()
    await again.erase(talk("c1"))

    assert b"margaret" not in contents(tmp_path)
    reader = await open_forum(read_only=True)
    assert [match.key for match in await reader.query(ForumModule)] == ["m2"]
    assert [match.key for match in await again.query(ForumModule)] == ["m2"]


async def test_the_rest_of_a_scope_is_found_after_an_erasure(open_forum):
    manager = await open_forum()
    await manager.dispatch(post("m1", author="margaret"), to=talk())
    await manager.dispatch(post("m2", author="ada"), to=talk())
    prepared = manager.queries.prepare(ForumModule, where=F.author.in_(["margaret", "ada"]))
    assert len(prepared.at_hand()) == 2
    await manager.erase(talk(), where=lambda event: event.post.author == "margaret")

    assert [match.key for match in prepared.at_hand()] == ["m2"]
    assert [match.key for match in await prepared.run()] == ["m2"]
