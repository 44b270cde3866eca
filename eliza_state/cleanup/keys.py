"""Removing entries of storages that are past their deadline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from eliza_state.cleanup.policies import ExpiredKeys
from eliza_state.cleanup.work import Tally, Work
from eliza_state.errors import StateError
from eliza_state.manager import StateManager
from eliza_state.plugins import Plugins
from eliza_state.storage import Storage

_AT_ONCE: Final = 1_000
_COUNTED: Final = 1_000_000
PLUGINS_SUFFIX: Final = "-plugins"


async def clean_keys(work: Work, policy: ExpiredKeys, tally: Tally) -> None:
    """Sweep the storages of plugins, and those of the policy."""
    for name, storage in _storages(work, policy):
        try:
            if work.dry_run:
                tally.did(len(await storage.backend.expired(limit=_COUNTED)))
            else:
                await _sweep(work, storage, tally)
        except StateError as error:
            tally.fail(name, error)
        await work.pace.breathe()


async def _sweep(work: Work, storage: Storage[Any], tally: Tally) -> None:
    while swept := await storage.backend.sweep(limit=_AT_ONCE):
        tally.did(len(swept))
        await work.pace.breathe()


def _storages(work: Work, policy: ExpiredKeys) -> Iterator[tuple[str, Storage[Any]]]:
    plugins = plugins_of(work.manager)
    if plugins is not None:
        for name, storage in plugins.storages().items():
            yield f"plugin {name!r}" if name else "the plugins' storage", storage
    for number, storage in enumerate(policy.storages, 1):
        yield f"storage {number}", storage


def plugins_of(manager: StateManager) -> Plugins | None:
    """Return the plugins of a store if they have stored something, or are in use; opening makes no file."""
    found = manager.parts.plugins.opened
    if found is None and manager.core.database is not None:
        found = manager.plugins if os.path.exists(manager.core.database + PLUGINS_SUFFIX) else None
    return found
