"""That upcasters and migrations keep what they promise, without a store."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from eliza_state import codec
from eliza_state.diff import diff, render
from eliza_state.errors import Rejected, StateError
from eliza_state.event import event_type
from eliza_state.module import StateModule, check_module
from eliza_state.path import DEFAULT_HIERARCHY, Hierarchy, Path
from eliza_state.slice_migration import migrate_slice
from eliza_state.snapshots import SliceSnapshot, dump_slice
from eliza_state.testing.driver import Facts, TreeDriver


def check_upcast(cls: type, payloads: Mapping[int, Mapping[str, Any]]) -> dict[int, Any]:
    """Upcast a payload of each older schema version to today's event class, and return the events by version.

    `payloads[n]` is a payload as a record of schema version n holds it: what JSON can say. Check what came of
    it by comparing the events.
    Raises `AssertionError`, naming the version, for one that cannot be upcast, does not fit the class, or
    cannot be stored again.
    """
    kind = event_type(cls)
    events: dict[int, Any] = {}
    for version, payload in payloads.items():
        try:
            event = codec.decode(kind, msgspec.json.encode(payload), schema_version=version)
            codec.encode(event)
        except Exception as error:  # an upcaster is foreign code
            raise AssertionError(
                f"a payload of {kind.name} in schema version {version} cannot be upcast to {kind.version}:"
                f" {error!r}"
            ) from error
        events[version] = event
    return events


def check_migrations(
    before: StateModule[Any],
    after: StateModule[Any],
    facts: Facts,
    *,
    hierarchy: Hierarchy = DEFAULT_HIERARCHY,
) -> None:
    """Check that a module's migrations give what today's module makes of the same records.

    `before` is the module as it was, `after` as it is today, under the same name and level. `facts` are
    events with their paths as `before` takes them; for `after` they are upcast by name, and left out where it
    handles none of that name, or refuses them.
    Raises `AssertionError` naming the scope and what differs in its state, or the migration that failed;
    `RegistrationError` for a module whose declaration cannot work.
    """
    for module in (before, after):
        check_module(module)
    old, new = (TreeDriver(module, hierarchy=hierarchy) for module in (before, after))
    for event, path in facts:
        old.send(path, event)
        _send_again(new, path, event)
    for path in old.paths:
        if hierarchy.level(path) != before.level:
            continue
        migrated = _migrated(before, after, old.slices(path)[before.name], path)
        differences = render(diff(new.slices(path)[after.name], migrated))
        if differences:
            raise AssertionError(
                f"module {after.name!r}, migrated from version {before.version} to {after.version}, differs"
                f" at {path.encode()!r} from the fold of the records:\n{differences}"
            )


def _send_again(driver: TreeDriver, path: Path | str, event: Any) -> None:
    """Send an event of yesterday's class to a driver with today's."""
    old = event_type(type(event))
    kind = driver.tree.event_type(old.name)
    if kind is None:
        return
    today = codec.decode(kind, codec.encode(event), schema_version=old.version)
    with contextlib.suppress(Rejected):  # a fold leaves the slice as it was
        driver.send(path, today)


def _migrated(before: StateModule[Any], after: StateModule[Any], state: Any, path: Path) -> Any:
    dump = dump_slice(before, state, place="")
    stored = SliceSnapshot(before.name, before.version, dump.body, dump.named)
    missing = [step for step in range(before.version, after.version) if step not in after.migrations]
    if missing:
        raise AssertionError(
            f"module {after.name!r} has no migration from version {missing[0]}, so that snapshots of version"
            f" {before.version} are not used"
        )
    try:
        return migrate_slice(after, stored, lambda _: dump.chunks)
    except StateError as error:
        raise AssertionError(f"at {path.encode()!r}: {error}") from error
