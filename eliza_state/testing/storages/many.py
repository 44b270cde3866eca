"""Several keys at once, and all keys."""

from __future__ import annotations

import threading
from typing import Any, Final

import pytest

from eliza_serializers import SerializationError
from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.storage import Storage
from eliza_state.testing.storages.fixtures import StorageFixtures, collect

PREFIXED: Final = ["a", "ab", "a/b", "a/", "a%2F", "b", "ä", "ä🙂", "a_b", "aXb"]


class ManyContract(StorageFixtures):
    """Bulk reads and writes, and iteration over a namespace."""

    async def test_no_keys_at_all(self, store: Storage[Any]) -> None:
        await store.set_many({})

        assert (await store.get_many([]), await store.has_many([])) == ({}, set())
        assert await store.delete_many([]) == 0
        assert await collect(store.keys()) == []

    async def test_those_that_exist_are_got(self, store: Storage[Any]) -> None:
        await store.set_many({"a": 1, "b": None})

        assert await store.get_many(["b", "missing", "a"]) == {"b": None, "a": 1}
        assert await store.has_many(["b", "missing", "a"]) == {"a", "b"}

    async def test_a_key_may_be_asked_for_twice(self, store: Storage[Any]) -> None:
        await store.set_many({"a": 1, "b": 2})

        assert await store.get_many(iter(["a", "a", "b", "a"])) == {"a": 1, "b": 2}
        assert await store.has_many(iter(["a", "a", "b"])) == {"a", "b"}
        assert await store.delete_many(iter(["a", "a"])) == 1

    async def test_those_that_existed_are_counted(self, store: Storage[Any]) -> None:
        await store.set_many({"a": 1, "b": 2, "c": 3})

        assert await store.delete_many(["a", "missing", "c"]) == 2
        assert await collect(store.keys()) == ["b"]

    async def test_thousands_of_keys(self, store: Storage[Any]) -> None:
        values = {f"key {number}": number for number in range(2_000)}
        await store.set_many(values)

        assert await store.get_many(values) == values
        assert dict(await collect(store.entries())) == values
        assert await store.delete_many(values) == 2_000
        assert await collect(store.keys()) == []

    async def test_one_bad_value_stores_none_of_them(self, store: Storage[Any]) -> None:
        if self.shares_values:
            pytest.skip("the storage shares its values")

        with pytest.raises(SerializationError):
            await store.set_many({"a": 1, "bad": threading.Lock(), "b": 2})

        assert await collect(store.keys()) == []

    async def test_one_bad_key_stores_none_of_them(self, store: Storage[Any]) -> None:
        await store.set("a", 0)

        with pytest.raises(InvalidKey):
            await store.set_many({"a": 1, "": 2})
        with pytest.raises(InvalidKey):
            await store.delete_many(["a", ""])
        with pytest.raises(InvalidKey):
            await store.get_many(["a", ""])

        assert dict(await collect(store.entries())) == {"a": 0}

    # all keys

    async def test_keys_values_and_entries_belong_together(self, store: Storage[Any]) -> None:
        values = {"a": 1, "b": [2], "c": None}
        await store.set_many(values)

        assert sorted(await collect(store.keys())) == ["a", "b", "c"]
        assert sorted(map(repr, await collect(store.values()))) == ["1", "None", "[2]"]
        assert dict(await collect(store.entries())) == values

    async def test_a_prefix_chooses_keys(self, store: Storage[Any]) -> None:
        await store.set_many(dict.fromkeys(PREFIXED, 1))

        for prefix in ("", "a", "a/", "a%", "ab", "ä", "A", "_", "%", "*", "abc", "a" * 512):
            expected = sorted(key for key in PREFIXED if key.startswith(prefix))
            assert sorted(await collect(store.keys(prefix=prefix))) == expected
            assert sorted([key for key, _ in await collect(store.entries(prefix=prefix))]) == expected
            assert len(await collect(store.values(prefix=prefix))) == len(expected)

    async def test_what_starts_no_key_is_refused_as_a_prefix(self, store: Storage[Any]) -> None:
        prefixes: list[Any] = ["\udc80", "a" * 513, 7, b"a"]
        for prefix in prefixes:
            with pytest.raises(InvalidKey):
                await collect(store.keys(prefix=prefix))

    async def test_keys_may_be_written_and_removed_meanwhile(self, store: Storage[Any]) -> None:
        await store.set_many({f"key {number}": number for number in range(1_500)})
        seen: list[str] = []
        async for key in store.keys():
            seen.append(key)
            if len(seen) % 100 == 1:
                await store.set(f"new {len(seen)}", 1)
                await store.delete(f"key {len(seen)}")

        stayed = {f"key {number}" for number in range(1_500) if number % 100 != 1}
        assert stayed <= set(seen)
        assert len(seen) == len(set(seen))

    async def test_an_iteration_may_be_left(self, store: Storage[Any]) -> None:
        await store.set_many({str(number): number for number in range(300)})
        async for _ in store.entries():
            break

        assert len(await collect(store.keys())) == 300
