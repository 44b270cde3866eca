"""Writing the records of a scope to one file."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import attrs

from eliza_serializers.errors import SecretLocked
from eliza_state.change import Record
from eliza_state.debugger.looking import Looking
from eliza_state.debugger.masking import masked, revealed
from eliza_state.debugger.ranges import Range, pages, range_of
from eliza_state.debugger.sessions.session_file import FORMAT, VERSION, Header, SessionText
from eliza_state.errors import StateError
from eliza_state.files import Files, StrPath
from eliza_state.path import Path


@attrs.frozen(kw_only=True)
class Exported:
    """What an export wrote.

    `records` are in the file, `erased` of them without content; `masked` counts the secrets behind a
    placeholder. `damaged` records were left out.
    """

    file: FilePath
    records: int
    erased: int
    masked: int
    damaged: int
    size_bytes: int


async def exported(
    looking: Looking, file: StrPath, path: Path | str, *, first: int, last: int | None, reveal_secrets: bool
) -> Exported:
    """Write records to a file; see `Debugger.export_session`."""
    wanted = await range_of(looking, path, first=first, last=last)
    target = FilePath(file)
    temporary = target.with_name(f"{target.name}.temporary-{uuid.uuid4().hex}")
    files = Files()
    handle = files.create(temporary)
    try:
        try:
            writing = _Writing(looking, files, handle, reveal_secrets=reveal_secrets)
            await asyncio.to_thread(writing.begin, wanted)
            async for page in pages(looking, wanted):
                await asyncio.to_thread(writing.add, page)
            await asyncio.to_thread(writing.end)
        finally:
            files.close(handle)
        files.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            files.remove(temporary)
        raise
    files.sync_folder(target.parent)
    return writing.told(target)


class _Writing:
    """Write the lines of a session, in a thread."""

    def __init__(self, looking: Looking, files: Files, handle: int, *, reveal_secrets: bool) -> None:
        self._looking = looking
        self._files = files
        self._handle = handle
        self._reveal_secrets = reveal_secrets
        self._text = SessionText()
        self._figures = {"erased": 0, "masked": 0, "damaged": 0, "size_bytes": 0}

    def begin(self, wanted: Range) -> None:
        header = Header(
            format=FORMAT,
            version=VERSION,
            epoch=self._looking.manager.journal.epoch,
            path=wanted.path.encode(),
            first=wanted.first,
            last=wanted.last,
            secrets="revealed" if self._reveal_secrets else "masked",
            modules=self._looking.module_versions(),
        )
        self._write(self._text.header(header))

    def add(self, page: Sequence[Record]) -> None:
        lines: list[bytes] = []
        for record in page:
            if not record.event:
                self._figures["damaged"] += 1
                continue
            self._figures["erased"] += record.is_erased
            lines.append(self._text.record(record, self._payload(record)))
        self._write(b"".join(lines))

    def end(self) -> None:
        self._write(self._text.trailer())
        self._files.sync(self._handle)

    def told(self, file: FilePath) -> Exported:
        figures: dict[str, Any] = self._figures
        return Exported(file=file, records=self._text.records, **figures)

    def _payload(self, record: Record) -> bytes:
        payload = record.payload
        if not self._reveal_secrets:
            payload, count = masked(payload)
            self._figures["masked"] += count
            return payload
        try:
            return revealed(payload, self._looking.tree.codec.serializer.secrets)[0]
        except SecretLocked as error:
            raise StateError(
                f"the record at position {record.position} cannot be exported with secrets: {error.reason};"
                " open the store with its keys, or export it masked"
            ) from error

    def _write(self, content: bytes) -> None:
        self._files.write(self._handle, content)
        self._figures["size_bytes"] += len(content)
