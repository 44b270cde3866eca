"""A few seconds of faults on each engine; `make faults` takes its time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.faults.events_run import run_events
from tests.faults.keys_run import run_keys
from tests.faults.run import Settings

SEED: Final = int(os.environ.get("ELIZA_STATE_FAULTS_SEED", "1"))

pytestmark = pytest.mark.once


def settings(engine: str, *, seconds: float) -> Settings:
    return Settings(engine=engine, seed=SEED, seconds=seconds, workers=3, fault_pause_s=0.5, pace_s=0.01)


@pytest.mark.parametrize("engine", ["sqlite", "sqlite+redis", "postgresql"])
async def test_events_outlive_faults(tmp_path: Path, engine: str) -> None:
    outcome = await run_events(settings(engine, seconds=5), tmp_path)

    assert not outcome.findings, outcome.told()
    assert outcome.figures["acknowledged"]
    assert outcome.figures["killed"]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "postgresql+redis"])
async def test_keys_are_linearizable_under_faults(tmp_path: Path, engine: str) -> None:
    outcome = await run_keys(settings(engine, seconds=4), tmp_path)

    assert not outcome.findings, outcome.told()
    assert outcome.figures["done"]
    assert outcome.figures["killed"]
