"""Which texts are keys, and that those which are come back as they were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.keys import MAX_KEY_BYTES, MAX_NAME_BYTES
from eliza_state.storage.storage import Storage
from eliza_state.testing.storages.fixtures import StorageFixtures, collect

ODD_KEYS: Final = [
    ".", "..", "../..", "/", "//", "a/b", " ", "  a  ", "a b", "\0", "a\0b", "\n", "\r\n", "\t", "\x7f",
    "\x85", "%", "%2F", "%%", "%00", "🙂", "👩‍👩‍👧", "é", "e\u0301", "\ufeff", "\u200b", "\u2028", "\uffff",
    "\U0010ffff", "'", '"', "\\", "a';--", "{a}", "[a]", "*", "?", "_", ":", "a:b", "~", "CON", "nul",
    "key.", "Key", "key", "KEY", "ß", "ẞ", "I", "\u0131", "None", "0",
    "x" * MAX_NAME_BYTES, "ä" * (MAX_NAME_BYTES // 2),
]  # fmt: skip
"""Texts that are keys, however odd: no two are one, whatever a backend does with case or accents."""
REFUSED: Final[list[Any]] = [
    "", "x" * (MAX_NAME_BYTES + 1), "ä" * (MAX_NAME_BYTES // 2 + 1), "x" * 10_000, "\ud800", "a\udc80b",
    None, 7, b"key", ("key",), ["key"], 1.5, True,
]  # fmt: skip
METHODS: Final[dict[str, Callable[[Storage[Any], Any], Awaitable[Any]]]] = {
    "get": lambda store, key: store.get(key),
    "has": lambda store, key: store.has(key),
    "mark": lambda store, key: store.mark(key),
    "entry": lambda store, key: store.entry(key),
    "set": lambda store, key: store.set(key, 1),
    "delete": lambda store, key: store.delete(key),
    "touch": lambda store, key: store.touch(key),
    "update": lambda store, key: store.update(key, lambda _: 1),
    "get_many": lambda store, key: store.get_many(["good", key]),
    "has_many": lambda store, key: store.has_many(["good", key]),
    "delete_many": lambda store, key: store.delete_many(["good", key]),
}


class KeyContract(StorageFixtures):
    """Any Unicode text of the permitted length is a key; what is none is refused by every method."""

    async def test_odd_keys_are_different_keys(self, store: Storage[Any]) -> None:
        for key in ODD_KEYS:
            await store.set(key, key)

        assert [await store.get(key) for key in ODD_KEYS] == ODD_KEYS

    async def test_odd_keys_come_back(self, store: Storage[Any]) -> None:
        values = {key: number for number, key in enumerate(ODD_KEYS)}
        await store.set_many(values)

        assert sorted(await collect(store.keys())) == sorted(ODD_KEYS)
        assert dict(await collect(store.entries())) == values
        assert await store.get_many(ODD_KEYS) == values

    async def test_odd_keys_can_be_deleted(self, store: Storage[Any]) -> None:
        await store.set_many(dict.fromkeys(ODD_KEYS, 1))

        assert [await store.delete(key) for key in ODD_KEYS[::2]] == [True] * len(ODD_KEYS[::2])
        assert await store.delete_many(ODD_KEYS) == len(ODD_KEYS[1::2])

    async def test_odd_keys_are_prefixes_too(self, store: Storage[Any]) -> None:
        await store.set_many(dict.fromkeys(ODD_KEYS, 1))

        for key in ODD_KEYS:
            expected = sorted(other for other in ODD_KEYS if other.startswith(key))
            assert sorted(await collect(store.keys(prefix=key))) == expected

    @pytest.mark.parametrize("method", METHODS)
    async def test_what_is_no_key_is_refused(self, store: Storage[Any], method: str) -> None:
        for key in REFUSED:
            with pytest.raises(InvalidKey):
                await METHODS[method](store, key)

        assert await collect(store.keys()) == []

    async def test_a_key_with_its_namespaces_has_a_length_too(self, store: Storage[Any]) -> None:
        inner = store
        while len("/".join((*inner.names, ""))) + MAX_NAME_BYTES < MAX_KEY_BYTES:
            inner = inner.namespace("n" * 100)
        room = MAX_KEY_BYTES - len("/".join((*inner.names, "")))
        await inner.set("x" * room, 1)

        with pytest.raises(InvalidKey):
            await inner.set("x" * (room + 1), 2)
        with pytest.raises(InvalidKey):
            await inner.get("x" * (room + 1))

        assert await collect(inner.keys()) == ["x" * room]
