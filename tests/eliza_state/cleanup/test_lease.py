"""One process at a time cleans a store up, and its end gives the lease back."""

from __future__ import annotations

import pytest

from eliza_state.cleanup import FileLease
from eliza_state.errors import StoreError
from tests.forking.process import start_program

HOLD = """
import sys
from eliza_state.cleanup import FileLease
lease = FileLease(sys.argv[1])
print(lease.take(), flush=True)
sys.stdin.read()
"""


def test_a_lease_is_taken_once(tmp_path):
    first, second = FileLease(f"{tmp_path}/state.db"), FileLease(f"{tmp_path}/state.db")

    assert (first.take(), second.take()) == (True, False)

    first.release()

    assert second.take()
    second.release()


def test_giving_back_twice_does_nothing(tmp_path):
    lease = FileLease(f"{tmp_path}/state.db")
    lease.take()
    lease.release()
    lease.release()

    assert lease.take()
    lease.release()


def test_a_killed_process_gives_it_back(tmp_path):
    database = f"{tmp_path}/state.db"
    with start_program(HOLD, database) as holder:
        told, lease = holder.stdout.readline(), FileLease(database)
        before = lease.take()
        holder.kill()
        holder.wait()
        after = lease.take()
        lease.release()

    assert ("True\n", False, True) == (told, before, after)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot lock"):
        FileLease(f"{tmp_path}/file/state.db").take()
