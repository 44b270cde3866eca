"""From a store, and what its opener asks for, to what wakes its feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from eliza_state.errors import StoreError
from eliza_state.feed.wake import Wake
from eliza_state.journal.contract import Journal
from eliza_state.journal.source import JournalSource

if TYPE_CHECKING:
    from eliza_state.feed.redis import RedisAnnouncer

FeedPlace: TypeAlias = bool | str
"""Whether to hear of other processes by what their database tells, or the URL of a Redis that tells."""


@attrs.frozen(kw_only=True)
class FeedSource:
    """How the processes that have a store open hear of each other.

    `place` is `True` (by their database), `False` (not at all) or the URL of a Redis or Valkey. Raises
    `StoreError` for a URL with a store in memory, which nobody shares.
    """

    place: FeedPlace
    journal: JournalSource

    def __attrs_post_init__(self) -> None:
        if isinstance(self.place, str) and self.journal.is_memory:
            raise StoreError("a store in memory is this process's alone: it has no use for a feed from Redis")

    @property
    def is_off(self) -> bool:
        """Whether nobody else writes, or nobody wants to hear of it."""
        return self.place is False or self.journal.exclusive or self.journal.is_memory

    def open(self, journal: Journal) -> tuple[Wake | None, RedisAnnouncer | None]:
        """Return what wakes, and what tells others where their database does not; nothing connects yet."""
        if isinstance(self.place, str):
            return self._by_redis(self.place, journal)
        return (None if self.is_off else self._by_database(journal)), None

    def _by_redis(self, url: str, journal: Journal) -> tuple[Wake, RedisAnnouncer | None]:
        # Only where a Redis is named: its client takes long to import.
        from eliza_state.feed.redis import RedisAnnouncer, RedisChannel, RedisWake  # noqa: PLC0415

        try:
            channel = RedisChannel(url, epoch=journal.epoch, writer=journal.writer)
        except ValueError as error:
            raise StoreError(f"the feed is True, False or the URL of a Redis: {error}") from None
        return RedisWake(channel), None if self.journal.read_only else RedisAnnouncer(channel)

    def _by_database(self, journal: Journal) -> Wake:
        if self.journal.database is not None:
            from eliza_state.feed.sqlite import SqliteWake  # noqa: PLC0415

            return SqliteWake(self.journal.database)
        url = self.journal.parsed()
        assert url is not None
        # Only with the driver installed, which the journal has found.
        from eliza_state.feed.postgresql import PostgresqlWake  # noqa: PLC0415

        return PostgresqlWake(url, writer=journal.writer)
