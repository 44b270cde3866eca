"""Storages on the disk: one JSON file, and an archive of one file an entry."""

from eliza_state.storage.disk.archive import ArchiveBackend, ArchiveStorage, Verification
from eliza_state.storage.disk.file import FileBackend, FileStorage

__all__ = ["ArchiveBackend", "ArchiveStorage", "FileBackend", "FileStorage", "Verification"]
