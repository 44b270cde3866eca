"""Moving keys between a home and an archive: nothing is lost, nothing newer replaced, wherever it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from eliza_state.cli.store.moving import Move, keys_in
from eliza_state.errors import StoreError
from eliza_state.storage.backend import Backend, Write, Written
from eliza_state.storage.disk import ArchiveBackend
from eliza_state.storage.layered import LayeredStore, MemoryLimits, PersistOptions
from eliza_state.storage.memory import MemoryBackend
from eliza_state.storage.table import Table
from eliza_state.storage.wrapper import Wrapper
from eliza_state.testing import ManualClock


@attrs.define
class World:
    """A home, an archive below it, and a store over both as programs have it."""

    clock: ManualClock
    home: Backend[bytes]
    archive: ArchiveBackend
    store: LayeredStore[Any]


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    clock = ManualClock()
    home = MemoryBackend[bytes](Table(), encoding=None, clock=clock)
    archive = ArchiveBackend(tmp_path / "archive", clock=clock)
    store = LayeredStore[Any](home, archive, memory=MemoryLimits(max_entries=0), clock=clock)
    yield World(clock, home, archive, store)
    await store.close()


class Meddled(Wrapper[bytes]):
    """A backend where `before` and `after` run around each write to it."""

    before: Callable[[], Awaitable[Any]] | None = None
    after: Callable[[], Awaitable[Any]] | None = None

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        before, self.before = self.before, None
        if before is not None:
            await before()
        written = await super().write(writes)
        after, self.after = self.after, None
        if after is not None:
            await after()
        return written


class Ending(Wrapper[bytes]):
    """A backend that fails from the step on where the process is to end; `steps` are what is left to do."""

    def __init__(self, inner: Backend[bytes], steps: list[None]) -> None:
        super().__init__(inner)
        self._steps = steps

    def _step(self) -> None:
        if not self._steps:
            raise StoreError("the end")
        self._steps.pop()

    async def write(self, writes: Sequence[Write[bytes]]) -> Sequence[Written]:
        self._step()
        return await super().write(writes)

    async def remove(self, keys: Sequence[str], *, dead_only: bool = False) -> int:
        self._step()
        return await super().remove(keys, dead_only=dead_only)


async def test_a_key_moves_with_its_times_and_is_found_where_it_went(world: World) -> None:
    await world.store.set("a", {"n": 1}, ttl_ms=60_000)
    before = await world.store.entry("a")
    move = Move(world.home, world.archive)
    await move.move(["a"])
    after = await world.store.entry("a")

    assert move.report.moved == 1
    assert await world.home.look(["a"]) == {}
    assert before is not None
    assert after == before._replace(version=before.version + 2)


async def test_it_moves_back(world: World) -> None:
    await world.store.set("a", 1, ttl_ms=60_000)
    await Move(world.home, world.archive).move(["a"])
    await Move(world.archive, world.home).move(["a"])

    assert await world.archive.look(["a"]) == {}
    assert set(await world.home.look(["a"])) == {"a"}
    assert await world.store.get("a") == 1


async def test_many_keys_move(world: World) -> None:
    await world.store.namespace("s").set_many({str(number): number for number in range(250)})
    move = Move(world.home, world.archive)
    async for page in keys_in(world.home, "s/", prefix="1", nested=False):
        await move.move(page)

    assert move.report.moved == 1 + 10 + 100
    assert await world.store.namespace("s").get("100") == 100
    assert [key async for page in keys_in(world.home, "s/", prefix="1", nested=False) for key in page] == []


async def test_what_is_there_already_and_what_is_nowhere_are_told_apart(world: World) -> None:
    await world.store.set("a", 1)
    await Move(world.home, world.archive).move(["a"])
    move = Move(world.home, world.archive)
    await move.move(["a", "b"])

    assert (move.report.moved, move.report.present, move.report.missing) == (0, 1, ["b"])


async def test_a_copy_that_was_archived_as_well_is_replaced(world: World) -> None:
    await world.store.set("a", 1, options=PersistOptions(archive=True))
    await world.store.set("a", 2)
    await Move(world.home, world.archive).move(["a"])

    assert await world.store.get("a") == 2


async def test_an_archived_key_may_be_written_and_deleted_again(world: World) -> None:
    await world.store.set("a", 1)
    await Move(world.home, world.archive).move(["a"])
    world.clock.advance(ms=1)
    await world.store.set("a", 2)
    assert await world.store.get("a") == 2

    await world.store.delete("a")
    world.clock.advance(ms=3_600_000)
    await world.store.sweep()
    assert await world.store.get("a") is None


async def test_bringing_back_replaces_nothing_newer(world: World) -> None:
    await world.store.set("a", 1)
    await Move(world.home, world.archive).move(["a"])
    world.clock.advance(ms=1)
    await world.store.set("a", 2)
    move = Move(world.archive, world.home)
    await move.move(["a"])

    assert move.report.failures == {"a": "a newer one lies where it was to go"}
    assert await world.store.get("a") == 2


async def test_bringing_back_undoes_no_deletion(world: World) -> None:
    await world.store.set("a", 1)
    await Move(world.home, world.archive).move(["a"])
    home = Meddled(world.home)
    world.clock.advance(ms=1)
    home.before = lambda: world.store.delete("a")
    move = Move(world.archive, home)
    await move.move(["a"])

    assert move.report.moved == 0
    assert await world.store.get("a") is None


async def test_what_somebody_writes_meanwhile_stays_and_the_copy_goes(world: World) -> None:
    await world.store.set("a", 1)
    archive = Meddled(world.archive)
    archive.after = lambda: world.store.set("a", 2)
    move = Move(world.home, archive)
    await move.move(["a"])

    assert move.report.failures == {"a": "somebody wrote it meanwhile; move it again"}
    assert await world.store.get("a") == 2
    assert await world.archive.look(["a"]) == {}


async def test_what_somebody_writes_after_it_left_stays(world: World) -> None:
    await world.store.set("a", 1)
    world.clock.advance(ms=1)
    home = Meddled(world.home)
    home.after = lambda: world.store.set("a", 2)
    await Move(home, world.archive).move(["a"])

    assert await world.store.get("a") == 2


@pytest.mark.parametrize("restores", [False, True])
@pytest.mark.parametrize("steps", range(4))
async def test_wherever_it_ends_nothing_is_lost_and_it_can_be_run_again(
    world: World, steps: int, restores: bool
) -> None:
    await world.store.set("a", 1)
    if restores:
        await Move(world.home, world.archive).move(["a"])
    left: list[None] = [None] * steps
    home, archive = Ending(world.home, left), Ending(world.archive, left)
    source, target = (archive, home) if restores else (home, archive)
    if steps < 3:
        with pytest.raises(StoreError, match="the end"):
            await Move(source, target).move(["a"])
    else:
        await Move(source, target).move(["a"])

    await world.store.sweep()
    assert await world.store.get("a") == 1
    ends = (world.archive, world.home) if restores else (world.home, world.archive)
    await Move(*ends).move(["a"])
    assert await world.store.get("a") == 1
    assert set(await ends[1].look(["a"])) == {"a"}
    assert await ends[0].look(["a"]) == {}


async def test_a_damaged_file_in_the_way_keeps_its_key_where_it_is(world: World) -> None:
    await world.store.set("a", 1, options=PersistOptions(archive=True))
    await world.store.set("b", 2)
    (file,) = (path for path in world.archive.folder.rglob("*") if path.is_file() and not path.suffix)
    file.write_bytes(b"damaged")
    move = Move(world.home, world.archive)
    await move.move(["a", "b"])

    assert list(move.report.failures) == ["a"]
    assert move.report.moved == 1
    assert await world.store.get("a") == 1
    assert await world.store.get("b") == 2
