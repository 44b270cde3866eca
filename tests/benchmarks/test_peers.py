"""The packages that the project is measured beside."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from benchmarks.machine import PEERS

LINES = [line for line in PEERS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("line", LINES)
def test_each_is_a_requirement_of_one_version(line: str) -> None:
    (version,) = Requirement(line).specifier

    assert version.operator in {"==", "<"}
