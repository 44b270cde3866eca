"""Reading a backup back: its files against the manifest, then the copy as a store is verified."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path as FilePath
from typing import Final

import attrs

from eliza_state.backup.manifest import STORE, BackupFile, Manifest, read
from eliza_state.backup.places import stands_at
from eliza_state.backup.running import in_thread
from eliza_state.backup.writing import described
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.health import Finding, Verification, verify_files
from eliza_state.health.verifying import Progress, Told

CHECKSUMS: Final = "checksums"
"""The name of the check that holds the files of a backup against its manifest."""

_LOST: Final = "the backup is not what was made; take another one"


async def verify(folder: StrPath, *, told: Told | None = None) -> Verification:
    """Read a backup back and tell what is damaged; nothing is changed.

    Every file is held against the size and the checksum in the manifest, then the copy is looked over as
    `eliza_state.health.verify_files` does it. `told` is told of progress, in the thread that does the work.
    Damage is never raised, but found. Raises `NotABackup` for a folder without a manifest that can be read.
    """
    return await in_thread(partial(verified, Files(), FilePath(folder)), told=told)


def verified(files: Files, folder: FilePath, told: Told) -> Verification:
    """Read a backup back; see `verify`."""
    manifest = read(files, folder)
    findings = list(differing(folder, manifest, told))
    try:
        content = verify_files(str(folder / STORE), is_copy=True, told=told)
    except StoreError:  # there is no such file, which is found already
        content = Verification(position=manifest.position, checked={})
    if not findings:
        findings += _elsewhere(folder, manifest)
    return attrs.evolve(
        content,
        checked={CHECKSUMS: len(manifest.files), **content.checked},
        findings=(*findings, *content.findings),
        total=len(findings) + content.total,
    )


def differing(folder: FilePath, manifest: Manifest, told: Told) -> Iterator[Finding]:
    """Yield the files of a backup that are not what its manifest says."""
    done = 0

    def count(piece: bytes) -> None:
        nonlocal done
        done += len(piece)
        told(Progress(CHECKSUMS, done, manifest.size_bytes))

    for file in manifest.files:
        try:
            found = described(folder, file.name, read=count)
        except OSError as error:
            yield _finding(file, f"it cannot be read: {error.strerror}")
            continue
        if found.size_bytes != file.size_bytes:
            yield _finding(file, f"it has {found.size_bytes:,} bytes, and had {file.size_bytes:,}")
        elif found.sha256 != file.sha256:
            yield _finding(file, "its checksum differs")


def _elsewhere(folder: FilePath, manifest: Manifest) -> Iterator[Finding]:
    """Yield a finding where the journal stands elsewhere than the manifest says."""
    try:
        found = stands_at(str(folder / STORE))
    except StoreError:  # what cannot be opened is told by the verification
        return
    told = (manifest.epoch, manifest.position, manifest.recorded_at)
    if (found.epoch, found.position, found.recorded_at) != told:
        yield Finding(
            check=CHECKSUMS,
            message=f"its journal stands at {found.position}, the manifest says {manifest.position}",
            file=os.path.basename(STORE),
            loss=_LOST,
        )


def _finding(file: BackupFile, message: str) -> Finding:
    return Finding(check=CHECKSUMS, message=message, file=file.name, loss=_LOST)
