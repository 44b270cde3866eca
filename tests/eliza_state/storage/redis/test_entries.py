"""Names in Redis tell their keys, and heads their entries."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from eliza_state.errors import StoreError
from eliza_state.storage.backend import GONE, Entry, Write
from eliza_state.storage.cache import Copy
from eliza_state.storage.errors import DamagedValue
from eliza_state.storage.keys import MAX_KEY_BYTES, full_key, space_of
from eliza_state.storage.redis.entries import (
    HEAD_BYTES,
    Names,
    copy_of,
    entry_of,
    head_around_version,
    head_of,
)

NAMES = Names("app")
TOKEN = b"0123456789ab"
texts = st.text(
    st.sampled_from("{}%/:*?[]\\^-ab7BD\n") | st.characters(exclude_categories=["Cs"]), min_size=1
)
keys = st.builds(
    lambda names, key: full_key(space_of(*names), key),
    st.lists(texts.filter(lambda name: len(name) < 40), max_size=3),
    texts.filter(lambda name: len(name) < 40),
).filter(lambda key: len(key) < MAX_KEY_BYTES)


@given(keys)
def test_a_name_tells_its_key(key: str) -> None:
    assert key == NAMES.full(NAMES.of(key))


@given(keys, keys)
def test_two_keys_never_share_a_name(one: str, other: str) -> None:
    assert (one == other) == (NAMES.of(one) == NAMES.of(other))


@given(st.lists(texts, min_size=1, max_size=2), texts, texts)
def test_the_keys_of_a_namespace_share_a_slot(names: list[str], one: str, other: str) -> None:
    space = space_of(*(name[:20] for name in names))
    slots = {key_slot(NAMES.of(full_key(space, key[:20]))) for key in (one, other)}

    assert 1 == len(slots)


@given(texts)
def test_a_key_outside_all_namespaces_has_no_tag(key: str) -> None:
    name = NAMES.of(full_key("", key[:40]))

    assert b"{" not in name
    assert b"}" not in name


def test_what_a_name_looks_like() -> None:
    key = full_key(space_of("session", "a/{b}"), "user{7}")

    assert b"app:{session/a%2F%7Bb%7D/}user{7}" == NAMES.of(key)


@pytest.mark.parametrize(
    "name",
    [b"app:{open", b"app:{}x", b"app:a{b", b"app:{a}x", b"app:{a/}", b"app:", b"app:\xff", b"app:{a/}b/c"],
)
def test_a_name_of_somebody_else_tells_no_key(name: bytes) -> None:
    assert NAMES.full(name) is None


@pytest.mark.parametrize("prefix", ["", "a:b", "a{b", "a b", "ä", "a*", "x" * 65, None])
def test_a_prefix_that_could_be_mistaken_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="a prefix is"):
        Names(prefix)


@given(st.lists(keys, max_size=10), keys, st.booleans())
def test_a_pattern_finds_all_names_of_a_namespace(found: list[str], key: str, nested: bool) -> None:
    space = key[: key.rfind("/") + 1]
    pattern = NAMES.pattern(space, prefix=key[len(space) : len(space) + 1].rstrip("%"), nested=nested)
    # fnmatch has no backslash: what is escaped there is a class of one
    glob = re.sub(r"\\(.)", r"[\1]", pattern.decode().replace("[^{]", "[!{]"), flags=re.DOTALL)

    assert fnmatch.fnmatchcase(NAMES.of(key).decode(), glob)


def stored(write: Write[bytes], *, version: int, confirmed_at_ms: int | None = None) -> bytes:
    before, after = head_around_version(write, token=TOKEN, confirmed_at_ms=confirmed_at_ms)
    return b"%b%016d%b%b" % (before, version, after, b"" if write.value is GONE else write.value)


@pytest.mark.parametrize(
    "write",
    [
        Write("key", b"content"),
        Write("key", b""),
        Write("key", b"content", 1_700_000_000_000, 60_000),
        Write("key", GONE, 1_700_000_000_000, 60_000),
    ],
)
def test_an_entry_is_read_as_it_was_written(write: Write[bytes]) -> None:
    entry = Entry(write.value, 17, write.deadline_ms, write.ttl_ms)
    content = stored(write, version=17)

    assert entry == entry_of("key", content)
    assert entry.mark == head_of("key", content[:HEAD_BYTES]).mark
    assert Copy(entry, 0, is_own=True) == copy_of("key", content)


def test_a_copy_tells_when_it_was_confirmed() -> None:
    content = stored(Write("key", b"content", version=17), version=17, confirmed_at_ms=1_700_000_000_000)

    assert Copy(Entry(b"content", 17), 1_700_000_000_000, is_own=False) == copy_of("key", content)


GOOD = stored(Write("key", b"content"), version=17)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"x" * 200,
        b"es2" + GOOD[3:],
        GOOD[: HEAD_BYTES - 1],
        GOOD[:3] + b"xh" + GOOD[5:],
        GOOD[:4] + b"x" + GOOD[5:],
        GOOD[:5] + b"q" * 16 + GOOD[21:],
        GOOD[: HEAD_BYTES - 1] + b"#" + GOOD[HEAD_BYTES:],
    ],
)
def test_what_is_no_entry_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedValue, match="'key'"):
        entry_of("key", content)


@pytest.mark.parametrize(
    "write",
    [
        Write("key", b"", version=2**53),
        Write("key", b"", deadline_ms=10**13),
        Write("key", b"", deadline_ms=-1),
        Write("key", b"", version=-1),
    ],
)
def test_numbers_beyond_the_digits_are_refused(write: Write[bytes]) -> None:
    with pytest.raises(StoreError, match="cannot be kept in Redis"):
        head_around_version(write, token=TOKEN)
