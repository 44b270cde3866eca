"""A replica in a file."""

from __future__ import annotations

import pytest

from eliza_state.errors import StoreError
from eliza_state.files import Files
from eliza_state.synchronizer import NotAReplica, ReplicaFile, synchronize
from eliza_state.synchronizer.messages import NOTHING
from eliza_state.testing import FailingFiles
from tests.eliza_state.synchronizer.replicas import Replica


async def written(replica: Replica, *texts: str):
    """Return a file that holds what was said."""
    await replica.say(*texts)
    path = replica.file.with_suffix(".replica")
    with replica.log() as log:
        ReplicaFile(path).write(log)
    return path


async def test_it_holds_what_the_store_holds(laptop, phone):
    path = await written(laptop, "one", "two")

    with laptop.log() as log, phone.log() as other:
        file = ReplicaFile(path)
        for batch in file.lacking(NOTHING):
            other.receive(batch)
        other.merge()
        assert log.summary() == file.summary() == other.summary()

    assert await laptop.records() == await phone.records()


async def test_only_what_is_lacking_comes_out(laptop):
    path = await written(laptop, "one", "two")
    with laptop.log() as log:
        summary = log.summary()
    await written(laptop, "three")

    (batch,) = ReplicaFile(path).lacking(summary)

    assert (1, True) == (batch.count(b"\n"), b"three" in batch)


def test_one_that_is_not_there_holds_nothing(tmp_path):
    file = ReplicaFile(tmp_path / "none.replica")

    assert NOTHING == file.summary()
    assert [] == list(file.lacking(NOTHING))


async def test_it_carries_records_from_store_to_store(laptop, phone, tmp_path):
    stick = tmp_path / "stick.replica"
    await laptop.say("one")
    await synchronize(laptop.url, stick)
    await synchronize(stick, phone.url, create=True)
    await phone.say("two")
    await synchronize(phone.url, stick)

    report = await synchronize(laptop.url, stick)

    assert (1, 0) == (report.first.records, report.second.records)
    assert ["one", "two"] == await laptop.texts()


async def test_an_erasure_travels_with_it_and_cleans_it(laptop, phone, tmp_path):
    stick = tmp_path / "stick.replica"
    await laptop.say("planted")
    for replica in (laptop, phone):
        await synchronize(replica.url, stick, create=True)
    await laptop.erase()

    for replica in (laptop, phone):
        await synchronize(replica.url, stick)

    assert [] == await phone.texts()
    for file in (stick, phone.file):
        assert b"planted" not in file.read_bytes()


# What cannot be


@pytest.mark.parametrize("cut", [2, 100, 400])
async def test_a_file_that_was_cut_off_is_refused(laptop, cut):
    path = await written(laptop, "one", "two")
    path.write_bytes(path.read_bytes()[:-cut])

    with pytest.raises(NotAReplica):
        ReplicaFile(path)


async def test_a_file_that_was_changed_is_refused_naming_the_line(laptop):
    path = await written(laptop, "one", "two")
    path.write_bytes(path.read_bytes().replace(b"one", b"eno"))

    with pytest.raises(NotAReplica, match="line 4: the checksum is another"):
        ReplicaFile(path)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("milk")

    with pytest.raises(NotAReplica, match="it is no replica"):
        ReplicaFile(path)


async def test_a_file_that_cannot_be_written_stays_as_it_was(laptop):
    path = await written(laptop, "one")
    before = path.read_bytes()
    await laptop.say("two")

    with laptop.log() as log, pytest.raises(OSError, match="No space"):
        ReplicaFile(path, files=FailingFiles(Files(), fail_at=4)).write(log)

    assert before == path.read_bytes()
    assert [path.name] == [file.name for file in path.parent.glob("*.replica*")]


async def test_a_damaged_store_writes_no_file(laptop):
    path = await written(laptop, "one")
    laptop.damage(1)

    with laptop.log() as log, pytest.raises(StoreError, match="position 1 is damaged"):
        ReplicaFile(path).write(log)
