"""The exchange between two replicas: what each lacks goes over, then each is merged. Synchronous."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeAlias

import attrs

from eliza_state.errors import StateError
from eliza_state.files import StrPath
from eliza_state.synchronizer.errors import Unrelated
from eliza_state.synchronizer.merging import Merged
from eliza_state.synchronizer.messages import Summary
from eliza_state.synchronizer.replica_file import ReplicaFile
from eliza_state.synchronizer.replica_log import ReplicaLog
from eliza_state.synchronizer.sending import Sent

Peer: TypeAlias = ReplicaLog | ReplicaFile

OpenLog: TypeAlias = Callable[[str], ReplicaLog]
"""Open the log of a store at a URL."""


@attrs.define
class Delivery:
    """What one of the two got.

    `sent` by the other, of which `ahead` are left for later; `merged` is what that did to a store. A file
    that was not written `is_stored` no.
    """

    name: str
    peer: Peer
    sent: Sent = attrs.Factory(Sent)
    ahead: int = 0
    merged: Merged | None = None
    is_stored: bool = True


class Exchange:
    """Two replicas, each the URL of a store or the name of a file; one of them is a store.

    `open` comes first; `close` may come at any time.
    """

    def __init__(self, first: StrPath, second: StrPath, *, open_log: OpenLog, dry_run: bool) -> None:
        if not (is_url(first) or is_url(second)):
            raise StateError("of two replicas one is a store, such as 'sqlite:///state.db'; both are files")
        self._names = (first, second)
        self._open_log = open_log
        self._dry_run = dry_run
        self._closing = contextlib.ExitStack()
        self.sides: tuple[Delivery, ...] = ()

    def open(self) -> None:
        """Open both. Raises what that does, for two names of one store too: the first has it open."""
        self.sides = tuple(Delivery(str(name), self._opened(name)) for name in self._names)

    def _opened(self, name: StrPath) -> Peer:
        return self._closing.enter_context(self._open_log(str(name))) if is_url(name) else ReplicaFile(name)

    def close(self) -> None:
        """Close both; twice does nothing."""
        self._closing.close()

    def bring(self, *, join: bool) -> None:
        """Give each what it lacks, to be merged. Raises `Unrelated`, `Diverged`, and what `receive` does."""
        for side in self.sides:
            if isinstance(side.peer, ReplicaLog):
                side.peer.merge()  # what was received before a crash
        first, second = self.sides
        summaries = first.peer.summary(), second.peer.summary()
        check(*summaries, join=join)
        first.peer.check(summaries[1])
        second.peer.check(summaries[0])
        self._deliver(second.peer, first, summaries[0])
        self._deliver(first.peer, second, summaries[1])

    def _deliver(self, sender: Peer, side: Delivery, summary: Summary) -> None:
        for batch in sender.lacking(summary, sent=side.sent):
            if isinstance(side.peer, ReplicaLog):
                side.ahead += side.peer.receive(batch).ahead

    def merge(self) -> None:
        """Merge what was brought. A file is written if it lacked something and all that it held came over."""
        for side, other in (self.sides, self.sides[::-1]):
            if isinstance(side.peer, ReplicaLog):
                side.merged = side.peer.merge()
                if isinstance(other.peer, ReplicaFile) and other.sent.records:
                    # What is left of it for later must not be lost.
                    other.is_stored = not side.ahead
                    if other.is_stored and not self._dry_run:
                        other.peer.write(side.peer)


def check(first: Summary, second: Summary, *, join: bool) -> None:
    """Raise `Unrelated` unless two replicas have a writer in common, one of them is empty, or they `join`."""
    common = first.writers.keys() & second.writers.keys()
    if first.writers and second.writers and not (common or join):
        raise Unrelated


def is_url(name: StrPath) -> bool:
    """Tell a store's URL from the name of a file."""
    return "://" in str(name)
