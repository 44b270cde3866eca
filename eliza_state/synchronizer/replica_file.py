"""A replica in a file: the lines of `eliza_state.synchronizer.messages`, from a summary to a checksum.

It holds what the store held that wrote it, and is carried to where another one takes it in. Secrets are in it
as they are on the journal: in plain, unless the store has keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterator
from itertools import chain
from pathlib import Path as FilePath
from typing import Final

from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.synchronizer.errors import Diverged, NotAReplica
from eliza_state.synchronizer.messages import (
    NOTHING,
    End,
    Entry,
    ErasedIds,
    RecordLine,
    Summary,
    line,
    read_line,
)
from eliza_state.synchronizer.replica_log import ReplicaLog
from eliza_state.synchronizer.sending import Sent

_MAX_LINE_BYTES: Final = 128 * 1024 * 1024
_BATCH_BYTES: Final = 256_000


class ReplicaFile:
    """Read a replica's file, and write it anew; one that is not there holds nothing.

    All of it is looked at before anything is given out. Raises `NotAReplica` naming the line for a file that
    is none, was cut off or changed, or is of a newer format.
    """

    def __init__(self, path: StrPath, *, files: Files | None = None) -> None:
        self.path = FilePath(path)
        self._files = Files() if files is None else files
        self._summary = self._checked() if self.path.exists() else NOTHING

    def summary(self) -> Summary:
        """Return what the file holds."""
        return self._summary

    def lacking(self, other: Summary, *, sent: Sent | None = None) -> Iterator[bytes]:
        """Yield the records that another replica lacks, in batches of lines, as `ReplicaLog.lacking` does."""
        told = Sent() if sent is None else sent
        lines: list[bytes] = []
        size_bytes = 0
        for text in self._lacking_lines(other, told):
            lines.append(text)
            size_bytes += len(text)
            if size_bytes >= _BATCH_BYTES:
                yield b"".join(lines)
                lines, size_bytes = [], 0
        if lines:
            yield b"".join(lines)

    def _lacking_lines(self, other: Summary, sent: Sent) -> Iterator[bytes]:
        counts = other.clock
        erased: list[bytes] = []
        for text, told in self._lines():
            if isinstance(told, ErasedIds):
                erased.append(text)
            elif isinstance(told, RecordLine):
                if told.sequence > counts.count(told.writer):
                    sent.records += 1
                    sent.touched.add((Entry.of(told).path, told.event))
                    for one in (*erased, text):
                        sent.size_bytes += len(one)
                        yield one
                erased.clear()

    def write(self, log: ReplicaLog) -> None:
        """Write all that a store holds in the place of the file, whole or not at all."""
        temporary = self.path.with_name(f"{self.path.name}.temporary-{uuid.uuid4().hex}")
        files = self._files
        handle = files.create(temporary, like=self.path)
        try:
            try:
                summary = self._write_all(log, handle)
                files.sync(handle)
            finally:
                files.close(handle)
            files.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                files.remove(temporary)
            raise
        files.sync_folder(self.path.parent)
        self._summary = summary

    def check(self, other: Summary) -> None:
        """Raise `Diverged` if what another has of a writer is not what the file has of it."""
        for _, told in self._lines():
            if isinstance(told, RecordLine):
                count, tip = other.writers.get(told.writer, (0, ""))
                if told.sequence == count and Entry.of(told).tip != tip:
                    raise Diverged(told.writer, sequence=count)

    def _write_all(self, log: ReplicaLog, handle: int) -> Summary:
        summary, sent = log.summary(), Sent()
        digest = hashlib.sha256()
        for text in chain([summary.encode()], log.lacking(NOTHING, sent=sent)):
            digest.update(text)
            self._files.write(handle, text)
        if sent.damaged is not None:
            raise StoreError(f"the record at position {sent.damaged} is damaged: no copy can be written")
        self._files.write(handle, line(End(sent.records, digest.hexdigest())))
        return summary

    def _checked(self) -> Summary:
        with open(self.path, "rb") as file:
            text = file.readline(_MAX_LINE_BYTES)
            summary = Summary.decode(text)
            digest, number, records = hashlib.sha256(text), 1, 0
            while text := file.readline(_MAX_LINE_BYTES):
                number += 1
                told = read_line(text, number=number)
                if isinstance(told, End):
                    if (told.records, told.sha256) != (records, digest.hexdigest()) or file.read(1):
                        raise NotAReplica("the checksum is another: the file was changed", line=number)
                    return summary
                digest.update(text)
                records += isinstance(told, RecordLine)
        raise NotAReplica(f"the file was cut off after line {number}: it ends with its checksum")

    def _lines(self) -> Iterator[tuple[bytes, object]]:
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            while text := file.readline(_MAX_LINE_BYTES):
                yield text, read_line(text)
