"""The final state of a scope in the archive: a snapshot together with all its chunks, as one piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from eliza_state.errors import StoreError
from eliza_state.path import Path
from eliza_state.snapshots import ChunkMissing, ScopeSnapshot


class _State(msgspec.Struct, array_like=True, frozen=True):
    snapshot: ScopeSnapshot
    chunks: dict[bytes, bytes]


def pack_state(snapshot: ScopeSnapshot, chunks: Mapping[bytes, bytes]) -> bytes:
    """Return a snapshot with its chunks, by digest, as the archive keeps it."""
    return msgspec.msgpack.encode(_State(snapshot, dict(chunks)))


class ArchivedSnapshot:
    """Stand in for the store of snapshots where a scope in the archive is read: it has this one.

    Others may have it in hand when the scope has left the archive: it needs no file any more.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._state: _State | None = None
        self._is_aside = False

    def load(self, path: Path, *, report: Callable[[StoreError], None]) -> list[ScopeSnapshot]:
        """Return the snapshot, unless it was set aside; `report` is told where it cannot be read."""
        if self._is_aside:
            return []
        if self._state is None:
            try:
                self._state = msgspec.msgpack.decode(self._content, type=_State)
            except msgspec.MsgspecError as error:
                self._is_aside = True
                report(StoreError(f"the archived state of {path.encode()!r} cannot be read: {error}"))
                return []
        return [self._state.snapshot]

    def chunks(self, path: Path, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return chunks by digest; `ChunkMissing` if one is not there."""
        chunks = {} if self._state is None else self._state.chunks
        if missing := set(digests) - chunks.keys():
            raise ChunkMissing(
                f"{len(missing)} chunks of the archived state of {path.encode()!r} are missing;"
                " a fold of the records replaces them"
            )
        return {digest: chunks[digest] for digest in digests}

    def set_aside(self, path: Path, snapshot: ScopeSnapshot) -> None:
        """Use the snapshot no more: it turned out to be of no use."""
        self._is_aside = True

    def remove(self, path: Path, *, before: int) -> None:
        """Do nothing: what was erased goes from the archive when it is erased."""

    def is_first_of(self, module: str, version: int) -> bool:
        """Tell that a snapshot with a module in a newer version is worth telling."""
        return True
