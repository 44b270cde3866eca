"""Paths and their text form, and the hierarchy they follow."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eliza_state.errors import InvalidPath, RegistrationError
from eliza_state.path import DEFAULT_HIERARCHY, MAX_ID_BYTES, Hierarchy, Path

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NASTY = st.text(st.sampled_from("%/:2FAa\0\x85\n.é🙂"), min_size=1, max_size=6)
LEVELS = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
STEPS = st.tuples(st.sampled_from(["agent", "room"]) | LEVELS, IDS | NASTY)
PATHS = st.lists(STEPS, max_size=4).map(lambda steps: Path(tuple(steps)))


@given(PATHS)
@example(Path().child("agent", "\0").child("room", "a/b:c%2F"))
def test_a_text_decodes_to_the_path_it_was_made_of(path):
    assert Path.decode(path.encode()) == path


@given(PATHS, PATHS)
def test_two_paths_never_share_a_text(one, other):
    assert (one == other) is (one.encode() == other.encode())


@given(PATHS, PATHS)
def test_below_is_what_the_text_starts_with(one, other):
    prefix = f"{other.encode()}/" if other.steps else ""
    starts = one.encode().startswith(prefix) and one != other

    assert starts is one.is_below(other)


@given(PATHS, st.lists(STEPS, min_size=1, max_size=3))
def test_what_is_added_to_a_path_is_below_it(path, steps):
    below = path
    for level, identifier in steps:
        below = below.child(level, identifier)

    assert below.is_below(path)
    assert below.encode().startswith(f"{path.encode()}/" if path.steps else "")


@given(PATHS)
def test_the_text_holds_nothing_that_garbles_a_terminal(path):
    assert all(ord(character) >= 0x20 and not 0x7F <= ord(character) < 0xA0 for character in path.encode())


def test_a_sibling_with_a_longer_id_is_not_below():
    one, ten = Path().child("agent", "1"), Path().child("agent", "10")

    assert not ten.is_below(one)
    assert not ten.encode().startswith(one.encode() + "/")


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("eliza", "agent:eliza"),
        ("a/b", "agent:a%2Fb"),
        ("a:b", "agent:a%3Ab"),
        ("100%", "agent:100%25"),
        ("\0", "agent:%00"),
        ("\x85", "agent:%85"),
        ("🙂", "agent:🙂"),
        (" ", "agent: "),
    ],
)
def test_the_text_of_an_id(identifier, text):
    assert text == Path().child("agent", identifier).encode()


def test_the_root_is_the_empty_text():
    assert Path().encode() == ""
    assert Path.decode("") == Path()


@pytest.mark.parametrize("identifier", ["a" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2), "%" * MAX_ID_BYTES])
def test_an_id_may_take_512_bytes(identifier):
    path = Path().child("agent", identifier)

    assert Path.decode(path.encode()) == path


@pytest.mark.parametrize(
    "identifier",
    ["", "a" * (MAX_ID_BYTES + 1), "é" * (MAX_ID_BYTES // 2) + "a", "\ud800", "a\udfff", None, 5],
)
def test_other_ids_are_refused(identifier):
    with pytest.raises(InvalidPath, match="the id of a agent"):
        Path().child("agent", identifier)


@pytest.mark.parametrize("level", ["", "Agent", "a b", "1", "a:b", "é", "a" * 65, None, 5])
def test_a_level_is_a_lower_case_word(level):
    with pytest.raises(InvalidPath, match="a level is a lower-case word"):
        Path().child(level, "x")


def test_steps_are_a_tuple():
    with pytest.raises(InvalidPath, match="steps are a tuple"):
        Path([("agent", "eliza")])


@pytest.mark.parametrize(
    "text",
    [
        "agent",
        "agent:",
        ":eliza",
        "/",
        "agent:eliza/",
        "/agent:eliza",
        "agent:a%2fb",  # lower-case digits
        "agent:a%61",  # an escape of what needs none
        "agent:100%",
        "agent:100%2",
        "agent:a:b",
        "agent:a\nb",
        "agent:\ud800",
        "Agent:eliza",
        None,
        b"agent:eliza",
    ],
)
def test_text_that_encode_does_not_write_is_refused(text):
    with pytest.raises(InvalidPath):
        Path.decode(text)


@given(st.text(st.sampled_from("ab:/%2F5C\0é"), max_size=12))
def test_decoding_takes_canonical_text_alone(text):
    try:
        path = Path.decode(text)
    except InvalidPath:
        return

    assert text == path.encode()


def test_parent_chain_level_and_id():
    room = Path().child("agent", "eliza").child("room", "general")

    assert ("room", "general") == (room.level, room.id)
    assert Path().child("agent", "eliza") == room.parent
    assert [Path(), room.parent, room] == list(room.chain())
    assert (None, None, None) == (Path().level, Path().id, Path().parent)


def test_str_and_repr_show_the_text():
    path = Path().child("agent", "a/b")

    assert ("agent:a%2Fb", "Path('agent:a%2Fb')") == (str(path), repr(path))


# Hierarchies


def test_the_default_hierarchy_has_two_branches_below_the_agent():
    assert ("global", "agent", "room", "conversation", "message", "user") == DEFAULT_HIERARCHY.levels
    assert ("global", "agent", "user") == DEFAULT_HIERARCHY.chain("user")
    assert ("global", "agent", "room", "conversation", "message") == DEFAULT_HIERARCHY.chain("message")


def test_a_path_that_follows_the_levels_passes():
    path = Path().child("agent", "eliza").child("user", "ada")

    assert DEFAULT_HIERARCHY.check(path) is path
    assert DEFAULT_HIERARCHY.check(Path()) == Path()


@pytest.mark.parametrize(
    "path",
    [
        Path().child("room", "general"),
        Path().child("agent", "a").child("conversation", "c"),
        Path().child("agent", "a").child("agent", "b"),
        Path().child("global", "g"),
        Path().child("planet", "earth"),
        Path().child("agent", "a").child("user", "u").child("conversation", "c"),
    ],
)
def test_a_path_that_leaves_the_levels_is_refused(path):
    with pytest.raises(InvalidPath):
        DEFAULT_HIERARCHY.check(path)


def test_an_unknown_level_names_the_known_ones():
    with pytest.raises(
        InvalidPath, match=r"no level 'planet' in the hierarchy; its levels are global, agent"
    ):
        DEFAULT_HIERARCHY.chain("planet")


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({}, "exactly one root"),
        ({"a": {}, "b": {}}, "exactly one root"),
        ({"A": {}}, "lower-case word"),
        ({"a": {"b c": {}}}, "lower-case word"),
        ({5: {}}, "lower-case word"),
        ({"a": {"b": {"a": {}}}}, "stands twice"),
        ({"a": {"b": {"d": {}}, "c": {"d": {}}}}, "stands twice"),
    ],
)
def test_a_malformed_hierarchy_is_refused(levels, message):
    with pytest.raises(RegistrationError, match=message):
        Hierarchy(levels)


def test_a_hierarchy_of_ones_own_names_its_root():
    hierarchy = Hierarchy({"galaxy": {"star": {"planet": {}}}})

    assert hierarchy.root == hierarchy.level(Path()) == "galaxy"
    assert hierarchy.check(Path().child("star", "sun").child("planet", "earth")).level == "planet"
