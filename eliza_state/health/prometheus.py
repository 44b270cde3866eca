"""The figures for Prometheus (`pip install eliza-state[metrics]`).

>>> registry.register(PrometheusCollector(monitor))
>>> prometheus_client.start_http_server(9_464, registry=registry)
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from eliza_state.health.metrics import FIGURES, PREFIX
from eliza_state.health.monitor import HealthMonitor


class PrometheusCollector(Collector):
    """Give a registry the figures of the monitor's last look; none before the first.

    It never looks itself: a scrape comes in another thread, as often as it likes, and costs the manager
    nothing. How fresh the figures are is the monitor's interval.
    """

    def __init__(self, monitor: HealthMonitor) -> None:
        self._monitor = monitor

    def describe(self) -> list[Metric]:
        """Return the names without a look at anything."""
        return [_family(figure.name, figure.text, figure.kind, figure.labels) for figure in FIGURES]

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each figure."""
        health = self._monitor.last
        if health is None:
            return
        for figure in FIGURES:
            family = _family(figure.name, figure.text, figure.kind, figure.labels)
            for labels, value in figure.read(health):
                family.add_metric(labels, value)
            yield family


def _family(
    name: str, text: str, kind: str, labels: tuple[str, ...]
) -> CounterMetricFamily | GaugeMetricFamily:
    make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    return make(PREFIX + name, text, labels=labels)
