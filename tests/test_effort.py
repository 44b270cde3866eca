from collections.abc import Callable
from typing import NamedTuple

import pytest

from eliza_state.testing.storages import StorageContract
from tests import effort


class Collected(NamedTuple):
    nodeid: str
    function: Callable[..., object] | None = None


ALL = [Collected(f"test_a.py::test_one[{number}]") for number in range(100)] + [
    Collected("test_a.py::test_two")
]


def test_a_short_run_leaves_out_most_of_those_that_differ_by_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(effort.SAMPLE, raising=False)
    monkeypatch.setattr(effort, "EFFORT", 0.1)
    chosen = effort.thinned(ALL)

    assert (len(chosen), chosen[-1]) == (21, ALL[-1])
    assert effort.thinned(ALL) == chosen


def test_a_short_run_tries_a_contract_on_a_part_of_the_storages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(effort.SAMPLE, raising=False)
    monkeypatch.setattr(effort, "EFFORT", 0.1)
    promise = StorageContract.test_a_storage_answers_as_a_dict_does
    tests = [Collected(f"test_{store}.py::TestStore::test_a_promise", promise) for store in range(12)]

    assert len(effort.thinned(tests)) == 3


def test_a_usual_run_leaves_out_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "EFFORT", 1.0)

    assert effort.thinned(ALL) == ALL
