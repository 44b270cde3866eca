"""Where state is kept: what an application configures."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import attrs

from eliza_state.files import StrPath
from eliza_state.storage.state_store.table import check_state_table

_LONGEST_INTERVAL_MS: Final = 24 * 60 * 60 * 1_000

Place: TypeAlias = Literal["memory", "file", "database"]


def check_interval(interval_ms: float) -> None:
    """Raise `ValueError` for what is no time to wait before a write."""
    if not 0 <= interval_ms <= _LONGEST_INTERVAL_MS:  # false for NaN too
        raise ValueError(f"a flush interval is 0 to {_LONGEST_INTERVAL_MS} ms, got {interval_ms!r}")


@attrs.frozen
class StatePersistence:
    """Say whether and where state outlives the process.

    Unless `enabled`, state is in memory, whatever the rest says. `path` is the file of `type="file"`,
    relative to the working folder. `table_name` is for `type="database"`; the table is `core_<table_name>`.
    Changes are written `flush_interval_ms` after the first of them; 0 makes each one wait for the disk.
    Values that cannot be raise `ValueError`.
    """

    enabled: bool = False
    type: Place = attrs.field(default="memory", validator=attrs.validators.in_(get_args(Place)))
    path: StrPath = "state.json"
    flush_interval_ms: float = 1_000
    table_name: str = "state"

    def __attrs_post_init__(self) -> None:
        check_interval(self.flush_interval_ms)
        check_state_table(self.table_name)

    @property
    def place(self) -> Place:
        """Where the state is: `type`, if it is enabled."""
        return self.type if self.enabled else "memory"
