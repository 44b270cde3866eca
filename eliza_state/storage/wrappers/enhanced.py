"""Storages whose values change shape from version to version of a program.

>>> sessions = enhance_storage(
...     storage,
...     migrations={
...         1: lambda session: {**session, "role": "guest"},
...         2: lambda session: {"counter": 0, **session},
...     },
... )
>>> await sessions.get("user:7")  # stored by an older program
{'counter': 0, 'name': 'Ada', 'role': 'guest'}
"""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from eliza_serializers import SerializationError
from eliza_state.clock import Clock, now_us
from eliza_state.errors import StateError, StoreError
from eliza_state.storage.backend import GONE, Entry, Write, Written
from eliza_state.storage.contract import KVStorage
from eliza_state.storage.errors import FutureValue, MigrationFailed, ValueTooLarge
from eliza_state.storage.immutable import is_immutable
from eliza_state.storage.keys import space_of
from eliza_state.storage.storage import Storage
from eliza_state.storage.walking import KEPT_FAILURES, walk, wrapped
from eliza_state.storage.wrapper import Around
from eliza_state.storage.wrappers.envelope import Envelope, NativeEnvelopes, Replacement
from eliza_state.storage.wrappers.foreign import ForeignBackend

Migration: TypeAlias = Callable[[Any], Any]
"""Makes a value of one version from one of the version before."""
Failure: TypeAlias = StoreError | ValueTooLarge | SerializationError

_UNWRITABLE: Final = (ValueTooLarge, SerializationError)


class EnhancedBackend(Around[Any, Envelope]):
    """A backend of values over one of envelopes, which brings old ones to the current version."""

    inner: NativeEnvelopes | ForeignBackend

    def __init__(
        self, inner: NativeEnvelopes | ForeignBackend, *, migrations: Mapping[int, Migration]
    ) -> None:
        super().__init__(inner)
        if sorted(migrations) != list(range(1, len(migrations) + 1)):
            raise ValueError(f"expected migrations to the versions 1, 2, 3 …, got {list(migrations)!r}")
        self._migrations = dict(migrations)
        self.current = len(migrations)
        """The version that is written."""

    def migrated(self, key: str, envelope: Envelope) -> Any:
        """Return the data of an envelope at the current version; raises `FutureValue`, `MigrationFailed`."""
        if envelope.version > self.current:
            raise FutureValue(key, found=envelope.version, known=self.current)
        # A migration may change its argument and fail then; where storages share objects, that would stay.
        data = envelope.data if is_immutable(envelope.data) else copy.deepcopy(envelope.data)
        for version in range(envelope.version + 1, self.current + 1):
            try:
                data = self._migrations[version](data)
            except Exception as error:  # whatever it raises is told with the key and the version
                raise MigrationFailed(key, version=version, error=error) from error
        return data

    def at_hand(self, key: str) -> Entry[Any] | None:
        entry = self.inner.at_hand(key)
        if entry is None or entry.live_value.version != self.current:
            return None
        return entry._replace(value=entry.live_value.data)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Entry[Any]]:
        found = await self.inner.read(keys)
        now_ms = self.now_ms
        live = {key: entry for key, entry in found.items() if entry.is_live(now_ms)}
        values: dict[str, Entry[Any]] = {
            key: entry._replace(value=entry.live_value.data) for key, entry in live.items()
        }
        old = [self.replacement(key, entry) for key, entry in live.items() if self._is_other(entry)]
        if old:
            values.update({item.key: item.seen._replace(value=item.envelope.data) for item in old})
            # What was read is right whether or not it can be kept; the next reader tries again.
            with contextlib.suppress(StateError):
                for item, version in zip(old, await self.inner.replace(old), strict=True):
                    if version is not None:
                        values[item.key] = values[item.key]._replace(version=version)
        return values

    def _is_other(self, entry: Entry[Envelope]) -> bool:
        return entry.live_value.version != self.current

    def replacement(self, key: str, entry: Entry[Envelope]) -> Replacement:
        """Return what is to be stored instead of an entry; raises what `migrated` raises."""
        return Replacement(key, entry, Envelope(self.current, self.migrated(key, entry.live_value)))

    async def write(self, writes: Sequence[Write[Any]]) -> Sequence[Written]:
        return await self.inner.write(
            [
                write if write.value is GONE else write._replace(value=Envelope(self.current, write.value))
                for write in writes
            ]
        )


