"""The file of a `StateStore`: `{"version": 1, "entries": [[key, value], …]}`, one entry a line.

A `FileStorage` reads it as keys outside all namespaces. What a `FileStorage` wrote is read as well, as far as
it is keys and values; entries in a namespace, with a time to live, compressed or encrypted are not shown, and
stay in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from eliza_state.clock import Clock, now_us
from eliza_state.errors import StoreError
from eliza_state.files import Files, StrPath
from eliza_state.storage.backend import GONE, Entry
from eliza_state.storage.disk.entries_file import EntriesFile
from eliza_state.storage.disk.file_entries import Slot, slot_of
from eliza_state.storage.keys import check_name, full_key, name_of
from eliza_state.storage.state_store.sink import JSON, Change, Stored

_encode: Final = msgspec.json.Encoder().encode


class StateFile:
    """Keep written values in a JSON file, written whole with each change.

    Raises what `EntriesFile` raises. A file that cannot be read is set aside as `<name>.damaged-<n>`.
    """

    def __init__(self, path: StrPath, *, files: Files | None = None, clock: Clock = now_us) -> None:
        self._file = EntriesFile(path, files=files)
        self.name = f"file {str(self._file.path)!r}"
        self._clock = clock
        self._lines: dict[str, bytes] = {}  # by full key, which no foreign entry shares with another

    def check_key(self, key: str) -> None:
        pass  # a text in JSON may hold anything

    def load(self) -> Stored:
        try:
            slots = self._file.load(now_us=self._clock())
        except ValueError as error:
            return self._set_aside(error)
        contents: dict[str, bytes] = {}
        foreign = 0
        for full, (entry, line) in slots.items():
            if _is_plain(full, entry):
                key = name_of(full)
                contents[key] = entry.live_value
                self._lines[full] = _line_of(key, Slot(entry, line))
            else:
                foreign += entry.value is not GONE
                self._lines[full] = line
        problem = StoreError(
            f"{foreign} entries of the {self.name} are more than a key and a value in JSON: they are not"
            " shown, and stay there"
        )
        return Stored(contents, {}, (problem,) if foreign else ())

    def _set_aside(self, error: ValueError) -> Stored:
        aside = self._file.set_aside()
        problem = StoreError(
            f"the {self.name} could not be read and was set aside as {aside.name!r}; the state starts empty:"
            f" {error}"
        )
        problem.__cause__ = error
        return Stored({}, {}, (problem,))

    def write(self, changes: Mapping[str, Change]) -> None:
        version = self._clock()
        for key, content in changes.items():
            full = full_key("", key)
            if content is GONE:
                self._lines.pop(full, None)
            else:
                self._lines[full] = _line_of(key, slot_of(full, Entry(content, version)))
        self._file.save(self._lines.values())

    def close(self) -> None:
        self._file.close()


def _is_plain(full: str, entry: Entry[bytes]) -> bool:
    if entry.value is GONE or entry.deadline_ms is not None or not entry.value.startswith(JSON):
        return False
    try:
        return full_key("", check_name(name_of(full))) == full
    except ValueError:
        return False


def _line_of(key: str, slot: Slot) -> bytes:
    """Return key and value alone; where the value does not stand in the slot's line as it is, that line."""
    value = msgspec.Raw(slot.entry.live_value[len(JSON) :])
    is_embedded = slot.line.startswith(_encode((full_key("", key), value))[:-1])
    return _encode((key, value)) if is_embedded else slot.line
