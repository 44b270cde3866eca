"""The change feed: what other processes commit arrives by itself."""

from eliza_state.feed.changes import ResumedChanges
from eliza_state.feed.feed import Feed, FeedStatus
from eliza_state.feed.source import FeedPlace
from eliza_state.feed.wake import Listener, Wake

__all__ = ["Feed", "FeedPlace", "FeedStatus", "Listener", "ResumedChanges", "Wake"]
