"""The figures for OpenTelemetry (`pip install eliza-state[opentelemetry]`, and the SDK of your choice).

>>> observe(monitor, provider.get_meter("my-bot"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from eliza_state.health.metrics import FIGURES, PREFIX, Figure
from eliza_state.health.monitor import HealthMonitor


def observe(monitor: HealthMonitor, meter: Meter) -> None:
    """Make an observable instrument of a meter for each figure; they tell the monitor's last look.

    They end with the meter's provider. Before the first look, and once the monitor is closed, they tell what
    was seen last, or nothing.
    """
    for figure in FIGURES:
        make: Any = meter.create_observable_counter
        if figure.kind == "gauge":
            make = meter.create_observable_gauge
        make(PREFIX + figure.name, callbacks=[_callback(monitor, figure)], description=figure.text)


def _callback(monitor: HealthMonitor, figure: Figure) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observed(_options: CallbackOptions) -> Iterable[Observation]:
        health = monitor.last
        if health is None:
            return []
        return [
            Observation(value, dict(zip(figure.labels, labels, strict=True)))
            for labels, value in figure.read(health)
        ]

    return observed
