"""The figures as Prometheus and OpenTelemetry see them, both from one table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from eliza_state.health import FIGURES, HealthMonitor
from eliza_state.health.metrics import PREFIX
from eliza_state.health.opentelemetry import observe
from eliza_state.health.prometheus import PrometheusCollector
from eliza_state.manager import StateManager
from eliza_state.problems import Problem
from tests.eliza_state.chat import AGENT, Said, modules

LABELS = {"condition", "module", "level", "file", "window", "quantile", "place", "layer", "kind"}


@pytest.fixture
async def monitor(sqlite_url: str) -> AsyncIterator[HealthMonitor]:
    async with StateManager.open(sqlite_url, modules=modules()) as manager:
        made = HealthMonitor(manager)
        for number in range(20):
            path = AGENT.child("room", f"secret room {number}").child("conversation", "c")
            await manager.dispatch(Said(user="ada", text="hello"), to=path)
        manager.problems.report(Problem("value", "no", AGENT))
        await manager.follow("words", lambda told, write: None)
        yield made
        await made.close()


def scraped(monitor: HealthMonitor) -> str:
    registry = CollectorRegistry()
    registry.register(PrometheusCollector(monitor))
    return generate_latest(registry).decode()


def observed(monitor: HealthMonitor) -> dict[str, list[tuple[dict[str, Any], float]]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(monitor, provider.get_meter("test"))
    found: dict[str, list[tuple[dict[str, Any], float]]] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points: Any = metric.data.data_points
                found[metric.name] = [(dict(point.attributes), point.value) for point in points]
    provider.shutdown()
    return found


async def test_prometheus_gets_every_figure(monitor: HealthMonitor):
    await monitor.check_health()
    text = scraped(monitor)

    assert [figure.name for figure in FIGURES if f"# TYPE {PREFIX}{figure.name}" not in text] == []
    assert f"{PREFIX}healthy 1.0\n" in text
    assert f'{PREFIX}scopes_live{{level="conversation"}} 20.0\n' in text
    assert f'{PREFIX}problems_total{{kind="value"}} 1.0\n' in text
    assert f'{PREFIX}dispatch_seconds{{quantile="0.99"}} ' in text


async def test_opentelemetry_gets_the_same_figures(monitor: HealthMonitor):
    await monitor.check_health()
    text, found = scraped(monitor), observed(monitor)
    lines = re.findall(r"^(eliza_state_\w+?)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
    told = {(name, labels): float(value) for name, labels, value in lines if not name.endswith("_created")}
    same = {
        (name, ",".join(f'{label}="{text}"' for label, text in labels.items())): value
        for name, points in found.items()
        for labels, value in points
    }

    assert same == told


async def test_before_the_first_look_there_is_nothing(monitor: HealthMonitor):
    assert scraped(monitor) == ""
    assert observed(monitor) == {}


async def test_no_label_holds_an_id(monitor: HealthMonitor):
    health = await monitor.check_health()
    values = [(figure, labels) for figure in FIGURES for labels, _ in figure.read(health)]

    assert {label for figure in FIGURES for label in figure.labels} <= LABELS
    assert "secret room" not in scraped(monitor)
    assert max(sum(each is figure for each, _ in values) for figure in FIGURES) <= 10


def test_names_and_kinds_follow_the_conventions():
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert all(figure.name.endswith("_total") == (figure.kind == "counter") for figure in FIGURES)
