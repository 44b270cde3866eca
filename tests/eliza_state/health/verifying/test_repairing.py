"""What follows from the records is made anew; what does not is named, and left."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest

from eliza_modules import ConversationModule
from eliza_state.errors import StoreError
from eliza_state.health import Repair, repair
from eliza_state.manager import StateManager
from tests.eliza_state.health import stores
from tests.eliza_state.health.verifying.test_damage import CHUNK, FLIPPED, SLOT

TALK = "agent:eliza/room:general/conversation:c0"

DERIVED = [
    ("state.db", "DELETE FROM below WHERE position > 100"),
    ("state.db", "DELETE FROM below"),
    ("state.db", "INSERT INTO below VALUES (4, 1)"),
    ("state.db", "UPDATE below SET position = 9000 WHERE position = 40 AND scope = 2"),
    ("state.db", "DELETE FROM erasure"),
    ("state.db", "UPDATE erasure SET position = 1, settled = 9"),
    ("state.db", "INSERT INTO restore VALUES (2, 40)"),
    ("state.db-snapshots", SLOT.format(FLIPPED)),
    ("state.db-snapshots", SLOT.format("deadline_ms = 1")),
    ("state.db-snapshots", SLOT.format("name = '7'")),
    ("state.db-snapshots", CHUNK.format(FLIPPED)),
    ("state.db-snapshots", CHUNK.format("space = 'snapshot/other/place/chunk/'")),
    ("state.db-snapshots", "DELETE FROM eliza_state_kv WHERE space LIKE '%/chunk/'"),
    ("state.db-indexes", "DELETE FROM entry"),
    ("state.db-indexes", "UPDATE collection SET position = 9000"),
]


async def repaired(folder: FilePath, **options: Any) -> Repair:
    return await repair(stores.url_of(folder), modules=stores.modules(), **options)


async def states(folder: FilePath) -> Any:
    async with StateManager.open(stores.url_of(folder), modules=stores.modules(), read_only=True) as manager:
        return await manager.state()


def content(folder: FilePath) -> dict[str, bytes]:
    """What stands in the files that hold something."""
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in (".db", ".db-snapshots")
    }


@pytest.mark.parametrize(("file", "statement"), DERIVED)
async def test_what_follows_from_the_records_is_made_anew(
    original: FilePath, folder: FilePath, file: str, statement: str
):
    stores.run(folder, statement, file=file)

    outcome = await repaired(folder)

    assert not outcome.before.is_good
    assert outcome.is_good, outcome.after
    assert outcome.done
    assert await states(folder) == await states(original)


@pytest.mark.parametrize("file", ["state.db-snapshots", "state.db-indexes"])
async def test_a_derived_file_that_is_no_database_is_removed(folder: FilePath, file: str):
    (folder / file).write_bytes(b"something else\n" * 1_000)

    outcome = await repaired(folder)

    assert outcome.is_good, outcome.after
    assert any(file in line for line in outcome.done)


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(folder: FilePath):
    stores.run(folder, "DELETE FROM below WHERE position = 40", "PRAGMA wal_checkpoint(TRUNCATE)")
    before = content(folder)

    outcome = await repaired(folder, dry_run=True)

    assert outcome.done == ("make `below`, `erasure` and `restore` agree with the records: 2 differences",)
    assert (outcome.is_dry_run, outcome.is_good) == (True, True)
    assert content(folder) == before


async def test_a_whole_store_is_left_as_it_is(folder: FilePath):
    before = content(folder)

    outcome = await repaired(folder)

    assert (outcome.done, outcome.is_good) == ((), True)
    assert content(folder) == before


async def test_a_damaged_record_is_named_with_what_its_loss_means(folder: FilePath):
    stores.run(folder, "UPDATE record SET payload = x'00' WHERE position = 40")

    outcome = await repaired(folder)

    assert not outcome.is_good
    lost = next(finding for finding in outcome.lost if finding.check == "records")
    assert (lost.position, str(lost.path)) == (40, TALK)
    assert "'message_received'" in lost.message
    assert f"left out of every state of '{TALK}' and above" in lost.loss


@pytest.mark.parametrize("statement", ["UPDATE record SET payload = x'00'", "DELETE FROM record"])
async def test_a_snapshot_that_holds_what_a_lost_record_did_is_kept(folder: FilePath, statement: str):
    stores.run(folder, f"{statement} WHERE position = 40")

    outcome = await repaired(folder)

    assert "states" in {finding.check for finding in outcome.lost}
    async with StateManager.open(stores.url_of(folder), modules=stores.modules()) as manager:
        state = await manager.at(TALK).state(ConversationModule)
        assert "m38" in state.messages


async def test_a_store_in_use_is_refused(folder: FilePath):
    stores.run(folder, "DELETE FROM below")
    async with StateManager.open(stores.url_of(folder), modules=stores.modules()):
        with pytest.raises(StoreError, match=r"has .* open"):
            await repaired(folder)


async def test_a_store_in_memory_and_one_that_is_not_there_are_refused(tmp_path: FilePath):
    with pytest.raises(StoreError, match="in memory"):
        await repair("memory://")
    with pytest.raises(StoreError, match="there is no store"):
        await repair(f"sqlite:///{tmp_path}/none.db")


def cut_one_off(archive: FilePath) -> None:
    files = sorted(file for file in archive.rglob("*") if file.is_file() and file.stat().st_size > 100)
    files[0].write_bytes(files[0].read_bytes()[:-1])


async def test_a_damaged_file_in_an_archive_is_found(folder: FilePath, tmp_path: FilePath):
    places = [f"sqlite:///{tmp_path}/home.db", f"archive:{tmp_path}/archive"]
    async with StateManager.open(
        stores.url_of(folder), modules=stores.modules(), snapshots=places
    ) as manager:
        talk = manager.at(TALK)
        await talk.dispatch("conversation_ended", {})
    files = [
        file for file in (tmp_path / "archive").rglob("*") if file.is_file() and file.stat().st_size > 100
    ]
    files[0].write_bytes(files[0].read_bytes()[:-1])

    outcome = await repaired(folder, snapshots=places, dry_run=True)

    assert "archive" in outcome.before.by_check()
