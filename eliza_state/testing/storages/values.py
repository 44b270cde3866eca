"""Values come back as they were stored, and stay as they were stored."""

from __future__ import annotations

import datetime
import math
import threading
import uuid
from decimal import Decimal
from typing import Any, Final

import pytest

from eliza_serializers import SerializationError
from eliza_state.storage.storage import Storage
from eliza_state.testing.storages.fixtures import MISSING, StorageFixtures

_MOMENT: Final = datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999)  # noqa: DTZ001  # a naive one is a value

VALUES: Final[dict[str, list[Any]]] = {
    "nothing": [None, False, True, "", b"", [], {}, (), set(), frozenset()],
    "numbers": [
        0, -1, 2**53 + 1, 2**63, -(2**200), 0.0, -0.0, 1e308, 5e-324, math.inf, -math.inf, math.nan,
        Decimal("1.10"), Decimal("-1E+50"), Decimal("NaN"),
    ],
    "texts": ["text", "\0\x1f\x7f\u2028", "ä € 🙂 👩‍👩‍👧", "e\u0301", "%2F/..", bytes(range(256))],
    "containers": [
        [[], [[]], ({},)], (1, "1", (2, [3])), {1, "1", None}, frozenset({(1, frozenset({2}))}),
        {"a": {"b": [1, (2, {3}), {"c": None}]}}, {"": 0},
    ],
    "keys that are no texts": [{1: "number", None: "none", (1, 2): "pair", b"x": 1, 1.5: 2, False: 3}],
    "what looks like a tag": [
        {"_type": "set"}, {"_type": "set", "data": [1]}, {"_type": {"_type": None}}, {"data": 1},
    ],
    "times and ids": [
        _MOMENT, _MOMENT.replace(tzinfo=datetime.UTC),
        _MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=45))),
        _MOMENT.date(), _MOMENT.time(), datetime.timedelta(days=-1, microseconds=1), uuid.UUID(int=7),
    ],
}  # fmt: skip
"""Values of each kind, and those that get lost where somebody is careless."""


def _shown(value: Any) -> str:
    """Text that tells a value and its type at every level; the order inside sets is left out."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}{sorted(map(_shown, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_shown, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_shown(key)}: {_shown(item)}' for key, item in value.items())}}}"
    return f"{type(value).__name__} {value!r}"


class ValueContract(StorageFixtures):
    """What is set is got: equal, of the same type, and not to be changed from outside."""

    @pytest.mark.parametrize("kind", VALUES)
    async def test_values_come_back_with_their_types(self, store: Storage[Any], kind: str) -> None:
        for value in VALUES[kind]:
            await store.set("key", value)
            assert _shown(await store.get("key", MISSING)) == _shown(value)

    async def test_a_value_comes_back_from_every_reader(self, store: Storage[Any]) -> None:
        value = {"nested": [1, (2, None)]}
        await store.set("key", value)

        assert (await store.get_many(["key"]))["key"] == value
        entry = await store.entry("key")
        assert entry is not None
        assert entry.value == value
        assert [item async for item in store.values()] == [value]
        assert [item async for item in store.entries()] == [("key", value)]

    async def test_a_value_of_a_megabyte_comes_back(self, store: Storage[Any]) -> None:
        large = {"text": "ä" * 500_000, "bytes": bytes(range(256)) * 2_000}
        await store.set("key", large)

        assert await store.get("key") == large

    async def test_changing_what_was_set_changes_nothing_stored(self, store: Storage[Any]) -> None:
        self._skip_where_shared()
        value: dict[str, list[int]] = {"list": [1]}
        await store.set("key", value)
        value["list"].append(2)

        assert await store.get("key") == {"list": [1]}

    async def test_changing_what_was_got_changes_nothing_stored(self, store: Storage[Any]) -> None:
        self._skip_where_shared()
        await store.set("key", ([1], {"a": {1}}))
        got: Any = await store.get("key")
        got[1]["a"].add(2)
        (await store.get_many(["key"]))["key"][0].append(2)

        assert await store.get("key") == ([1], {"a": {1}})

    async def test_a_value_that_cannot_be_written_is_refused(self, store: Storage[Any]) -> None:
        self._skip_where_shared()

        with pytest.raises(SerializationError):
            await store.set("key", {"lock": threading.Lock()})

        assert await store.get("key", MISSING) is MISSING

    async def test_a_refused_value_leaves_the_old_one(self, store: Storage[Any]) -> None:
        self._skip_where_shared()
        version = await store.set("key", "old")

        with pytest.raises(SerializationError):
            await store.update("key", lambda _: object())

        mark = await store.mark("key")
        assert mark is not None
        assert (await store.get("key"), mark.version) == ("old", version)

    def _skip_where_shared(self) -> None:
        if self.shares_values:
            pytest.skip("the storage shares its values")
