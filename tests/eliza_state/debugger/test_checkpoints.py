"""What is remembered, and how it is bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eliza_state.debugger.checkpoints import Checkpoints, Line
from eliza_state.debugger.folding import Moment
from eliza_state.path import Path

MODULES: dict[str, Any] = {}


def moment(position: int) -> Moment:
    return Moment({}, position, position)


@given(st.lists(st.integers(0, 200)), st.integers(0, 200), st.integers(1, 20))
def test_the_nearest_is_the_last_at_or_before(kept: list[int], wanted: int, most: int) -> None:
    line = Line(MODULES, most=most)
    for position in kept:
        line.keep(moment(position))
    found = line.nearest(wanted)

    assert len(line) <= most
    assert found is None or found.position <= wanted
    if len(set(kept)) <= most:
        assert (found.position if found else -1) == max((one for one in kept if one <= wanted), default=-1)


def test_past_the_bound_every_second_goes_and_the_stride_doubles() -> None:
    line = Line(MODULES, most=4)
    stride = line.stride
    for position in range(1, 6):
        line.keep(moment(position))

    assert len(line) == 2
    assert line.stride == 2 * stride


def test_the_window_tells_exactly_within_itself() -> None:
    line = Line(MODULES, most=4)
    line.look_at((moment(3), moment(5), moment(9)), until=12)

    assert [
        found.position if (found := line.exact(position)) else None for position in (2, 3, 4, 8, 12, 13)
    ] == [
        None,
        3,
        3,
        5,
        9,
        None,
    ]


def test_scopes_not_looked_at_for_longest_go_first() -> None:
    checkpoints = Checkpoints(most=4)
    paths = [Path().child("agent", name) for name in "abc"]
    for path in (*paths[:2], paths[0], paths[2]):
        line = checkpoints.line(path, MODULES)
        line.look_at((moment(1), moment(2)), until=2)
        checkpoints.remember(path, line)

    assert len(checkpoints) == 4
    assert [len(checkpoints.line(path, MODULES)) for path in paths] == [2, 0, 2]


def test_other_modules_make_what_is_remembered_worthless() -> None:
    checkpoints = Checkpoints(most=4)
    line = checkpoints.line(Path(), MODULES)
    line.keep(moment(1))
    checkpoints.remember(Path(), line)

    assert len(checkpoints.line(Path(), {})) == 0
    assert checkpoints.line(Path(), MODULES) is line
