"""Run the faults for long: `python -m tests.faults`, or `make faults`.

Without options, all runs on all engines share the time: `ELIZA_STATE_FAULTS_MINUTES` (10) minutes. The seed
is a new one each time, or `ELIZA_STATE_FAULTS_SEED`. Ends with 1 where something was found.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.faults.engines import ENGINES
from tests.faults.events_run import EventsRun
from tests.faults.keys_run import KeysRun
from tests.faults.run import Run, Settings

RUNS: Final[Mapping[str, type[Run]]] = {each.kind: each for each in (EventsRun, KeysRun)}
MINUTES: Final = float(os.environ.get("ELIZA_STATE_FAULTS_MINUTES", "10"))
SEED: Final = os.environ.get("ELIZA_STATE_FAULTS_SEED")
EVENTS_SHARE: Final = 3
"""A run of events gets so many times the time of a run of keys."""


def planned(options: argparse.Namespace) -> Iterator[tuple[str, Settings]]:
    """Yield the runs that the options ask for."""
    pairs = [
        (kind, engine)
        for engine in options.engine or ENGINES
        for kind in RUNS
        if options.kind in (None, kind)
    ]
    shares = {"events": EVENTS_SHARE, "keys": 1}
    total = sum(shares[kind] for kind, _ in pairs)
    for kind, engine in pairs:
        seconds = options.seconds or options.minutes * 60 * shares[kind] / total
        yield (
            kind,
            Settings(
                engine=engine,
                seed=options.seed,
                seconds=seconds,
                workers=options.workers,
                fault_pause_s=options.fault_pause,
                pace_s=options.pace,
                acknowledged=options.acknowledged if kind == "events" else 0,
            ),
        )


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Return what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kind", choices=RUNS, help="one kind of run instead of both")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="an engine; may come again")
    parser.add_argument("--seed", type=int, default=int(SEED) if SEED else secrets.randbelow(1 << 31))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all runs together")
    parser.add_argument("--seconds", type=float, help="for each run")
    parser.add_argument(
        "--acknowledged", type=int, default=0, help="for each run of events, until so many are acknowledged"
    )
    parser.add_argument("--workers", type=int, default=4, help="how many processes")
    parser.add_argument("--fault-pause", type=float, default=2.0, help="mean seconds between two faults")
    parser.add_argument("--pace", type=float, default=0.01, help="mean seconds between operations of a lane")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run them one after the other; return how many found something."""
    failed = 0
    for kind, settings in planned(read_options(arguments)):
        sys.stdout.write(f"{kind} on {settings.engine}, seed {settings.seed} …\n")
        sys.stdout.flush()
        folder = Path(tempfile.mkdtemp(prefix=f"faults-{kind}-"))
        outcome = asyncio.run(RUNS[kind](settings, folder).carry_out())
        sys.stdout.write(f"{outcome.told()}\n")
        if outcome.findings:
            failed += 1
        else:
            shutil.rmtree(folder)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
