"""Taking the records of a file into a store: as they are, each once, a transaction at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import BinaryIO, Final

import attrs
import msgspec

from eliza_serializers.errors import SerializationError
from eliza_state.change import to_microseconds
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.masking import count_secrets, holds_sealed, masked, read_masked
from eliza_state.debugger.sessions.session_file import Header, InvalidSession, Line, read_header, read_lines
from eliza_state.errors import InvalidEvent, InvalidPath, StateError
from eliza_state.event import event_type
from eliza_state.files import StrPath
from eliza_state.followers.positions import FollowerAdvanced
from eliza_state.ids import encode_id
from eliza_state.journal.contract import Draft, Journal
from eliza_state.path import Path
from eliza_state.tree import Tree

BATCH: Final = 500
"""How many records share a transaction."""

_NOT_TAKEN: Final = event_type(FollowerAdvanced).name
_MOST_WARNINGS: Final = 20


@attrs.frozen(kw_only=True)
class Imported:
    """What an import did.

    `records` were stored at and below `path`, `present` ones were there already. `skipped` are of events
    that nobody knows here, or tell where followers of the other journal stood. Of the stored ones `erased`
    are without content, `masked` counts the secrets that are placeholders now, and `moved` records have a
    later time than the file says, as others came before them. `position` is the journal's last one.
    """

    path: Path
    records: int
    present: int
    skipped: int
    erased: int
    masked: int
    moved: int
    position: int
    warnings: tuple[str, ...] = ()


async def imported(looking: Looking, file: StrPath, *, to: Path | str | None, skip_unknown: bool) -> Imported:
    """Take in the records of a file; see `Debugger.import_session`."""
    with open(file, "rb") as stream:  # noqa: ASYNC230  # opening waits for no one; what is long runs in threads
        header = await asyncio.to_thread(read_header, stream)
        reading = _Reading(
            looking.tree, header, looking.path_of(header.path if to is None else to), skip_unknown
        )
        await asyncio.to_thread(reading.check, stream)
        lines = reading.accepted(stream)
        storing = _Storing(looking, reading)
        while batch := await asyncio.to_thread(list, islice(lines, BATCH)):
            await storing.store(batch)
    return storing.told(await looking.last())


@attrs.frozen
class _Accepted:
    """A record of the file as it is to be stored: with its line's number."""

    number: int
    line: Line
    path: Path
    content: bytes
    schema_version: int
    secrets: int

    @property
    def key(self) -> bytes:
        return encode_id(self.line.id)

    def draft(self, version: int) -> Draft:
        line = self.line
        at_us = to_microseconds(line.recorded_at)
        return Draft(
            self.key, self.path, version, line.event, self.schema_version, self.content, line.cause, at_us
        )


class _Reading:
    """Read a file's records for a store: with its paths, its events, its keys."""

    def __init__(self, tree: Tree, header: Header, to: Path, skip_unknown: bool) -> None:
        self.header = header
        self.to = to
        self.skipped = 0
        self._tree = tree
        self._skip_unknown = skip_unknown
        self._from = Path.decode(header.path)

    def check(self, stream: BinaryIO) -> None:
        """Look at all records, before any is stored."""
        for _ in self.accepted(stream):
            pass
        self.skipped = 0

    def accepted(self, stream: BinaryIO) -> Iterator[_Accepted]:
        """Yield the records that are to be stored; `InvalidSession` for one that cannot be."""
        stream.seek(0)
        for number, line in read_lines(stream):
            try:
                found = self._accepted(number, line)
            except (StateError, SerializationError) as error:
                raise InvalidSession(str(error), line=number) from error
            if found is None:
                self.skipped += 1
            else:
                yield found

    def _accepted(self, number: int, line: Line) -> _Accepted | None:
        path = self._path(line)
        if line.event == _NOT_TAKEN or not self._is_known(line):
            return None
        if not line.content:
            return _Accepted(number, line, path, b"", line.schema_version, 0)
        if holds_sealed(line.content):
            raise InvalidEvent("it holds a sealed secret, which no file is trusted with; export it revealed")
        return self._with_content(number, line, path)

    def _with_content(self, number: int, line: Line, path: Path) -> _Accepted:
        codec = self._tree.codec
        kind = self._tree.event_type(line.event)
        assert kind is not None
        read = partial(codec.decode, kind, schema_version=line.schema_version)
        secrets = count_secrets(line.content)
        if not secrets:
            read(line.content)
            return _Accepted(number, line, path, line.content, line.schema_version, 0)
        if self.header.secrets == "revealed":
            return _Accepted(number, line, path, codec.encode(read(line.content)), kind.version, 0)
        try:
            event = read_masked(read, line.content)
        except InvalidEvent as error:
            raise InvalidEvent(
                f"{error}; no placeholder fits there, so export it with its secrets"
            ) from error
        return _Accepted(number, line, path, codec.encode(event), kind.version, secrets)

    def _path(self, line: Line) -> Path:
        path = Path.decode(line.path)
        if path != self._from and not path.is_below(self._from):
            raise InvalidPath(f"{line.path!r} does not lie below {self.header.path!r}, as the header says")
        return self._tree.hierarchy.check(Path((*self.to.steps, *path.steps[len(self._from.steps) :])))

    def _is_known(self, line: Line) -> bool:
        kind = self._tree.event_type(line.event)
        if kind is not None and kind.version >= line.schema_version:
            return True
        if self._skip_unknown:
            return False
        what = "" if kind is None else f" of schema version {line.schema_version}, known up to {kind.version}"
        raise InvalidEvent(
            f"no module here knows the event {line.event!r}{what}; add the module, or skip what is unknown"
        )


