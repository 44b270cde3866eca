"""Encryption: whoever has no key neither reads, makes, changes nor moves a value."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_serializers import Secret
from eliza_state.storage import Storage
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.wrappers.compression import Compression
from eliza_state.storage.wrappers.encryption import Encryption
from eliza_state.testing import ManualClock
from eliza_state.testing.storages import StorageContract
from tests.eliza_state.storage.kept import Kept, storage_over
from tests.eliza_state.storage.wrappers.sealing import BOTH, NEW, OLD, sealed_by, values


class TestEncryptedStorage(StorageContract):
    @pytest.fixture
    async def storage(self, clock: ManualClock) -> AsyncIterator[Storage[Any]]:
        async with storage_over(
            Kept(clock=clock), Compression(threshold_bytes=0), Encryption(BOTH)
        ) as storage:
            yield storage


# what is stored


async def test_a_value_comes_back(kept: Kept) -> None:
    storage = sealed_by(kept, {"old": OLD})
    await storage.set("a", {"word": "swordfish"})

    assert {"word": "swordfish"} == await storage.get("a")


async def test_what_is_stored_shows_nothing_of_the_value(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", {"word": "swordfish"})

    assert kept.content("a").startswith(b"aes256gcm:old:")
    assert b"word" not in kept.content("a")


async def test_the_same_value_is_never_sealed_alike_twice(kept: Kept) -> None:
    encryption = Encryption({"old": OLD})
    sealed = {encryption.seal(b"content", key="a") for _ in range(1_000)}

    assert 1_000 == len(sealed)


async def test_secrets_may_be_keys(kept: Kept) -> None:
    storage = storage_over(kept, Encryption({"old": Secret(OLD)}))
    await storage.set("a", 1)

    assert 1 == await sealed_by(kept, {"old": OLD}).get("a")


async def test_the_last_key_is_the_current_one_unless_said_otherwise(kept: Kept) -> None:
    await sealed_by(kept, BOTH).set("a", 1)
    await sealed_by(kept, BOTH, current="old").set("b", 2)

    assert kept.content("a").startswith(b"aes256gcm:new:")
    assert kept.content("b").startswith(b"aes256gcm:old:")


async def test_each_value_is_read_with_the_key_it_names(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1)
    await sealed_by(kept, {"new": NEW}).set("b", 2)

    assert {"a": 1, "b": 2} == await values(sealed_by(kept, BOTH))


async def test_it_goes_with_compression_on_either_side(kept: Kept) -> None:
    inside = storage_over(kept, Compression(threshold_bytes=0), Encryption(BOTH))
    outside = storage_over(kept, Encryption(BOTH), Compression(threshold_bytes=0))
    await inside.set("a", "x" * 1_000)

    assert 200 > len(kept.content("a"))
    assert "x" * 1_000 == await outside.get("a")


# what is refused


async def test_another_key_of_the_same_id_does_not_read_it(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1)

    with pytest.raises(DamagedValue, match=r"'a'.*another key"):
        await sealed_by(kept, {"old": NEW}).get("a")


async def test_an_unknown_key_is_named(kept: Kept) -> None:
    await sealed_by(kept, {"old": OLD}).set("a", 1)

    with pytest.raises(DamagedValue, match="encrypted with key 'old', which was not given"):
        await sealed_by(kept, {"new": NEW}).get("a")


async def test_what_is_moved_to_another_key_is_refused(kept: Kept) -> None:
    storage = sealed_by(kept, {"old": OLD})
    await storage.set("admin", True)
    kept.plant("guest", kept.content("admin"))

    with pytest.raises(DamagedValue, match="moved"):
        await storage.get("guest")


async def test_what_is_moved_to_another_namespace_is_refused(kept: Kept) -> None:
    storage = sealed_by(kept, {"old": OLD})
    await storage.namespace("a").set("b", True)
    kept.plant("b", kept.content("a/b"))
    kept.plant("a%2Fb", kept.content("a/b"))

    for key in ("b", "a/b"):
        with pytest.raises(DamagedValue, match="moved"):
            await storage.get(key)


def test_the_id_of_the_key_is_sealed_too() -> None:
    encryption = Encryption({"a": OLD, "b": OLD}, current="a")
    sealed = encryption.seal(b"content", key="k") or b""

    with pytest.raises(DamagedValue, match="changed"):
        encryption.unseal(b"b" + sealed[1:], key="k")


@given(st.binary(max_size=64), st.data())
def test_a_flipped_bit_anywhere_is_noticed(content: bytes, data: Any) -> None:
    encryption = Encryption(BOTH)
    sealed = bytearray(encryption.seal(content, key="a") or b"")
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DamagedValue):
        encryption.unseal(bytes(sealed), key="a")


async def test_a_flipped_bit_anywhere_in_what_is_stored_is_noticed(kept: Kept) -> None:
    storage = sealed_by(kept, BOTH)
    await storage.set("a", 1)
    content = kept.content("a")
    for bit in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        kept.plant("a", bytes(damaged))
        with pytest.raises(DamagedValue):
            await storage.get("a")


def test_content_that_is_cut_off_anywhere_or_goes_on_is_refused() -> None:
    encryption = Encryption(BOTH)
    sealed = encryption.seal(b"content", key="a") or b""
    for damaged in (*(sealed[:length] for length in range(len(sealed))), sealed + b"!"):
        with pytest.raises(DamagedValue):
            encryption.unseal(damaged, key="a")


@pytest.mark.parametrize("content", [b"json:true", b"zstd:json:true", b"", b":", b"aes256gcm:", b"\xff:true"])
async def test_what_is_planted_without_the_key_is_refused(kept: Kept, content: bytes) -> None:
    storage = storage_over(kept, Compression(), Encryption(BOTH))
    kept.plant("a", content)

    with pytest.raises(DamagedValue):
        await storage.get("a")


async def test_plain_values_are_read_where_they_are_accepted(kept: Kept) -> None:
    await storage_over(kept).set("a", 1)

    assert 1 == await sealed_by(kept, BOTH, accept_plain=True).get("a")


async def test_an_error_shows_neither_the_key_nor_the_value(kept: Kept) -> None:
    await sealed_by(kept, {"k": b"swordfish" + bytes(23)}).set("a", "abracadabra")
    with pytest.raises(DamagedValue) as caught:
        await sealed_by(kept, {"k": b"swordfisH" + bytes(23)}).get("a")

    assert "swordfis" not in f"{caught.value!r}{caught.value}"
    assert "abracadabra" not in f"{caught.value!r}{caught.value}"
    assert None is caught.value.__cause__


# its keys


def test_its_repr_shows_the_ids_alone() -> None:
    assert "<Encryption old, new; current new>" == repr(Encryption(BOTH))


@pytest.mark.parametrize("key_id", ["", "A", "-a", "a:b", "a\n", "ä", "a b", 1])
def test_an_id_of_another_form_is_refused(key_id: Any) -> None:
    with pytest.raises(ValueError, match="id"):
        Encryption({key_id: OLD})


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33, 64])
def test_a_key_of_another_length_is_refused_and_not_shown(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes long, got {length}$"):
        Encryption({"a": b"s" * length})


@pytest.mark.parametrize("key", ["s" * 32, Secret("s" * 32), None, bytearray(32)])
def test_a_key_that_is_no_bytes_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(TypeError, match=r"to be bytes, got \w+$"):
        Encryption({"a": key})


@pytest.mark.parametrize("make", [lambda: Encryption({}), lambda: Encryption(BOTH, current="other")])
def test_there_is_a_current_key(make: Callable[[], Encryption]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


def test_without_the_package_the_error_names_what_to_install() -> None:
    script = "import sys; sys.modules['cryptography'] = None; import eliza_state.storage.wrappers.encryption"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert "pip install 'eliza-state[encryption]'" in run.stderr.splitlines()[-1]
