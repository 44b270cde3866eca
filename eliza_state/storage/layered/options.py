"""Where a value is kept."""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class PersistOptions:
    """Say where a value is kept.

    By default at home, with copies above. `persistent=False` keeps it in the shared cache only, in a store
    whose cache keeps keys of its own; `volatile` in this process only; `archive` in the archive as well.
    `ttl_ms` is its time to live in all layers. A key does not change its home silently: keeping a value
    higher up than its key lives raises `OtherHome`, because the old value would come back later.
    """

    ttl_ms: float | None = None
    persistent: bool = True
    volatile: bool = False
    archive: bool = False

    def __attrs_post_init__(self) -> None:
        if self.archive and (self.volatile or not self.persistent):
            raise ValueError("what is archived is persistent: `archive` goes with no other choice of layers")


DEFAULT: Final = PersistOptions()
CACHED: Final = PersistOptions(persistent=False)
VOLATILE: Final = PersistOptions(volatile=True)
