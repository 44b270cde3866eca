"""Keys and namespaces as one text, without two keys ever sharing it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eliza_state.storage.errors import InvalidKey
from eliza_state.storage.keys import (
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    check_name,
    escaped_prefix,
    full_key,
    name_of,
    names_of,
    space_of,
    split_key,
)

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.text(
    "/%2Fab\0", min_size=1, max_size=6
)
spaces = st.lists(names, max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("space", "name", "full"),
    [
        ((), "a", "a"),
        (("session",), "user:7", "session/user:7"),
        (("session", "a/b"), "user:7", "session/a%2Fb/user:7"),
        (("100%",), "\0\n", "100%25/%00%0A"),
        (("ä",), "🙂", "ä/🙂"),
        (("..",), ".", "../."),
    ],
)
def test_names_are_escaped_and_joined(space, name, full):
    assert full == full_key(space_of(*space), name)


@given(spaces, names)
def test_a_full_key_tells_what_it_was_made_of(space, name):
    full = full_key(space_of(*space), name)
    head, last = split_key(full)

    assert (space, name, name) == (names_of(head), name_of(full), name_of(last))


@given(spaces, names, spaces, names)
def test_two_keys_never_share_a_text(space, name, other_space, other_name):
    same = (space, name) == (other_space, other_name)

    assert same == (full_key(space_of(*space), name) == full_key(space_of(*other_space), other_name))


@given(spaces, spaces)
def test_a_namespace_starts_with_those_above_it_only(space, other):
    is_below = space[: len(other)] == other

    assert is_below == space_of(*space).startswith(space_of(*other))


@given(names, names)
def test_an_escaped_prefix_is_a_prefix_of_what_is_escaped(prefix, name):
    assert name.startswith(prefix) == full_key("", name).startswith(escaped_prefix(prefix))
    assert full_key("", prefix + name).startswith(escaped_prefix(prefix))


def test_no_prefix_is_a_prefix():
    assert "" == escaped_prefix("")


@given(names)
def test_a_full_key_holds_neither_control_characters_nor_nul(name):
    assert full_key("", name).isprintable() or all(
        ord(character) > 0x9F for character in full_key("", name) if not character.isprintable()
    )


@pytest.mark.parametrize("name", ["", None, 7, b"a", True, ["a"], "\ud800", "a\udfffb"])
def test_what_is_no_text_is_no_name(name):
    for use in (check_name, space_of, lambda name: full_key("", name)):
        with pytest.raises(InvalidKey, match="a key is"):
            use(name)


@pytest.mark.parametrize("name", ["x" * MAX_NAME_BYTES, "ä" * (MAX_NAME_BYTES // 2)])
def test_a_name_is_bounded_in_bytes(name):
    assert name == check_name(name)
    with pytest.raises(
        InvalidKey, match=f"at most {MAX_NAME_BYTES} bytes in UTF-8, got {MAX_NAME_BYTES + 1}"
    ):
        check_name(f"{name}x")


def test_a_whole_key_is_bounded_in_bytes_as_it_is_escaped():
    space = space_of(*["n" * 499] * 4)
    room = MAX_KEY_BYTES - len(space)

    assert MAX_KEY_BYTES == len(full_key(space, "x" * room))
    assert MAX_KEY_BYTES >= len(full_key(space, "\0" * (room // 3)))
    for name in ("x" * (room + 1), "\0" * (room // 3 + 1)):
        with pytest.raises(InvalidKey, match=f"at most {MAX_KEY_BYTES} bytes"):
            full_key(space, name)


class Joining(str):
    """A text that says itself what it makes of others, and of itself."""

    def __radd__(self, before):
        return f"elsewhere/{self}"

    def __bool__(self):
        return False

    def translate(self, table):
        return self

    def encode(self, *args):
        return b""


def test_a_text_of_a_class_of_its_own_is_taken_for_its_characters():
    assert type(check_name(Joining("a"))) is str
    assert "room/a%2Fb" == full_key(space_of(Joining("room")), Joining("a/b"))


def test_a_message_shows_little_of_a_long_name():
    with pytest.raises(InvalidKey) as error:
        check_name("x" * 100_000)

    assert len(str(error.value)) < 200


def test_an_invalid_key_is_a_value_error():
    assert issubclass(InvalidKey, ValueError)
