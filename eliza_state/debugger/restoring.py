"""Giving scopes back the state of an earlier position: a record for each of them, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import takewhile
from types import MappingProxyType
from typing import Final

import attrs

from eliza_state.change import Record
from eliza_state.debugger.comparing import SnapshotDiff, diff
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.snapshot import ScopeState, StateSnapshot
from eliza_state.dispatcher import record_key
from eliza_state.errors import InvalidEvent, ScopeArchived, StateError, StoreError
from eliza_state.event import RESTORE, ScopeRestored, event_type
from eliza_state.ids import UuidFactory, decode_id
from eliza_state.journal.contract import Draft, Journal, restore_of, told_restore
from eliza_state.path import Path
from eliza_state.tree import Tree

_KIND: Final = event_type(ScopeRestored)


@attrs.frozen(kw_only=True)
class Restored:
    """What a restore did.

    The `scopes`, at and below `path`, have the state of position `to` again. `above` are the scopes above
    `path`: they keep what they made of the records since then. `id` is that of the records, one for each of
    the scopes, and `position` that of the path's own. A `duplicate` had been done before, under the same id.
    """

    path: Path
    to: int
    scopes: tuple[Path, ...]
    above: tuple[Path, ...]
    id: str
    position: int
    duplicate: bool = False


async def restored(
    looking: Looking,
    path: Path,
    to: int,
    *,
    below: bool,
    id: str | None,  # noqa: A002  # the records' id; the field's own word
    cause: str | None,
) -> Restored:
    """Restore scopes to a position that the journal has; see `Debugger.restore`."""
    access, journal = looking.manager.root.access, looking.manager.journal
    key = UuidFactory()() if id is None else record_key(id)
    if cause is not None:
        record_key(cause)
    making = _Making(looking.tree, journal, path, to, below=below, key=key, cause=cause)
    await looking.run(partial(_check, journal, path))
    # In memory, so that receivers are told what changes in all of them.
    async with access.scopes.held(await looking.run(making.scopes)) as held:
        try:
            await access.intake.append(making, guarded=path if below else None)
        except StoreError:
            # It may be stored all the same.
            if await looking.run(partial(journal.find, path, key)) is None:
                raise
        if access.snapshotter is not None:
            access.snapshotter.look_at(held.values(), written=await looking.last())
    found = await looking.run(making.records)
    return Restored(
        path=path,
        to=to,
        scopes=tuple(record.path for record in found),
        above=tuple(path.chain())[:-1],
        id=decode_id(key),
        position=found[0].position,
        duplicate=not making.has_drafts,
    )


def _check(journal: Journal, path: Path) -> None:
    """Raise `StateError` for a scope that no record has ever reached."""
    if not journal.knows(path):
        where = repr(path.encode()) if path.steps else "the root"
        raise StateError(f"no record has ever reached {where}: there is nothing to restore")


class _Making:
    """Make the records of one restore, by what the journal holds."""

    def __init__(
        self, tree: Tree, journal: Journal, path: Path, to: int, *, below: bool, key: bytes, cause: str | None
    ) -> None:
        self._tree = tree
        self._journal = journal
        self._path = path
        self._to = to
        self._below = below
        self._key = key
        self._cause = cause or decode_id(key)
        self._versions: dict[Path, int] = {}
        self._seen = 0
        self.has_drafts = False

    def scopes(self) -> list[Path]:
        """Return the scopes that are to be restored: that of the path, and those that changed since."""
        self._look_for_news()
        return list(self._versions)

    def __call__(self) -> list[Draft]:
        """Return the records; none where they are stored already."""
        self.has_drafts = not self._is_stored()
        if not self.has_drafts:
            return []
        self._look_for_news()
        self._check_above()
        return [self._draft(path, version + 1) for path, version in self._versions.items()]

    def _is_stored(self) -> bool:
        known = self._journal.find(self._path, self._key)
        if known is None:
            return False
        told = told_restore(known)
        if told is None or told.position != self._to:
            raise InvalidEvent(
                f"the id {known.id!r} at {self._path.encode()!r} belongs to another event; an id may come"
                " again only with the same restore"
            )
        return True

    def _look_for_news(self) -> None:
        """Take in what is on the journal since the last look; at first all scopes are looked at."""
        head = self._journal.head()
        if not self._seen:
            self._versions = dict(self._changed(self._path, head))
        else:
            for record in self._journal.read(self._path, after=self._seen, until=head):
                self._take(record, head)
        self._seen = head

    def _changed(self, path: Path, head: int) -> Iterator[tuple[Path, int]]:
        """Yield the scopes that records have reached since, with their versions, parents first."""
        facts = self._journal.facts(path, until=head)
        is_changed = facts.last_position > self._to
        if is_changed or path == self._path:
            yield path, facts.version
        if is_changed and self._below:
            for child in self._journal.children(path):
                yield from self._changed(child, head)

    def _take(self, record: Record, head: int) -> None:
        reached = list(record.path.chain())[len(self._path.steps) :]
        for path in reached if self._below else reached[:1]:
            if path == record.path or path not in self._versions:
                self._versions[path] = self._journal.facts(path, until=head).version

    def _check_above(self) -> None:
        for path in list(self._path.chain())[:-1]:
            kind = self._tree.event_type(self._journal.facts(path, until=self._seen).last_event)
            if kind is not None and kind.ends_scope:
                raise ScopeArchived(path.encode())

    def _draft(self, path: Path, version: int) -> Draft:
        event = self._told(path)
        content = self._tree.codec.encode(event) if self._journal.durable else event
        return Draft(self._key, path, version, _KIND.name, _KIND.version, content, self._cause)

    def _told(self, path: Path) -> ScopeRestored:
        newest = next(self._journal.read(path, until=self._to, newest_first=True, limit=1), None)
        if newest is None:
            return ScopeRestored(position=self._to)
        if newest.path == path and restore_of(newest, self._journal.find) is not None:
            # What that one refers to itself, so that no state is found by way of many of them.
            known = told_restore(newest)
            assert known is not None
            return ScopeRestored(
                position=self._to, record=known.record, below=known.below, last_event=known.last_event
            )
        below = Path(newest.path.steps[len(path.steps) :]).encode()
        last_event = self._journal.facts(path, until=self._to).last_event
        return ScopeRestored(position=self._to, record=newest.id, below=below, last_event=last_event)

    def records(self) -> list[Record]:
        """Return the records that are stored, in order: they follow each other."""
        first = self._journal.find(self._path, self._key)
        assert first is not None
        following = self._journal.read(self._path, after=first.position - 1)
        return list(takewhile(lambda record: (record.event, record.key) == (RESTORE, self._key), following))


async def preview(looking: Looking, path: Path, to: int, *, below: bool) -> SnapshotDiff:
    """Return what a restore would change; see `Debugger.preview_restore`."""
    position = await looking.last()
    await looking.run(partial(_check, looking.manager.journal, path))
    tree = await looking.states(path, None if below else 0, position)
    now = await looking.snapshot(tree, position)
    scopes = {found: await _as_it_was(looking, found, scope, to) for found, scope in now.scopes.items()}
    recorded_at = await looking.recorded_at(to)
    return diff(now, StateSnapshot(to, recorded_at, MappingProxyType(scopes), now.modules, now.initial))


async def _as_it_was(looking: Looking, path: Path, scope: ScopeState, to: int) -> ScopeState:
    moment = await looking.moment(path, to)
    modules = looking.tree.modules(scope.level)
    slices = {
        name: moment.slices[name] if modules[name].restorable else state
        for name, state in scope.slices.items()
    }
    return ScopeState(scope.level, scope.version, scope.position, MappingProxyType(slices))
