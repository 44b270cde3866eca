"""Every text in which a secret could be shown: one line of the table each.

A surface gets the open store with the planted secrets and yields what it shows; whatever shows state, events
or values from now on gets a line here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from eliza_modules.approval import Approvals
from eliza_modules.run import Runs
from eliza_modules.settings import SettingsModule
from eliza_modules.well_known import WellKnownKeys
from eliza_modules.workspace import WorkspaceModule
from eliza_modules.workspace_memory import (
    MEMORY_TOOLS,
    WorkspaceMemory,
    call_memory_tool,
    debug_view,
    memory_text,
    with_memory,
)
from eliza_serializers import JsonSerializer, MsgpackSerializer
from eliza_state.change import Change
from eliza_state.codec import register_collections
from eliza_state.diff import diff, render
from eliza_state.health import HealthMonitor
from eliza_state.health.prometheus import PrometheusCollector
from eliza_state.scope import Scope
from tests.secrets.planted import AGENT, ROOM, USER, Planted, VaultModule, filled

Surface = Callable[[Planted], AsyncIterator[str | bytes]]

SURFACES: dict[str, Surface] = {}
"""What there is to look at, by name."""


def surface(name: str) -> Callable[[Surface], Surface]:
    """Add a function to the table."""

    def add(shown: Surface) -> Surface:
        SURFACES[name] = shown
        return shown

    return add


def texts(value: object) -> Iterable[str]:
    """The texts of one object: `repr`, `str`, both ways of formatting."""
    return repr(value), str(value), f"{value}", f"{value!r:.5000}", "%s %r" % (value, value)  # noqa: UP031


def scopes(store: Planted) -> list[Scope]:
    return [store.manager.root, *map(store.manager.at, (AGENT, USER, ROOM))]


async def changed(store: Planted) -> Change:
    """A change that carries secrets in its event and in both states."""
    return await store.manager.dispatch(filled(store.secrets), to=ROOM)


@surface("a change, its record, event and slices")
async def _change(store: Planted) -> AsyncIterator[str]:
    change = await changed(store)
    shown = (change, change.record, change.event, change.transitions, change.slices, change.before)
    for value in (*shown, change.after, change.path, list(change.slices)):
        for text in texts(value):
            yield text


@surface("records")
async def _records(store: Planted) -> AsyncIterator[str]:
    for text in texts(await store.manager.root.records(limit=None)):
        yield text


@surface("states of scopes, as a whole and in their parts")
async def _states(store: Planted) -> AsyncIterator[str]:
    for scope in scopes(store):
        slices = await scope.state()
        for value in (slices, *slices.values(), *parts(slices)):
            for text in texts(value):
                yield text


def parts(slices: Any) -> Iterable[Any]:
    for state in slices.values():
        for name in getattr(type(state), "__slots__", ()):
            yield getattr(state, name, None)


@surface("handles, the manager and its parts")
async def _handles(store: Planted) -> AsyncIterator[str]:
    manager = store.manager
    shown = (manager, manager.tree, manager.journal, manager.plugins, manager.plugins["trader"])
    for value in (*shown, manager.problems, list(manager.problems), *scopes(store)):
        for text in texts(value):
            yield text


@surface("the tree of all states, now and before")
async def _tree(store: Planted) -> AsyncIterator[str]:
    trees = [await store.manager.root.tree(at=at) for at in (1, 3)]
    for value in (await store.manager.state(), *trees):
        for text in texts(value):
            yield text


@surface("inherited values")
async def _inherited(store: Planted) -> AsyncIterator[str]:
    found = await store.manager.at(ROOM).inherited(SettingsModule)
    for value in (found, dict(found)):
        for text in texts(value):
            yield text


@surface("differences")
async def _differences(store: Planted) -> AsyncIterator[str]:
    for scope in scopes(store):
        for name, state in (await scope.state()).items():
            initial = store.manager.tree.initial(store.manager.tree.hierarchy.level(scope.path))[name]
            for found in (diff(initial, state), diff(state, initial)):
                yield render(found)
                yield repr(found)


@surface("masked dumps")
async def _dumps(store: Planted) -> AsyncIterator[bytes]:
    event = (await changed(store)).event
    for serializer in (JsonSerializer(), MsgpackSerializer()):
        register_collections(serializer)
        yield serializer.encode(event, as_type=type(event), mask_secrets=True)
        vault = await store.manager.at(ROOM).state(VaultModule)
        yield serializer.encode(vault, as_type=type(vault), mask_secrets=True)
        yield serializer.encode({"deep": [vault.log, vault.by_secret]}, mask_secrets=True)


@surface("well-known keys")
async def _well_known(store: Planted) -> AsyncIterator[str]:
    keys = WellKnownKeys(store.manager.at(AGENT))
    for key in await keys.keys():
        yield json.dumps(await keys.get(key))


@surface("runs and approvals")
async def _services(store: Planted) -> AsyncIterator[str]:
    agent = store.manager.at(AGENT)
    runs, approvals = Runs(agent), Approvals(agent, manager=store.manager)
    for value in (await runs.get("r1"), await runs.list(), await approvals.get("a1"), runs, approvals):
        for text in texts(value):
            yield text


@surface("memory for a prompt, the debug view, a model's tools")
async def _memory(store: Planted) -> AsyncIterator[str]:
    user = store.manager.at(USER)
    workspace, memory = await user.state(WorkspaceModule), WorkspaceMemory(user)
    yield memory_text(workspace)
    yield with_memory("You are Eliza.", workspace)
    yield json.dumps(debug_view(workspace))
    for tool in MEMORY_TOOLS:
        arguments = {"key": "password"} if "key" in tool.parameters["properties"] else {}
        if tool.name not in ("memory_set", "memory_delete"):
            for text in texts(await call_memory_tool(tool.name, arguments, memory)):
                yield text


@surface("plugins' values and their changes")
async def _plugins(store: Planted) -> AsyncIterator[str]:
    plugin = store.manager.plugins["trader"]
    heard: list[Any] = []
    stop = plugin.listen(heard.append)
    value = await plugin.get("key")
    await plugin.set("key", {"again": value})
    await store.manager.plugins.settled()
    stop()
    for shown in (value, heard):
        for text in texts(shown):
            yield text


@surface("a monitor, its health, alerts and metrics")
async def _health(store: Planted) -> AsyncIterator[str | bytes]:
    def fail(change: Change) -> None:
        raise ValueError(change, change.event, change.event.field)

    monitor = HealthMonitor(store.manager, thresholds={"errors_per_minute": 0})
    alerts: list[object] = []
    monitor.on_alert(alerts.append)
    subscription = store.manager.subscribe(fail)
    await changed(store)
    verification = await monitor.verify(sample=None)
    health = await monitor.check_health()
    subscription.cancel()
    registry = CollectorRegistry()
    registry.register(PrometheusCollector(monitor))
    yield generate_latest(registry)
    yield json.dumps(health.to_dict())
    yield json.dumps(verification.to_dict())
    for value in (health, verification, alerts, monitor, health.errors, health.reasons):
        for text in texts(value):
            yield text
    await monitor.close()
