"""Backups: copying a store while it is in use, verifying the copy, and making a store of it again."""

from eliza_state.backup.making import Backup, backup
from eliza_state.backup.manifest import BackupFile, Manifest, NotABackup
from eliza_state.backup.restoring import Restored, restore
from eliza_state.backup.verifying import verify

__all__ = [
    "Backup",
    "BackupFile",
    "Manifest",
    "NotABackup",
    "Restored",
    "backup",
    "restore",
    "verify",
]
