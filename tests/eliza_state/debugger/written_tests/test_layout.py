"""Expressions over lines, as `ruff format` has them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eliza_state.debugger.written_tests.layout import Group, Item, statement
from tests.effort import examples

RUFF = shutil.which("ruff") or shutil.which("ruff", path=Path(sys.executable).parent)


def call(name: str, *arguments: Any) -> Group:
    return Group(f"{name}(", tuple(Item(*argument) for argument in arguments), ")")


def test_what_fits_stands_on_one_line() -> None:
    assert "    x = f(a, b=1)" == statement("x = ", call("f", ("", "a"), ("b=", "1")))


def test_arguments_stand_on_a_line_of_their_own() -> None:
    name = "a" * 39

    assert f"    x = f(\n        {name}, {name}\n    )" == statement(
        "x = ", call("f", ("", name), ("", name))
    )


def test_or_each_on_one() -> None:
    name = "a" * 45

    assert f"    f(\n        {name},\n        {name},\n    )" == statement(
        "", call("f", ("", name), ("", name))
    )


def test_a_single_argument_gets_no_comma() -> None:
    inner = Group("[", tuple(Item("", "a" * 30) for _ in range(3)), "]", is_display=True)

    assert statement("", call("f", ("", inner))).endswith("        ]\n    )")


NODES = st.recursive(
    st.integers(1, 40).map(lambda size: "a" * size),
    lambda inner: st.one_of(
        st.lists(st.tuples(st.sampled_from(["", "key="]), inner), max_size=4).map(
            lambda found: call("f", *sorted(found, key=lambda one: bool(one[0])))
        ),
        *(
            st.lists(inner.map(lambda node: Item("", node)), min_size=1, max_size=4).map(
                lambda items, ends=ends: Group(ends[0], tuple(items), ends[1], is_display=True)
            )
            for ends in ("[]", "()", "{}")
        ),
    ),
    max_leaves=12,
)


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
@settings(max_examples=examples(40), deadline=None)
@given(st.lists(NODES, min_size=20, max_size=20))
def test_ruff_would_change_nothing(nodes: list[Any]) -> None:
    text = "\n".join(statement("x = ", node, indent=0) for node in nodes) + "\n"
    command = [str(RUFF), "format", "--isolated", "--stdin-filename", "x.py", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)

    assert text == done.stdout