class _Storing:
    """Store records that are not there yet, and count."""

    def __init__(self, looking: Looking, reading: _Reading) -> None:
        self._looking = looking
        self._journal: Journal = looking.manager.journal
        self._reading = reading
        self._stored = Counter[Path]()
        self._figures = {"records": 0, "present": 0, "erased": 0, "masked": 0, "moved": 0}

    async def store(self, batch: Sequence[_Accepted]) -> None:
        """Store a batch in one transaction."""
        new: list[_Accepted] = []
        drafts: list[Draft] = []
        moved = 0

        def make() -> list[Draft]:
            nonlocal moved
            versions = self._versions(batch)
            new[:] = [found for found in batch if not self._is_there(found, versions)]
            drafts[:] = _drafts(new, versions)
            moved = self._count_moved(drafts)
            return drafts

        await self._looking.manager.root.access.intake.append(make)
        self._stored.update(draft.path for draft in drafts)
        figures = self._figures
        figures["records"] += len(new)
        figures["present"] += len(batch) - len(new)
        figures["erased"] += sum(not found.content for found in new)
        figures["masked"] += sum(found.secrets for found in new)
        figures["moved"] += moved

    def _versions(self, batch: Sequence[_Accepted]) -> dict[Path, int]:
        head = self._journal.head()
        paths = dict.fromkeys(found.path for found in batch)
        return {path: self._journal.facts(path, until=head).version for path in paths}

    def _is_there(self, found: _Accepted, versions: Mapping[Path, int]) -> bool:
        # A scope that holds nothing but what came before in this file has no record of this one's id.
        return versions[found.path] != self._stored[found.path] and self._is_present(found)

    def _is_present(self, found: _Accepted) -> bool:
        """Tell whether a record is there; `InvalidSession` if another one has its id."""
        record = self._journal.find(found.path, found.key)
        if record is None:
            return False
        # What was erased, here or there, is not compared, and never comes back.
        is_same = record.event == found.line.event and (
            record.is_erased or not found.content or _plain(record.payload) == _plain(found.content)
        )
        if not is_same:
            raise InvalidSession(
                f"the id {found.line.id!r} at {found.path.encode()!r} belongs to another event in the store;"
                " import it to another path",
                line=found.number,
            )
        return True

    def _count_moved(self, drafts: Sequence[Draft]) -> int:
        newest = next(self._journal.read(Path(), newest_first=True, limit=1), None)
        last_us = 0 if newest is None else newest.recorded_at_us
        moved = 0
        for draft in drafts:
            moved += draft.recorded_at_us < last_us
            last_us = max(last_us, draft.recorded_at_us)
        return moved

    def told(self, position: int) -> Imported:
        """Return what was done."""
        reading, figures = self._reading, self._figures
        warnings = list(self._strangers())
        if figures["masked"]:
            warnings.append(f"{figures['masked']} secrets were masked: placeholders stand in their place")
        return Imported(
            path=reading.to, skipped=reading.skipped, position=position, warnings=tuple(warnings), **figures
        )

    def _strangers(self) -> Iterator[str]:
        here = self._looking.module_versions()
        for name, version in islice(self._reading.header.modules.items(), _MOST_WARNINGS):
            if name not in here:
                yield f"the module {name!r} of the other store is not registered here"
            elif version != here[name]:
                yield f"the module {name!r} was of version {version} there, and is of {here[name]} here"


def _drafts(new: Sequence[_Accepted], versions: Mapping[Path, int]) -> list[Draft]:
    """Return records to be appended, with the next versions of their paths."""
    last = Counter(versions)
    drafts: list[Draft] = []
    for found in new:
        last[found.path] += 1
        drafts.append(found.draft(last[found.path]))
    return drafts


def _plain(payload: bytes) -> object:
    """Return a payload to be compared: without its secrets, and whatever the order of its fields."""
    try:
        return msgspec.json.decode(masked(payload)[0])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return payload
