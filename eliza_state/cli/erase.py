"""Erasing from the command line: what would go, a question, and what went."""

from __future__ import annotations

import sys

import msgspec
import typer

from eliza_state.cli.terminal import Misuse
from eliza_state.erasure import Erased, is_erasable
from eliza_state.path import Path
from eliza_state.portal import SyncScope, SyncStateManager


def planned(manager: SyncStateManager, scope: SyncScope, *, until: int | None) -> Erased:
    """Return what an erasure would take; nothing is changed."""
    paths: set[Path] = set()
    records = size_bytes = 0
    for record in manager.journal.read(scope.path, until=until):
        if is_erasable(record):
            records += 1
            size_bytes += len(record.payload)
            paths.add(record.path)
    return Erased(records=records, scopes=len(paths), size_bytes=size_bytes, position=manager.position())


def confirm(plan: Erased, scope: SyncScope) -> bool:
    """Ask whether it is to be. Raises `Misuse` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Misuse("erasing is for good and there is no terminal to ask; say --yes, or --dry-run to look")
    where = repr(scope.path.encode()) if scope.path.steps else "the root, which is all there is"
    return typer.confirm(f"erase {_amount(plan)}, at and below {where}, for good?", err=True)


def told(erased: Erased, *, dry_run: bool) -> str:
    """Return one line on what went, or would go."""
    return f"{_amount(erased)} {'would be erased' if dry_run else 'erased'}"


def told_json(erased: Erased, *, dry_run: bool) -> bytes:
    """Return the same as a JSON object."""
    fields = ("records", "scopes", "size_bytes", "position", "remains")
    return msgspec.json.encode({**{name: getattr(erased, name) for name in fields}, "dry_run": dry_run})


def _amount(erased: Erased) -> str:
    records, scopes = erased.records, erased.scopes
    return (
        f"{records} record{'' if records == 1 else 's'} of {scopes} scope{'' if scopes == 1 else 's'}"
        f" ({erased.size_bytes} bytes)"
    )
