"""Killed anywhere in a synchronisation, and run again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import sys

import pytest

from eliza_state.synchronizer import synchronize
from tests.eliza_state.chat import TALK, Said
from tests.forking.process import run_program

# Kills itself when the database is to be committed for the nth time.
_CHILD = """
import asyncio, os, sqlite3, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from eliza_state.synchronizer import synchronize

left = int(sys.argv[3])

@event.listens_for(Engine, "commit")
def committing(connection):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)

asyncio.run(synchronize(sys.argv[1], sys.argv[2]))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


async def apart(laptop, phone, clock) -> None:
    for number in range(3):
        for replica in (laptop, phone):
            clock.turn(1)
            said = [(Said(user="ada", text=f"{replica.file.stem} {number} {of}"), TALK) for of in range(300)]
            await replica.use(lambda manager, said=said: manager.dispatch_all(said))
        if not number:
            await synchronize(laptop.url, phone.url, join=True)
    await laptop.use(lambda manager: manager.erase(TALK, until=10))


async def test_it_is_whole_after_the_next_time(laptop, phone, clock):
    await apart(laptop, phone, clock)
    before = {record.id for replica in (laptop, phone) for record in await replica.records()}
    kills = 0
    while True:
        done = await asyncio.to_thread(run_program, _CHILD, laptop.url, phone.url, 4 + 4 * kills)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        kills += 1
    records = await laptop.records()

    assert kills > 2
    assert before == {record.id for record in records}
    assert len(before) == len(records)
    assert records == await phone.records()
    assert await laptop.states(snapshots=False) == await phone.states(snapshots=False)
    assert 1_790 == len((await phone.states())[0][TALK]["talk"].texts)