def enhance_storage(
    base: KVStorage[Any],
    *,
    migrations: Mapping[int, Migration],
    legacy_expiry: bool = True,
    clock: Clock | None = None,
) -> Storage[Any]:
    """Return a storage over another whose values are kept in envelopes with the version of their shape.

    `migrations` are keyed by the version they make, from 1 without a gap (else `ValueError`); the last one is
    the current version, which every write gets. Older values are migrated when they are read and written
    back under their deadlines, unless somebody else was faster; those without an envelope are version 0. A
    value of a later version raises `FutureValue`, one whose migration raises `MigrationFailed`; both stay as
    they are, until they are `set` anew. [`enhanceStorage` of `@puregram/storage`]

    `base` is a storage of this package, which keeps values of any kind, or anything with the methods of
    `KVStorage` (see `ForeignBackend` for what it then can do; `clock` is for those alone). Deadlines that
    stand in envelopes count. To know them, whatever is done with a key of a storage of this package reads it
    first; say `legacy_expiry=False` when there are none, or after `migrate`. Closing it closes `base`.
    """
    if not isinstance(base, Storage):
        foreign = ForeignBackend(base, clock=clock or now_us)
        return Storage(EnhancedBackend(foreign, migrations=migrations))
    if clock is not None:
        raise ValueError("a storage of this package has a clock: give it there")
    return base.around(
        lambda backend: EnhancedBackend(
            NativeEnvelopes(backend, legacy_expiry=legacy_expiry), migrations=migrations
        )
    )


@attrs.frozen
class Migrated:
    """What `migrate` found and did, or would do.

    `versions` counts the values by the version they were found in. `migrated` ones are at the current
    version now; `contended` ones were written by others meanwhile, and left to the next reader. `failed`
    ones stay as they are; `failures` says why, for the first hundred.
    """

    versions: Mapping[int, int]
    migrated: int
    contended: int
    failed: int
    failures: tuple[Failure, ...]


async def migrate(storage: Storage[Any], *, dry_run: bool = False) -> Migrated:
    """Bring all values of an enhanced storage to the current version, those below its namespace alone if any.

    With `dry_run` the migrations run and nothing is written. It may run while others write, and may be
    stopped at any point and run again. Raises `ValueError` for another storage.
    """
    backend = wrapped(storage.backend, EnhancedBackend)
    if backend is None:
        raise ValueError(f"expected a storage made by enhance_storage, got {storage!r}")
    task = _Migrate(backend)
    async for entries, damaged in walk(
        backend.inner.dry() if dry_run else backend.inner, space_of(*storage.names)
    ):
        task.fail(*damaged)
        old = task.go_over(entries)
        if dry_run:
            task.migrated += len(old)
        elif old:
            await task.store(old)
    versions = MappingProxyType(dict(sorted(task.versions.items())))
    return Migrated(versions, task.migrated, task.contended, task.failed, tuple(task.failures))


class _Migrate:
    def __init__(self, backend: EnhancedBackend) -> None:
        self._backend = backend
        self.versions: Counter[int] = Counter()
        self.migrated = 0
        self.contended = 0
        self.failed = 0
        self.failures: list[Failure] = []

    def fail(self, *errors: Failure) -> None:
        self.failed += len(errors)
        self.failures.extend(errors[: KEPT_FAILURES - len(self.failures)])

    def go_over(self, entries: Mapping[str, Entry[Envelope]]) -> list[Replacement]:
        old: list[Replacement] = []
        for key, entry in entries.items():
            version = entry.live_value.version
            self.versions[version] += 1
            if version != self._backend.current:
                try:
                    old.append(self._backend.replacement(key, entry))
                except (FutureValue, MigrationFailed) as error:
                    self.fail(error)
        return old

    async def store(self, old: Sequence[Replacement]) -> None:
        try:
            versions = await self._backend.inner.replace(old)
        except _UNWRITABLE as error:
            if len(old) == 1:
                self.fail(error)
                return
            for one in old:
                await self.store([one])
            return
        self.contended += versions.count(None)
        self.migrated += len(versions) - versions.count(None)
