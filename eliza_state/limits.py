"""The bounds of a manager."""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Limits:
    """The bounds of a manager, in milliseconds, bytes and numbers.

    - `flush_interval_ms`: how long a `buffered` change may wait to be written (0: not at all).
    - `queue_timeout_ms`: how long a dispatch waits while `max_queued` events wait for the store.
    - `busy_timeout_ms`: how long to wait for a lock on the database that another process holds.
    - `inline_below_ms`: how quick commits must be for a lone dispatch to be written without a change of
      thread (0: never).
    - `feed_interval_ms`: how often, about, to look for what other processes have written where nothing
      tells of it sooner.
    - `max_scopes`, `max_scope_bytes`: what idle scopes may occupy in memory; the bytes are an estimate from
      the size of their text.
    """

    flush_interval_ms: int = attrs.field(default=1_000, validator=attrs.validators.ge(0))
    queue_timeout_ms: int = attrs.field(default=30_000, validator=attrs.validators.ge(0))
    busy_timeout_ms: int = attrs.field(default=5_000, validator=attrs.validators.ge(0))
    inline_below_ms: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    feed_interval_ms: int = attrs.field(default=1_000, validator=attrs.validators.ge(1))
    max_queued: int = attrs.field(default=10_000, validator=attrs.validators.ge(1))
    max_scopes: int = attrs.field(default=10_000, validator=attrs.validators.ge(1))
    max_scope_bytes: int = attrs.field(default=256_000_000, validator=attrs.validators.ge(1))


DEFAULT_LIMITS: Final = Limits()
