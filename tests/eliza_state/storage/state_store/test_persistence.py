"""What an application configures about its state."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eliza_state.storage.state_store.persistence import StatePersistence


def test_the_defaults() -> None:
    assert (False, "memory", "state.json", 1_000, "state") == attrs.astuple(StatePersistence())


@pytest.mark.parametrize("place", ["memory", "file", "database"])
def test_it_has_no_place_but_memory_unless_it_is_enabled(place: Any) -> None:
    assert "memory" == StatePersistence(type=place).place
    assert place == StatePersistence(type=place, enabled=True).place


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "redis"}, "'type' must be in"),
        ({"flush_interval_ms": -1}, "a flush interval is"),
        ({"flush_interval_ms": float("nan")}, "a flush interval is"),
        ({"flush_interval_ms": 10 * 24 * 3_600_000}, "a flush interval is"),
        ({"table_name": "a; DROP TABLE b"}, "a table's name has"),
        ({"table_name": ""}, "a table's name has"),
        ({"table_name": "1a"}, "a table's name has"),
        ({"table_name": "x" * 60}, "a table's name has"),
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StatePersistence(**options)
