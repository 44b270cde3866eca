import gc

import pytest

from eliza_state.collector import collector_paused


def test_the_collector_rests_while_the_block_runs_and_runs_afterwards():
    with collector_paused():
        during = gc.isenabled()

    assert (during, gc.isenabled()) == (False, True)


def test_an_error_lets_it_run_again():
    with pytest.raises(ValueError, match="unreadable"), collector_paused():
        raise ValueError("unreadable")

    assert gc.isenabled()


def test_one_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        stays_off = not gc.isenabled()
    finally:
        gc.enable()

    assert stays_off
