"""`eliza-state health`: the figures of a store, once or again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.options import Debug, Json, Modules, Store
from eliza_state.cli.terminal import FAILED, one_line, output, print_json, put, reporting
from eliza_state.health import HealthMonitor, StateHealth
from eliza_state.manager import StateManager
from eliza_state.portal import SyncStateManager


def health(
    store: Store = DEFAULT_STORE,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until interrupted.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.01, help="How long between two looks.")
    ] = 2.0,
    times: Annotated[
        int | None, typer.Option("--times", min=1, help="With --watch: look so many times.")
    ] = None,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Show the figures of a store, and what is wrong with them.

    The store is opened read-only, by a process of its own: what is told of memory, receivers and queues is
    this command's. A program that has the store open tells its own figures by a HealthMonitor. The exit code
    is 1 if something is wrong.

    \b
    Examples:
      eliza-state health
      eliza-state health --json | jq .state.files
      eliza-state health --watch --interval 5
    """
    with reporting(debug=debug), open_store(store, modules or (), read_only=True) as manager:
        looks = _looks(manager, 1 if not watch else times, interval_s=interval)
        is_healthy = True
        for found in looks:
            is_healthy = found.is_healthy
            if as_json:
                print_json(msgspec.json.encode(found.to_dict()))
            else:
                _show(found, output())
        if not is_healthy:
            raise typer.Exit(FAILED)


def _looks(manager: SyncStateManager, times: int | None, *, interval_s: float) -> Iterator[StateHealth]:
    """Yield what is found, `times` times or for ever."""

    async def begin(it: StateManager) -> HealthMonitor:
        return HealthMonitor(it)

    async def look(it: StateManager) -> StateHealth:
        await it.refresh()
        return await monitor.check_health()

    monitor = manager.run(begin)
    for number in itertools.count() if times is None else range(times):
        if number:
            time.sleep(interval_s)
        yield manager.run(look)


def _show(health: StateHealth, console: Console) -> None:
    """Print the figures of a store that is only looked at, and the reasons."""
    updates = health.updates
    last = "none yet" if updates.last is None else f"the last at {updates.last:%Y-%m-%d %H:%M:%S} UTC"
    put(
        console,
        Text("healthy" if health.is_healthy else "not healthy", "green" if health.is_healthy else "red"),
    )
    for reason in health.reasons:
        put(console, Text(f"  {one_line(reason.text)}", "yellow"))
    put(console, f"records  {health.journal.head:,}, {last}")
    if any(updates.per_second.values()):
        rates = ", ".join(f"{rate:,.1f}/s in {window} s" for window, rate in updates.per_second.items())
        put(console, f"updates  {rates}")
    files = ", ".join(f"{name} {_size(size)}" for name, size in health.state.files.items())
    put(console, f"files    {files or 'none'}")
    for layer in health.layers:
        rate = "" if layer.hit_rate is None else f", {layer.hit_rate:.0%} hits"
        put(console, f"layer    {layer.place} {layer.name}: {'up' if layer.is_up else 'down'}{rate}")
    for error in health.errors[-5:]:
        where = f" at {error.path!r}" if error.path else ""
        put(console, Text(f"error    {error.kind}{where}: {one_line(error.message)}", "yellow"))


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1_000
    raise AssertionError
