"""Namespaces keep their keys apart."""

from __future__ import annotations

from typing import Any, Final

import pytest

from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.storage import Storage
from eliza_state.testing.storages.fixtures import MISSING, StorageFixtures, collect

# Paths (namespaces, then the key) that would be the same text if somebody joined them carelessly.
ALIKE: Final[list[tuple[str, ...]]] = [
    ("a", "b", "c"), ("a/b", "c"), ("a", "b/c"), ("a/b/c",), ("a%2Fb", "c"), ("a", "b%2Fc"), ("a%2Fb%2Fc",),
    ("a", "/b", "c"), ("a/", "b", "c"), ("a%252Fb", "c"), ("ab", "c"), ("a", "bc"), ("a", "c"),
    ("a", "b", "c/"), ("a", "b", "/c"), ("a", "..", "c"), ("a:b", "c"), ("a", "b:c"), ("a\0b", "c"),
    ("A", "b", "c"), ("a", "B", "c"), ("a_b", "c"), ("a%", "c"), ("*", "c"), ("é", "c"), ("e\u0301", "c"),
]  # fmt: skip


# Names that a pattern, a range or a collation could take for one another.
NEIGHBOURS: Final = ["a", "ab", "A", "a%", "a_", "a*", "a\\", "[a]", "a?", "ä", "a\0", "a/", "a0", "a.", "~"]


class NamespaceContract(StorageFixtures):
    """Nested namespaces: isolated whatever their names look like, cleared with those below them only."""

    async def test_a_namespace_has_its_own_keys(self, store: Storage[Any]) -> None:
        inner = store.namespace("inner")
        await store.set("key", "outer")
        await inner.set("key", "inner")

        assert (await store.get("key"), await inner.get("key")) == ("outer", "inner")
        assert await inner.delete("key")
        assert await store.get("key") == "outer"

    async def test_names_tell_where_a_namespace_is(self, storage: Storage[Any]) -> None:
        inner = storage.namespace("a/b").namespace("%", "🙂\n")

        assert (storage.names, inner.names) == ((), ("a/b", "%", "🙂\n"))
        assert type(inner) is type(storage)

    async def test_namespaces_nest(self, store: Storage[Any]) -> None:
        await store.namespace("a").namespace("b").set("key", 1)

        assert await store.namespace("a", "b").get("key") == 1
        assert not await store.namespace("b", "a").has("key")
        assert await store.namespace().namespace("a", "b").get("key") == 1

    async def test_no_two_paths_are_one(self, store: Storage[Any]) -> None:
        for number, (*names, key) in enumerate(ALIKE):
            await store.namespace(*names).set(key, number)

        found = [await store.namespace(*names).get(key) for *names, key in ALIKE]
        assert found == list(range(len(ALIKE)))

    async def test_keys_are_those_of_the_namespace_alone(self, store: Storage[Any]) -> None:
        for number, (*names, key) in enumerate(ALIKE):
            await store.namespace(*names).set(key, number)

        for space in {path[:-1] for path in ALIKE}:
            expected = sorted(path[-1] for path in ALIKE if path[:-1] == space)
            assert sorted(await collect(store.namespace(*space).keys())) == expected

    async def test_clearing_removes_what_is_below_and_nothing_else(self, store: Storage[Any]) -> None:
        for names in (("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("a/b",), ("A",), ("a%2F",), ()):
            await store.namespace(*names).set("key", 1)
        await store.set("a", 1)
        await store.namespace("a").clear()

        left = [
            names
            for names in ((), ("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("a/b",), ("A",), ("a%2F",))
            if await store.namespace(*names).has("key")
        ]
        assert left == [(), ("ab",), ("a/b",), ("A",), ("a%2F",)]
        assert await store.has("a")

    async def test_clearing_spares_the_neighbours(self, store: Storage[Any]) -> None:
        for name in NEIGHBOURS:
            await store.namespace(name).set("key", name)

        for cleared in NEIGHBOURS:
            await store.namespace(cleared).clear()
            left = [name for name in NEIGHBOURS if await store.namespace(name).has("key")]
            assert left == [name for name in NEIGHBOURS if name != cleared]
            await store.namespace(cleared).set("key", cleared)

    async def test_a_cleared_namespace_can_be_filled_again(self, store: Storage[Any]) -> None:
        await store.set_many({str(number): number for number in range(100)})
        await store.clear()
        await store.set("1", "new")

        assert await collect(store.entries()) == [("1", "new")]

    async def test_clearing_what_is_empty_does_nothing(self, store: Storage[Any]) -> None:
        await store.clear()

        assert await collect(store.keys()) == []

    async def test_clearing_a_whole_storage_removes_everything(self, storage: Storage[Any]) -> None:
        if self.is_shared:
            pytest.skip("clearing would remove what is others'")
        await storage.set("key", 1)
        await storage.namespace("a", "b").set("key", 2)
        await storage.clear()

        assert await collect(storage.keys()) == []
        assert await storage.namespace("a", "b").get("key", MISSING) is MISSING

    async def test_the_whole_storage_has_keys_too(self, storage: Storage[Any], store: Storage[Any]) -> None:
        key = "/".join(store.names)  # what the namespace would be to somebody who joins names
        await storage.set(key, 1)
        await store.set("key", 2)

        assert await collect(storage.keys(prefix=key)) == [key]
        assert await collect(store.keys()) == ["key"]
        assert await storage.delete(key)
        assert await store.get("key") == 2

    @pytest.mark.parametrize("name", ["", "a" * 513, "\udc80", 7, None])
    async def test_a_name_that_is_no_key_is_no_namespace(self, store: Storage[Any], name: Any) -> None:
        with pytest.raises(InvalidKey):
            store.namespace("good", name)

    async def test_closing_a_namespace_leaves_the_storage_open(
        self, storage: Storage[Any], store: Storage[Any]
    ) -> None:
        async with store.namespace("inner") as inner:
            await inner.set("key", 1)

        assert await inner.get("key") == 1
        assert storage.names == ()
