"""Migrating what lies in all layers of a place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from eliza_state.cli.store.opening import Place, storage_of
from eliza_state.cli.terminal import Misuse
from eliza_state.storage.encoding import Encoding
from eliza_state.storage.wrappers import Migrated, enhance_storage
from eliza_state.storage.wrappers import migrate as migrate_storage
from eliza_state.storage.wrappers.enhanced import Migration


async def migrate_place(
    place: Place, encoding: Encoding[Any], migrations: Mapping[int, Migration], *, dry_run: bool
) -> Migrated:
    """Migrate the values of a place; those of an archive where they lie, and not into the home above it.

    Raises `Misuse` for migrations that leave out a version.
    """
    done = await _migrate(place.without_archive(), encoding, migrations, dry_run=dry_run)
    if place.archive is None:
        return done
    below = attrs.evolve(place, urls=(place.archive,))
    return _sum(done, await _migrate(below, encoding, migrations, dry_run=dry_run))


async def _migrate(
    place: Place, encoding: Encoding[Any], migrations: Mapping[int, Migration], *, dry_run: bool
) -> Migrated:
    async with storage_of(place, encoding, to_read=dry_run) as storage:
        try:
            enhanced = enhance_storage(storage, migrations=migrations)
        except (ValueError, TypeError) as error:  # versions that cannot be compared are no versions
            raise Misuse(f"--migrations: {error}") from None
        return await migrate_storage(enhanced, dry_run=dry_run)


def _sum(one: Migrated, other: Migrated) -> Migrated:
    return Migrated(
        dict(sorted((Counter(one.versions) + Counter(other.versions)).items())),
        one.migrated + other.migrated,
        one.contended + other.contended,
        one.failed + other.failed,
        (*one.failures, *other.failures),
    )
