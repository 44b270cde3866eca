"""A few seconds of faults on each engine; `make faults` takes its time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.faults.events_run import EventsRun
from tests.faults.keys_run import KeysRun
from tests.faults.run import Settings

SEED: Final = int(os.environ.get("ELIZA_STATE_FAULTS_SEED", "1"))

pytestmark = pytest.mark.once


def settings(engine: str, *, plan: int) -> Settings:
    """Return a short run; the plans of all of them together have every fault of every subject."""
    return Settings(engine=engine, seed=SEED + plan, seconds=2.5, workers=2, fault_pause_s=0.2, pace_s=0.02)


@pytest.mark.parametrize(("engine", "plan"), [("postgresql", 0), ("sqlite+redis", 4), ("sqlite", 5)])
async def test_events_outlive_faults(tmp_path: Path, engine: str, plan: int) -> None:
    outcome = await EventsRun(settings(engine, plan=plan), tmp_path).carry_out()

    assert not outcome.findings, outcome.told()
    assert outcome.figures["acknowledged"]
    assert outcome.figures["killed"]


@pytest.mark.parametrize(("engine", "plan"), [("postgresql+redis", 1), ("postgresql", 2), ("sqlite", 3)])
async def test_keys_are_linearizable_under_faults(tmp_path: Path, engine: str, plan: int) -> None:
    outcome = await KeysRun(settings(engine, plan=plan), tmp_path).carry_out()

    assert not outcome.findings, outcome.told()
    assert outcome.figures["done"]
    assert outcome.figures["killed"]
