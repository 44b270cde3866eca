"""Curves on logarithmic axes, as SVG that can be read on a light and on a dark page."""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from benchmarks.harness import Row, Skipped

Points: TypeAlias = Mapping[float, float]
"""Figures by where they stand; both above zero."""

_WIDTH, _HEIGHT = 840, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 340, 44, 54
# After those of Okabe and Ito, to stand out from white and from black; who cannot tell them has the names.
_COLOURS: Final = ("#1f8ad0", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#5aa9a0", "#9a7bc4", "#808080")
_LINE: Final = 17
"""The least distance of two names, in pixels."""


@attrs.frozen
class Plot:
    """Curves that belong together; `name` is the file's, without its ending. The first curve stands out."""

    name: str
    title: str
    across: str
    up: str
    curves: Mapping[str, Points]

    def svg(self) -> str:
        """Draw it. Colours that depend on the page are those of its text."""
        scale = _Scale.around(self.curves.values())
        parts = [*_axes(self, scale), *_lines(self.curves, scale), *_names(self.curves, scale)]
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
            ' font-family="sans-serif" font-size="12">'
        )
        # An image has no page to take its colour from; a grey between the two is read on both.
        style = "<style>text{fill:#777}.grid{stroke:#888;stroke-opacity:.3}</style>"
        return "\n".join([head, f"<title>{html.escape(self.title)}</title>", style, *parts, "</svg>\n"])


def curves(found: Sequence[Row | Skipped], names: Mapping[int, str], *, ours: str) -> dict[str, Points]:
    """Return each side's quietest runs as curves, ours first; `names` gives the rows' name at each place."""
    sides: defaultdict[str, dict[float, float]] = defaultdict(dict)
    for place, name in names.items():
        here = [
            row
            for row in found
            if isinstance(row, Row) and row.name == name and row.other and ours not in row.other_name
        ]
        if here:
            sides[ours][place] = min(figure for row in here for figure in row.ours)
        for row in here:
            sides[row.other_name][place] = min(row.other)
    return dict(sides)


@attrs.frozen
class _Scale:
    """The decades that the axes show."""

    left: int
    right: int
    bottom: int
    top: int

    @classmethod
    def around(cls, points: Iterable[Points]) -> _Scale:
        both = [pair for each in points for pair in each.items()]
        xs, ys = zip(*both, strict=True)
        right, top = (math.ceil(math.log10(max(values))) for values in (xs, ys))
        left, bottom = (math.floor(math.log10(min(values))) for values in (xs, ys))
        return cls(left, max(right, left + 1), bottom, max(top, bottom + 1))

    def x(self, value: float) -> float:
        share = (math.log10(value) - self.left) / (self.right - self.left)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (math.log10(value) - self.bottom) / (self.top - self.bottom)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _axes(plot: Plot, scale: _Scale) -> Iterator[str]:
    yield f'<text x="{_LEFT}" y="24" font-size="15">{html.escape(plot.title)}</text>'
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{html.escape(plot.across)}</text>'
    turned = f'transform="translate(18 {_HEIGHT / 2}) rotate(-90)"'
    yield f'<text {turned} text-anchor="middle">{html.escape(plot.up)}</text>'
    for power in range(scale.left, scale.right + 1):
        x = scale.x(10.0**power)
        yield f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{_HEIGHT - _BOTTOM}"/>'
        yield f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_number(power)}</text>'
    for power in range(scale.bottom, scale.top + 1):
        y = scale.y(10.0**power)
        yield f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{_number(power)}</text>'


def _lines(curves: Mapping[str, Points], scale: _Scale) -> Iterator[str]:
    # The last one drawn is on top of the others.
    for number, points in reversed([*enumerate(curves.values())]):
        places = [(scale.x(x), scale.y(y)) for x, y in sorted(points.items())]
        way = " ".join(f"{x},{y}" for x, y in places)
        colour, width = _colour(number), 1.5 if number else 4
        style = f'fill="none" stroke="{colour}" stroke-width="{width}"{_dash(number)}'
        yield f'<polyline points="{way}" {style}/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="{width + 1}" fill="{colour}"/>' for x, y in places)


def _names(curves: Mapping[str, Points], scale: _Scale) -> Iterator[str]:
    """Write each name beside the end of its curve, lower where another one stands."""
    ends = sorted((scale.y(points[max(points)]), number) for number, points in enumerate(curves.values()))
    texts = [html.escape(name) for name in curves]
    above = 0.0
    for y, number in ends:
        above = max(y, above + _LINE)
        weight = ' font-weight="bold"' if number == 0 else ""
        style = f'style="fill:{_colour(number)}"{weight}'
        yield f'<text x="{_WIDTH - _RIGHT + 10}" y="{above + 4}" {style}>{texts[number]}</text>'


def _number(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _colour(number: int) -> str:
    # The first is ours alone: further rounds begin with the second.
    return _COLOURS[number] if number < len(_COLOURS) else _COLOURS[1 + (number - 1) % (len(_COLOURS) - 1)]


def _dash(number: int) -> str:
    return ' stroke-dasharray="6 4"' if number >= len(_COLOURS) else ""
