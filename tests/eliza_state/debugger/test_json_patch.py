"""JSON patches: the examples of RFC 6902, atomicity, inverses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.debugger import JsonPatch, PatchFailed, diff
from eliza_state.debugger.json_patch import pointer, tokens
from tests.effort import examples

# RFC 6902, appendix A, in its order; and a few that its text asks for.
APPLIED: list[tuple[Any, Any, Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    (
        {"foo": "bar"},
        [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    (
        {"foo": "bar"},
        [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}],
        {"foo": "bar", "baz": "qux"},
    ),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["a", "d"]}], {"foo": ["bar", ["a", "d"]]}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
    ({"a": 1}, [{"op": "add", "path": "/a", "value": None}], {"a": None}),
    ({"": {"": 1}}, [{"op": "replace", "path": "//", "value": 2}], {"": {"": 2}}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], {"a": 1}),
    ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}],
     {"a": [1], "b": [1, 2]}),
    ([{"x": [1]}], [{"op": "copy", "from": "/0", "path": "/-"}, {"op": "remove", "path": "/0/x/0"}],
     [{"x": []}, {"x": [1]}]),
]  # fmt: skip
REFUSED: list[tuple[Any, Any, str]] = [
    ({"a": "qux"}, [{"op": "test", "path": "/a", "value": "bar"}], "operation 1: test '/a': expected 'bar'"),
    ({"foo": "bar"}, [{"op": "add", "path": "/baz/bat", "value": "q"}], "there is no member 'baz'"),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": "10"}], "expected '10', found 10"),
    ({"foo": 1}, [{"op": "remove", "path": "/food"}], "there is no member 'food'; did you mean 'foo'"),
    ({"foo": 1}, [{"op": "replace", "path": "/bar", "value": 1}], "there is no member 'bar'"),
    ([1, 2], [{"op": "add", "path": "/3", "value": 1}], "no position 3 in an array where it would be at mo"),
    ([1, 2], [{"op": "replace", "path": "/-", "value": 1}], "an array goes by positions from 0, got '-'"),
    ([1, 2], [{"op": "add", "path": "/01", "value": 1}], "got '01'"),
    ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b"}], "cannot be moved into itself"),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], "expected True, found 1"),
    ({"a": 1}, [{"op": "remove", "path": ""}], "the whole document cannot be removed"),
    ({"a": "text"}, [{"op": "add", "path": "/a/0", "value": 1}], "there is nothing inside 'text'"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "patch", "expected"), APPLIED)
def test_applied(document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(document)

    assert JsonPatch.read(patch).apply(document) == expected
    assert document == before


@pytest.mark.parametrize(("document", "patch", "message"), REFUSED)
def test_refused(document: Any, patch: Any, message: str) -> None:
    before = copy.deepcopy(document)
    harmless = {"op": "add", "path": "", "value": document}
    with pytest.raises(PatchFailed) as caught:
        JsonPatch.read(patch).apply(document)
    with pytest.raises(PatchFailed):
        JsonPatch.read([harmless, *patch]).apply({})

    assert message in str(caught.value)
    assert document == before


def test_what_was_done_before_a_refusal_is_not_seen() -> None:
    document = {"a": [1], "b": 2}
    patch = JsonPatch.read(
        [{"op": "add", "path": "/a/-", "value": 5}, {"op": "test", "path": "/b", "value": 3}]
    )
    with pytest.raises(PatchFailed) as caught:
        patch.apply(document)

    assert caught.value.number == 2
    assert document == {"a": [1], "b": 2}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}", "a patch is a JSON array of operations"),
        ("[1]", "operation 1: it is an object with 'op' and 'path', got 1"),
        ('[{"op": "spam", "path": ""}]', "'op' is one of add, remove, replace, move, copy, test, got 'spam'"),
        ('[{"op": "test", "path": "", "value": 1}, {"op": "remove"}]', "operation 2: 'remove' has 'path'"),
        ('[{"op": "move", "path": "/a"}]', "'move' has 'from'"),
        ('[{"op": "add", "path": "/a"}]', "'add' has a 'value'"),
        ('[{"op": "remove", "path": "a"}]', "a JSON pointer is empty or begins with '/', got 'a'"),
        ('[{"op": "remove", "path": "/~2"}]', "'~' is followed by 0 or 1"),
    ],
)
def test_a_malformed_patch(source: str, message: str) -> None:
    with pytest.raises(PatchFailed) as caught:
        JsonPatch.read(source)

    assert message in str(caught.value)


@given(st.lists(st.text(alphabet="~/01a", max_size=5), max_size=4))
def test_pointers_are_read_back(parts: list[str]) -> None:
    assert tokens(pointer(parts)) == tuple(parts)


def test_the_tokens_of_rfc_6901() -> None:
    assert pointer(["a/b", "m~n", ""]) == "/a~1b/m~0n/"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["", "a", "~/"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "~", "/", "", "[1]"]), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=examples(300), deadline=None)
@given(JSON, JSON)
def test_a_patch_between_documents_and_its_inverse(before: Any, after: Any) -> None:
    patch = diff(before, after).to_json_patch(is_json=True)
    read = JsonPatch.read(patch.to_json())

    assert read.apply(before) == after
    assert read.inverse().apply(after) == before
    assert read.inverse().inverse().apply(before) == after


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/a"},
        {"op": "replace", "path": "/a", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/a/-", "value": 1},
        {"op": "add", "path": "", "value": 1},
    ],
)
def test_what_does_not_tell_enough_has_no_inverse(operation: Any) -> None:
    with pytest.raises(PatchFailed, match=r"operation 1: .* cannot be inverted"):
        JsonPatch.read([operation]).inverse()


def test_the_inverse_of_tests_and_moves() -> None:
    patch = JsonPatch.read(
        [
            {"op": "test", "path": "/a", "value": 1},
            {"op": "test", "path": "/b", "value": 2},
            {"op": "move", "from": "/a", "path": "/c"},
            {"op": "test", "path": "/c", "value": 1},
        ]
    )

    assert patch.inverse().apply(patch.apply({"a": 1, "b": 2})) == {"a": 1, "b": 2}


def test_a_patch_copies_only_what_it_changes() -> None:
    document = {"a": {"x": 1}, "b": {"y": 2}}
    patched = JsonPatch.read([{"op": "replace", "path": "/a/x", "value": 3}]).apply(document)

    assert patched["b"] is document["b"]


def test_values_of_the_patch_are_not_changed_by_it() -> None:
    patch = JsonPatch.read(
        [{"op": "add", "path": "/a", "value": []}, {"op": "add", "path": "/a/-", "value": 1}]
    )

    assert patch.apply({}) == patch.apply({}) == {"a": [1]}
