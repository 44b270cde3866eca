"""A JSON file of entries, open for one process: locked, read, set aside when damaged, replaced whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path as FilePath

from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath, make_folders, replace_file, set_aside
from eliza_state.storage.disk.access import file_lock, resolved, take_lock, translated
from eliza_state.storage.disk.file_entries import Slot, document_of, read_document


class EntriesFile:
    """Hold a file of entries (`storage.disk.file_entries`), which nobody else may write meanwhile.

    Its folder is made where it is missing. A symbolic link is followed when it is opened, and stays: what it
    points to is replaced, and keeps its permissions. Raises `Busy` for a file that is open
    already (by a lock on `<name>.lock`), and `StoreError` for what the operating system refuses.
    """

    def __init__(self, path: StrPath, *, files: Files | None = None) -> None:
        self.path = resolved(path)
        """The file, with symbolic links followed."""
        self._files = Files() if files is None else files
        with translated(f"open {str(self.path)!r}"):
            make_folders(self._files, self.path.parent)
        self._lock = file_lock(self.path.with_name(f"{self.path.name}.lock"))
        take_lock(self._lock, timeout_s=0)

    def load(self, *, now_us: int) -> dict[str, Slot]:
        """Return the entries by full key; none for a missing file.

        Raises `ValueError` for a file that cannot be read as entries, which is for `set_aside`, and
        `StoreError` for one of a later version, which stays as it is.
        """
        with translated(f"open {str(self.path)!r}"):
            self._remove_temporaries()
            try:
                return read_document(self._files.read(self.path), now_us=now_us)
            except FileNotFoundError:
                return {}
            except RecursionError as error:
                raise StoreError(f"cannot open {str(self.path)!r}: {error}") from error
            except StoreError as error:
                raise StoreError(f"cannot open {str(self.path)!r}: {error}") from None

    def _remove_temporaries(self) -> None:
        """Remove what a power cut left of writes; whoever holds the lock is the only one who writes."""
        temporary = re.compile(re.escape(self.path.name) + r"\.temporary-[0-9]+")
        with contextlib.suppress(OSError):  # they are in nobody's way
            for name in self._files.list(self.path.parent):
                if temporary.fullmatch(name):
                    self._files.remove(self.path.with_name(name))

    def set_aside(self) -> FilePath:
        """Rename a damaged file to `<name>.damaged-<n>`, overwriting none, and return that path."""
        with translated(f"set aside {str(self.path)!r}"):
            return set_aside(self._files, self.path)

    def save(self, lines: Iterable[bytes]) -> None:
        """Replace the file by one of these lines: after a power cut it is the old one or the new one."""
        with translated(f"write {str(self.path)!r}"):
            replace_file(self._files, self.path, document_of(lines))

    def close(self) -> None:
        """Let others open the file; twice does nothing."""
        self._lock.release()
