"""What every `KVStorage` promises, whoever wrote it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Final

import pytest

from eliza_state.storage.contract import KVStorage, is_ttl_storage

MISSING: Final = object()
"""A default that no storage holds."""
FALSY: Final[list[Any]] = [None, 0, "", False, [], {}]


class KVStorageContract:
    """Hold a storage against `eliza_state.storage.KVStorage`: four methods, `close`, and what is optional.

    Inherit and give a fixture `storage`: an open one, closed in the end. Other keys may be in it; the tests
    set and delete only keys of their own. `keys`, `values`, `entries` and `touch` are tested if it has them.
    """

    pytestmark: ClassVar[Any] = pytest.mark.asyncio

    @pytest.fixture
    def key(self) -> str:
        """A key that nobody else uses."""
        return f"key {uuid.uuid4()}"

    async def test_it_has_the_methods(self, storage: KVStorage[Any]) -> None:
        assert isinstance(storage, KVStorage)

    async def test_what_is_set_is_got(self, storage: KVStorage[Any], key: str) -> None:
        await storage.set(key, "value")

        assert await storage.get(key) == "value"

    async def test_a_missing_key_gives_none(self, storage: KVStorage[Any], key: str) -> None:
        assert await storage.get(key) is None

    async def test_a_missing_key_gives_the_default(self, storage: KVStorage[Any], key: str) -> None:
        assert await storage.get(key, MISSING) is MISSING

    @pytest.mark.parametrize("value", FALSY, ids=repr)
    async def test_a_falsy_value_is_a_value(self, storage: KVStorage[Any], key: str, value: Any) -> None:
        await storage.set(key, value)

        found = await storage.get(key, MISSING)
        assert (type(found), found) == (type(value), value)
        assert await storage.has(key)

    async def test_a_value_is_overwritten(self, storage: KVStorage[Any], key: str) -> None:
        await storage.set(key, "old")
        await storage.set(key, "new")

        assert await storage.get(key) == "new"

    async def test_has_tells_whether_a_key_exists(self, storage: KVStorage[Any], key: str) -> None:
        before = await storage.has(key)
        await storage.set(key, 1)

        assert (before, await storage.has(key)) == (False, True)

    async def test_a_deleted_key_is_gone(self, storage: KVStorage[Any], key: str) -> None:
        await storage.set(key, 1)
        await storage.delete(key)

        assert await storage.get(key, MISSING) is MISSING
        assert not await storage.has(key)

    async def test_deleting_a_missing_key_is_no_error(self, storage: KVStorage[Any], key: str) -> None:
        await storage.delete(key)
        await storage.delete(key)

        assert not await storage.has(key)

    async def test_a_deleted_key_can_be_set_again(self, storage: KVStorage[Any], key: str) -> None:
        await storage.set(key, 1)
        await storage.delete(key)
        await storage.set(key, 2)

        assert await storage.get(key) == 2

    async def test_one_key_leaves_another_alone(self, storage: KVStorage[Any], key: str) -> None:
        await storage.set(key, 1)
        await storage.set(f"{key}.", 2)
        await storage.delete(f"{key}.")

        assert await storage.get(key) == 1

    @pytest.mark.parametrize("method", ["keys", "values", "entries"])
    async def test_an_optional_iterator_shows_what_is_set(
        self, storage: KVStorage[Any], key: str, method: str
    ) -> None:
        iterate: Any = getattr(storage, method, None)
        has_it = callable(iterate)
        if not has_it:
            pytest.skip(f"the storage has no {method}()")
        await storage.set(key, key)

        iterator: AsyncIterator[Any] = iterate()
        expected = (key, key) if method == "entries" else key
        assert expected in [item async for item in iterator]

    async def test_touching_a_key_without_a_deadline_changes_nothing(
        self, storage: KVStorage[Any], key: str
    ) -> None:
        if not is_ttl_storage(storage):
            pytest.skip("the storage has no touch()")
        await storage.set(key, 1)
        await storage.touch(key)

        assert await storage.get(key) == 1

    async def test_closing_twice_is_closing_once(self, storage: KVStorage[Any]) -> None:
        await storage.close()

        assert (await asyncio.gather(storage.close()))[0] is None
